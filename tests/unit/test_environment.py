"""`make` on a machine that lacks something says what, before anything else happens."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT

NEEDED = ("sh", "cat", "cp", "dirname", "grep", "mkdir", "touch")
# Answers as a Python would: the version is right, and what is asked for next is there or not.
PYTHON = """#!/bin/sh
case "$2" in
    *version_info*) exit {version} ;;
    *ensurepip*) exit {venv} ;;
esac
exit 1
"""

# Makes virtual environments, in which pip has no network.
OFFLINE_PYTHON = """#!/bin/sh
case "$*" in
    *"-m venv"*) mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
    *"-m pip"*) echo "ERROR: Could not resolve host" && exit 1 ;;
esac
"""


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A copy of the script in a project of its own, and a PATH without any Python."""
    (tmp_path / "local").mkdir()
    shutil.copy(ROOT / "local/environment.sh", tmp_path / "local")
    (tmp_path / "bin").mkdir()
    for tool in NEEDED:
        found = shutil.which(tool)
        assert found
        (tmp_path / "bin" / tool).symlink_to(found)
    return tmp_path


def install(machine: Path) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": str(machine / "bin"), "HOME": str(machine), "PYENV_ROOT": str(machine / "pyenv")}
    command = ["sh", str(machine / "local/environment.sh"), "requirements-local.txt", ".venv/.local"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def put_python(path: Path, version: int = 0, venv: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(PYTHON.format(version=version, venv=venv))
    path.chmod(0o755)


def test_no_python(machine: Path) -> None:
    done = install(machine)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Records needs Python 3.11 or newer (up to 3.14), and there is none")


def test_an_old_python(machine: Path) -> None:
    put_python(machine / "bin/python3", version=1)
    done = install(machine)
    assert (done.returncode, done.stdout) == (1, "")
    assert "Records needs Python 3.11 or newer" in done.stderr


def test_no_venv(machine: Path) -> None:
    put_python(machine / "bin/python3.12", venv=1)
    done = install(machine)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "python3.12 cannot make virtual environments. On Debian and Ubuntu: sudo apt install python3-venv\n"
    )


def test_no_network(machine: Path) -> None:
    """pip's own words, and then ours."""
    put_python(machine / "bin/python3.13")
    (machine / "bin/python3.13").write_text(OFFLINE_PYTHON)
    (machine / "requirements-local.txt").write_text("uv==1\n")
    done = install(machine)
    assert done.returncode == 1
    assert done.stderr == (
        "ERROR: Could not resolve host\n"
        "Packages are downloaded from PyPI: is there a network? Behind a proxy, set HTTPS_PROXY.\n"
    )


def test_a_python_of_pyenvs(machine: Path) -> None:
    put_python(machine / "pyenv/versions/3.12.9/bin/python", venv=1)
    done = install(machine)
    assert done.stderr.startswith(f"{machine}/pyenv/versions/3.12.9/bin/python cannot make virtual environments.")


def test_the_newest_is_not_the_first_choice(machine: Path) -> None:
    """3.13 is what the functions run on in AWS."""
    put_python(machine / "bin/python3.14", venv=1)
    put_python(machine / "bin/python3.13", venv=1)
    assert install(machine).stderr.startswith("python3.13 cannot")
