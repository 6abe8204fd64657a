"""On which line of a TOML file each key stands: tomllib reads the values but keeps no positions."""

from __future__ import annotations

from dataclasses import dataclass, field

Path = tuple[str | int, ...]

_QUOTES = ('"""', "'''", '"', "'")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\", "b": "\b", "f": "\f", "e": "\x1b"}
_DEEPEST = 16
_CODE_LENGTHS = {"x": 2, "u": 4, "U": 8}


def locate_keys(text: str) -> dict[Path, int]:
    """1-based line of every key and table of a TOML text that is known to be valid.

    Elements of arrays are addressed by their index: ``("incidents", 0, "kind")``.
    """
    return _Scanner(text).scan()


@dataclass
class _Scanner:
    text: str
    at: int = 0
    line: int = 1
    found: dict[Path, int] = field(default_factory=dict)
    counts: dict[Path, int] = field(default_factory=dict)

    def scan(self) -> dict[Path, int]:
        prefix: Path = ()
        while self._skip_blank():
            prefix = self._header() if self._peek() == "[" else self._assignment(prefix)
        return self.found

    def _peek(self, width: int = 1) -> str:
        return self.text[self.at : self.at + width]

    def _take(self, count: int = 1) -> str:
        taken = self.text[self.at : self.at + count]
        self.line += taken.count("\n")
        self.at += count
        return taken

    def _skip_blank(self) -> bool:
        """Skip white space, commas and comments; False at the end."""
        while self.at < len(self.text):
            if self._peek() == "#":
                end = self.text.find("\n", self.at)
                self._take((end if end >= 0 else len(self.text)) - self.at)
            elif self._peek().isspace() or self._peek() == ",":
                self._take()
            else:
                return True
        return False

    def _note(self, path: Path) -> None:
        for depth in range(1, min(len(path), _DEEPEST) + 1):
            self.found.setdefault(path[:depth], self.line)

    def _header(self) -> Path:
        array = self._peek(2) == "[["
        self._take(2 if array else 1)
        path = self._resolve(self._key("]"))
        self._take(2 if array else 1)
        if array:
            self.found.setdefault(path, self.line)
            self.counts[path] = self.counts.get(path, -1) + 1
            path = (*path, self.counts[path])
        self._note(path)
        return path

    def _resolve(self, names: list[str]) -> Path:
        """Insert the index of the latest element wherever a prefix is an array of tables."""
        path: Path = ()
        for position, name in enumerate(names):
            path = (*path, name)
            if path in self.counts and position < len(names) - 1:
                path = (*path, self.counts[path])
        return path

    def _assignment(self, prefix: Path) -> Path:
        path = (*prefix, *self._key("="))
        self._note(path)
        self._take()
        self._value(path)
        return prefix

    def _key(self, end: str) -> list[str]:
        """Names of a dotted key, up to but not including the character ``end``."""
        names: list[str] = []
        word = ""
        while self.at < len(self.text) and self._peek() != end:
            if self._peek() in "\"'":
                names.append(self._string())
                word = ""
            elif self._peek() == ".":
                names += [word] if word else []
                word = ""
                self._take()
            else:
                word += self._take().strip()
        return names + ([word] if word else [])

    def _string(self) -> str:
        quote = next(q for q in _QUOTES if self._peek(len(q)) == q)
        self._take(len(quote))
        content = ""
        # a text in three quotes may end in one or two of its own
        while self.at < len(self.text) and (
            self._peek(len(quote)) != quote or self._peek(len(quote) + 1) == quote + quote[0] != quote[0] * 2
        ):
            if self._peek() == "\\" and quote[0] == '"':
                content += self._escape()
            else:
                content += self._take()
        self._take(len(quote))
        return content

    def _escape(self) -> str:
        letter = self._take(2)[1:]
        if letter in _CODE_LENGTHS:
            return chr(int(self._take(_CODE_LENGTHS[letter]), 16))
        return _ESCAPES.get(letter, "")

    def _value(self, path: Path) -> None:
        self._skip_blank()
        opening = self._peek()
        if opening and opening in "\"'":
            self._string()
        elif opening == "[":
            self._array(path)
        elif opening == "{":
            self._inline_table(path)
        else:
            while self.at < len(self.text) and self._peek() not in ",]}#\n":
                self._take()

    def _array(self, path: Path) -> None:
        self._take()
        index = 0
        while self._skip_blank() and self._peek() != "]":
            self._note((*path, index))
            self._value((*path, index))
            index += 1
        self._take()

    def _inline_table(self, path: Path) -> None:
        self._take()
        while self._skip_blank() and self._peek() != "}":
            self._assignment(path)
        self._take()
