#!/bin/sh
# Makes the two environments that everything else runs in: .venv, with the requirements that $1 names, and .sam (SAM CLI,
# which needs another botocore); then the stamp $2. Needs any Python from 3.11 on, found on PATH or among pyenv's.
set -eu
cd "$(dirname "$0")/.."

# What pip and uv say is shown only where something goes wrong.
log=.local/environment.log
mkdir -p .local
quietly() {
    "$@" >"$log" 2>&1 && return
    cat "$log" >&2
    if grep -qiE 'resolve|network|unreachable|connection|dns error|timed out|client error' "$log"; then
        echo "Packages are downloaded from PyPI: is there a network? Behind a proxy, set HTTPS_PROXY." >&2
    fi
    exit 1
}

suits() {
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null
}

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        suits "$PYTHON" && echo "$PYTHON"
        return
    fi
    # 3.13 is what the functions run on in AWS; the nearest that is there does for this machine.
    for version in 3.13 3.12 3.11 3.14; do
        for python in "python$version" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$version"*/bin/python; do
            if command -v "$python" >/dev/null && suits "$python"; then
                echo "$python"
                return
            fi
        done
    done
    suits python3 && echo python3
}

python=$(find_python) || python=
if [ -z "$python" ]; then
    echo "Records needs Python 3.11 or newer (up to 3.14), and there is none: neither on PATH nor among pyenv's versions." >&2
    echo "Install one, such as python3.13, or name it: make run PYTHON=/path/to/python3" >&2
    exit 1
fi
if ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then
    echo "$python cannot make virtual environments. On Debian and Ubuntu: sudo apt install python3-venv" >&2
    exit 1
fi

echo "Installing $1 with $("$python" --version) into .venv ..."
# What is there is kept and brought up to date, unless its Python is gone.
suits .venv/bin/python || quietly "$python" -m venv --clear .venv
[ -x .venv/bin/uv ] || quietly .venv/bin/python -m pip install --disable-pip-version-check "$(grep '^uv==' requirements-local.txt)"
quietly .venv/bin/uv pip install --python .venv/bin/python -r "$1"
suits .sam/bin/python || quietly .venv/bin/uv venv --clear --python .venv/bin/python .sam
quietly .venv/bin/uv pip install --python .sam/bin/python -r requirements-sam.txt
touch "$2"
