#!/bin/sh
# Install a lock file into .venv, every package checked against its hash, then bidsim itself in place.
set -eu
python=$1
lock=$2

if .venv/bin/python -m pip --version >/dev/null 2>&1; then
    pip() { .venv/bin/python -m pip "$@"; }
elif "$python" -m pip --version >/dev/null 2>&1; then
    pip() { "$python" -m pip --python .venv/bin/python "$@"; }
else
    echo "error: there is no pip, neither in .venv nor for '$python';" \
        "install it (Debian: apt-get install python3-pip)." >&2
    exit 2
fi

echo "Installing from $lock into .venv (once) ..."
pip install --quiet --disable-pip-version-check --require-hashes -r "$lock"
pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index --editable .
