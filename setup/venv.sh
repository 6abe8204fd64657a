#!/bin/sh
# Make .venv with the Python given, also where its venv module brings no pip; say once what the system lacks.
set -eu
python=$1

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    found=$("$python" --version 2>/dev/null) || found=missing
    echo "error: bidsim needs Python 3.11 or newer; '$python' is $found." >&2
    echo "Name another one: make demo PYTHON=/path/to/python3.11" >&2
    exit 2
fi

if ! "$python" -c 'import ctypes; ctypes.CDLL("libgomp.so.1")' 2>/dev/null; then
    cat >&2 <<'EOF'
error: the system lacks libgomp.so.1, the OpenMP library that LightGBM needs. Install it, then run the command again:
  Debian, Ubuntu:  apt-get install libgomp1
  Fedora:          dnf install libgomp
  Alpine:          apk add libgomp
EOF
    exit 2
fi

"$python" -m venv .venv >/dev/null 2>&1 || "$python" -m venv --clear --without-pip .venv
