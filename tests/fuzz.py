"""Broken scenario files by the ten thousand: ``python -m tests.fuzz [FILES] [SEED]``.

Each is one of the scenarios that come with bidsim, or a small one, with one to four things done to its text. It must be understood, or refused with
messages that all name a line; no traceback, no hang.
"""

from __future__ import annotations

import os
import random
import re
import signal
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from contextlib import chdir, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

from bidsim.cli import main
from tests.conftest import SCENARIOS, SMALL

VALUES = [
    "0", "-1", "1e400", "nan", "inf", "true", '""', '"x"', "[]", "{}", "[1, [2]]", '"\\u0000"', "1979-05-27", "9999999999999999999999", "0x1F", "1e-320", '"2 days"', '"truthful"',
    '{ name = "shaded", factor = 1e9 }', '["US", "US"]', "'''\nx\n'''", '"' + "a" * 5_000 + '"', "[" * 200, "-0.0", '"../../etc/passwd"', '"mine:Policy"', '"\u202ex"',
]  # fmt: skip
_LONGEST = 20
_LINE = re.compile(r":\d+: |^errors?:$")


def texts() -> list[str]:
    """Texts to begin with; the small one often, for it is quick."""
    shipped = [
        path.read_text(encoding="utf-8").replace('extends = "', f'extends = "{path.parent}/')
        for path in SCENARIOS.rglob("*.toml")
        if path.name != "quickstart.toml"
    ]
    return [SMALL] * (2 * len(shipped)) + shipped


def broken(text: str, dice: random.Random) -> bytes:
    """Do one to four things to a text."""
    lines = text.split("\n")
    for _ in range(dice.randint(1, 4)):
        k = dice.randrange(len(lines))
        kind = dice.randrange(12)
        if kind == 0:
            del lines[k]
        elif kind == 1:
            lines.insert(dice.randrange(len(lines) + 1), lines[k])
        elif kind == 2 and "=" in lines[k]:
            lines[k] = f"{lines[k].split('=')[0]}= {dice.choice(VALUES)}"
        elif kind == 3 and lines[k]:
            at = dice.randrange(len(lines[k]))
            lines[k] = lines[k][:at] + lines[k][at + 1 :]
        elif kind == 4:
            at = dice.randrange(len(lines[k]) + 1)
            lines[k] = lines[k][:at] + dice.choice("\"'[]{}=.#,\\\t\x00\x7f\u202e\u00e9-_0") + lines[k][at:]
        elif kind == 5:
            lines[k] = re.sub(
                r"\d+(\.\d+)?",
                lambda m: str(-float(m[0])) if dice.random() < 0.5 else m[0] + "0" * dice.randint(1, 12),
                lines[k],
                count=1,
            )
        elif kind == 6 and "=" in lines[k]:
            lines[k] = dice.choice(["", "x.", "campaigns.", "\u00fc", "a b"]) + lines[k]
        elif kind == 7:
            lines[k] = re.sub(r"[a-z]{3,}", lambda m: m[0][:-1] + dice.choice("aeiou"), lines[k], count=1)
        elif kind == 8:
            lines[k] = re.sub(r'"([^"]*)"', dice.choice(VALUES).replace("\\", "\\\\"), lines[k], count=1)
        elif kind == 9 and lines[k].startswith("["):
            lines[k] = dice.choice(
                [lines[k][1:], f"[{lines[k]}]", lines[k].replace("]", ".x]"), "[traffic]", "[[campaigns]]"]
            )
        elif kind == 10:
            other = dice.randrange(len(lines))
            lines[k], lines[other] = lines[other], lines[k]
        else:
            lines = lines[: max(k, 1)]
        lines = lines or [""]
    content = "\n".join(lines).encode("utf-8", "replace")
    if dice.random() < 0.02 and content:
        at = dice.randrange(len(content))
        content = content[:at] + bytes([dice.randrange(128, 256)]) + content[at:]
    return content


def _late(*_: object) -> None:
    raise TimeoutError


def tried(seed: int, files: int) -> tuple[Counter[str], list[tuple[int, str, bytes]]]:
    """Try some files; how they ended, and those that ended badly."""
    dice, begun, ended, bad = random.Random(seed), texts(), Counter[str](), []
    signal.signal(signal.SIGALRM, _late)
    with tempfile.TemporaryDirectory() as name, chdir(name):
        path = Path("s.toml")
        for k in range(files):
            content = broken(dice.choice(begun), dice)
            path.write_bytes(content)
            told, code, why = StringIO(), -1, ""
            signal.alarm(_LONGEST)
            try:
                with redirect_stderr(told), redirect_stdout(StringIO()):
                    code = main(["check", "s.toml"])
            except TimeoutError:
                why = "hangs"
            except BaseException as error:  # noqa: BLE001  (that is what is looked for)
                why = f"{type(error).__name__}: {error}"
            finally:
                signal.alarm(0)
            said = told.getvalue()
            if not why and code not in (0, 2):
                why = f"exit code {code}"
            if not why and code == 2 and not all(_LINE.search(line) for line in said.strip().split("\n")):
                why = "names no line"
            ended["understood" if code == 0 and not why else why or "refused, each line named"] += 1
            if why:
                bad.append((k, f"{why}: {said[:300]}", content))
    return ended, bad


def _main() -> int:
    files, seed = int(sys.argv[1]) if len(sys.argv) > 1 else 2_000, int(sys.argv[2]) if len(sys.argv) > 2 else 0
    begun, workers = time.monotonic(), os.cpu_count() or 1
    share = [files // (4 * workers)] * (4 * workers - 1)
    share.append(files - sum(share))
    total, worst = Counter[str](), []
    with ProcessPoolExecutor(workers) as pool:
        for ended, bad in pool.map(tried, range(1000 * seed, 1000 * seed + len(share)), share):
            total += ended
            worst += bad
    for why, count in total.most_common():
        print(f"{count:>8,}  {why}")
    for k, why, content in worst[:20]:
        print(f"\n--- {k} {why}\n{content[-600:]!r}")
    print(f"{files:,} files in {time.monotonic() - begun:.0f} s")
    return 1 if worst else 0


if __name__ == "__main__":
    sys.exit(_main())
