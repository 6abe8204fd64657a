"""The engine's kernels as plain Python give the same tables as compiled: what numba makes of them is what they say."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.engine.plain_worlds import tables, worlds

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Tables of all worlds, plain and compiled."""
    plain, compiled = tmp_path_factory.mktemp("plain"), tmp_path_factory.mktemp("compiled")
    command = [sys.executable, "-m", "tests.engine.plain_worlds", str(plain)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, env={**os.environ, "NUMBA_DISABLE_JIT": "1"}
    )
    assert done.returncode == 0, done.stderr[-3_000:]
    tables(compiled)
    return plain, compiled


@pytest.mark.parametrize("name", worlds())
def test_plain_python__gives_the_same_tables(name: str, folders: tuple[Path, Path]) -> None:
    """Whole numbers to the bit; others but for products and sums that compiled code takes in one step."""
    plain, compiled = (np.load(folder / f"{list(worlds()).index(name)}.npz") for folder in folders)
    assert set(plain) == set(compiled)
    assert plain["campaigns/wins"].sum() > 0
    for column in compiled:
        if compiled[column].dtype.kind == "f":
            np.testing.assert_allclose(plain[column], compiled[column], rtol=1e-9, atol=1e-12, err_msg=column)
        else:
            np.testing.assert_array_equal(plain[column], compiled[column], err_msg=column)
