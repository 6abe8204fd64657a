"""Run in the peers' own environment: compile a LightGBM model with lleaves and with tl2cgen to shared libraries.

Usage: python compile.py MODEL.txt FOLDER; writes FOLDER/lleaves.so and FOLDER/tl2cgen.so, or says why not.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_LARGE = 500


def with_lleaves(model: Path, folder: Path) -> None:
    """Let lleaves write its object file and link it."""
    import lleaves  # type: ignore[import-not-found]  # noqa: PLC0415

    made = lleaves.Model(model_file=str(model))
    # for large ensembles lleaves itself advises against inlining: it compiled for a quarter of an hour without end
    made.compile(cache=str(folder / "lleaves.o"), finline=made.num_trees() < _LARGE)
    subprocess.run(["cc", "-shared", "-o", str(folder / "lleaves.so"), str(folder / "lleaves.o"), "-lm"], check=True)  # noqa: S607


def with_tl2cgen(model: Path, folder: Path) -> None:
    """Let tl2cgen write C and compile it."""
    import tl2cgen  # type: ignore[import-not-found]  # noqa: PLC0415
    import treelite  # type: ignore[import-not-found]  # noqa: PLC0415

    made = treelite.frontend.load_lightgbm_model(str(model))
    tl2cgen.export_lib(
        made, toolchain="gcc", libpath=str(folder / "tl2cgen.so"), params={"parallel_comp": 8}, nthread=2
    )


def main() -> None:
    """Compile with both; what fails is told and left out."""
    model, folder = Path(sys.argv[1]), Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    for way in (with_lleaves, with_tl2cgen):
        if (folder / f"{way.__name__[5:]}.so").exists():
            continue
        try:
            way(model, folder)
        except Exception as error:  # noqa: BLE001  (whatever a peer raises)
            print(
                f"{way.__name__[5:]} could not compile {model.name}: {type(error).__name__}: {str(error)[:200]}",
                file=sys.stderr,
            )


if __name__ == "__main__":
    main()
