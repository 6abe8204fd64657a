"""Errors that a person sees: what is wrong, where, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

EXIT_FOUND = 1
EXIT_TYPED_WRONG = 2
EXIT_RUN_FAILED = 3
_MOST_NAMED = 12
_MOST_SHOWN = 60
_MOST_TOLD = 250
_MOST_COMPARED = 400
_MOST_LISTED = 50
_FEWEST_ALIKE = 4
"""Faults of one kind that are told as one; fewer have a line each."""
_NAMED = ("campaigns", "products", "seats", "budgets")
"""Tables whose keys are names: what is wrong with several is wrong with all."""


@dataclass(frozen=True)
class Problem:
    """One mistake in what a person typed.

    Attributes:
        file: The file as the person named it, or ``--set``.
        line: 1-based line number, or 0 where there is none.
        field: Dotted path of the key, or "" for the whole file.
        message: What is wrong, with the offending value, and what to do.

    """

    file: str
    line: int
    field: str
    message: str

    def __str__(self) -> str:
        """Write the problem on one line."""
        place = f"{cut(self.file, _MOST_TOLD)}:{self.line}" if self.line else cut(self.file, _MOST_TOLD)
        parts = [place, cut(self.field, _MOST_TOLD), cut(self.message, 2 * _MOST_TOLD)]
        return one_line(": ".join(part for part in parts if part))


class BidsimError(Exception):
    """Base of every error that bidsim raises on purpose; ``exit_code`` is for the command line.

    Example:
        >>> import bidsim
        >>> try:
        ...     bidsim.run(5)
        ... except bidsim.BidsimError as error:
        ...     print(str(error)[:58])
        a scenario is the name of one that comes with bidsim, such

    """

    exit_code = EXIT_RUN_FAILED


class ScenarioError(BidsimError):
    """What the person typed is wrong; carries every problem that was found, in file order.

    Example:
        >>> import bidsim
        >>> try:
        ...     bidsim.load_scenario("quickstart", {"seed": -1})
        ... except bidsim.ScenarioError as error:
        ...     print(error.problems[0].field)
        seed

    """

    exit_code = EXIT_TYPED_WRONG

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = sorted(problems, key=lambda p: (p.file, p.line, p.field))
        super().__init__("\n".join(_listed(self.problems)))


def _listed(problems: Sequence[Problem]) -> list[str]:
    """A line for each problem: one that repeats is told once, and only so many are told."""
    alike: dict[tuple[str, ...], list[Problem]] = {}
    for problem in problems:
        alike.setdefault(_fault(problem), []).append(problem)
    lines = []
    for problem in problems:
        group = alike[_fault(problem)]
        if len(group) < _FEWEST_ALIKE:
            lines.append(str(problem))
        elif group[0] is problem:
            lines.append(f"{problem}{_elsewhere(group)}")
    left = len(lines) - _MOST_LISTED
    return [*lines[:_MOST_LISTED], f"... and {left:,} more; mend these first"] if left > 0 else lines


def _fault(problem: Problem) -> tuple[str, ...]:
    """What problems have in common that are one fault, made in several places of a file."""
    first, _, rest = problem.field.partition(".")
    if not rest:
        return (str(problem),)
    last = rest.rpartition(".")[2] if "." in rest or first not in _NAMED else ""
    return problem.file, problem.message, first, last


def _elsewhere(group: Sequence[Problem]) -> str:
    """Where else a problem is, beside its first place."""
    lines = sorted({p.line for p in group[1:]} - {group[0].line})
    more = f", and {len(lines) - _MOST_NAMED:,} more" if len(lines) > _MOST_NAMED else ""
    where = f": lines {', '.join(str(n) for n in lines[:_MOST_NAMED])}{more}" if lines else " of this line"
    where = where if group[0].line else ""
    where = where.replace("lines", "line") if len(lines) == 1 else where
    return f"; so in {len(group) - 1:,} more places{where}"


class UsageError(BidsimError):
    """A path, an option or a request that cannot be carried out as typed."""

    exit_code = EXIT_TYPED_WRONG


class ModelError(UsageError):
    """A model file that is damaged, or that does not fit the scenario."""


class RunDirectoryError(UsageError):
    """A folder that is not a complete run directory."""


def shown(value: object) -> str:
    """Show an offending value, cut where it is long."""
    try:
        text = repr(value)
    except ValueError:
        return "a number of thousands of digits"
    return cut(text, _MOST_SHOWN)


def cut(text: str, most: int) -> str:
    """Cut a long text."""
    return text if len(text) <= most else text[: most - 3] + "..."


def one_line(text: str) -> str:
    """Make control characters visible, so that what people typed cannot move the cursor or add lines."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``, did you mean 'x'?`` for the nearest known word, or the list of a few known ones."""
    names = sorted(known)
    near = get_close_matches(word[:_MOST_SHOWN], names, n=1, cutoff=0.6) if len(names) <= _MOST_COMPARED else []
    if near:
        return f", did you mean '{near[0]}'?"
    shown = ", ".join(names[:_MOST_NAMED]) + (", ..." if len(names) > _MOST_NAMED else "")
    return f"; known here: {shown}" if names else ""
