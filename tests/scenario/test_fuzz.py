"""A few hundred broken files in the suite; fifty thousand with ``python -m tests.fuzz 50000``."""

from __future__ import annotations

from tests.fuzz import tried


def test_broken_files__are_understood_or_refused_with_a_line() -> None:
    ended, bad = tried(7, 400)
    assert bad == []
    assert ended["refused, each line named"] > 200
    assert ended["understood"] > 10
