#!/bin/sh
# Make an environment of its own for peers that cannot share bidsim's: lleaves needs an older llvmlite than numba does; river and sliceline are compared with only.
# Usage: sh bench/peers/build.sh [PYTHON]. Afterwards `python -m bench latency` finds it. Needs a C compiler for the linking.
set -e
here=$(cd "$(dirname "$0")" && pwd)
target="$here/.venv"
"${1:-python3}" -m venv "$target"
"$target/bin/pip" install -q "lleaves==1.3.0" "lightgbm>=4.6" "scikit-learn" "treelite==4.1.2" "llvmlite==0.43.0" "tl2cgen==1.0.0" "river==0.26.1" "sliceline==0.3.0" setuptools
"$target/bin/python" -c "import lleaves, river, sliceline, tl2cgen, treelite; print('peers are ready')"
