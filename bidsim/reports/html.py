"""How pages are made: templates that escape whatever people typed."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bidsim.core.errors import BidsimError, RunDirectoryError, cut

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bidsim.core.result import Result


def environment(**filters: Callable[..., str]) -> Any:
    """Templates of the package, with filters of the page's own."""
    import jinja2  # noqa: PLC0415

    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= filters
    return made


@contextmanager
def whole_run(result: Result) -> Iterator[None]:
    """Say of a run that lacks what a page shows that it is damaged.

    Raises:
        RunDirectoryError: It does.

    """
    import jinja2  # noqa: PLC0415

    try:
        yield
    except BidsimError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, jinja2.UndefinedError) as error:
        told = cut(" ".join(str(error).split()), 200)
        raise RunDirectoryError(f"{result.folder or 'the run'} is damaged: {type(error).__name__}: {told}") from None
