"""Init time of each function: python -m benchmarks.init [--quick]

What Lambda does when it starts a function: its runtime (awslambdaric) is there already, and imports the handler. Each
figure is the processor time of that in a fresh process, the least of the rounds, which are taken in turn:

- as built: the layer as `sam build` makes it;
- without bytecode: the same layer, had it no .pyc files;
- plain pip: the same functions over `pip install -r requirements.txt`, which is how layers are mostly made.

In all of them Python's own library has its bytecode, as on Lambda.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from benchmarks.common import ENVIRONMENT, table
from tests.support.layers import ROOT, SOURCE, layer

FUNCTIONS = ("get_record", "listen", "create_user", "create_record", "convert_upload", "remove_audio", "site")
PROGRAM = """
import sys, time
sys.path[:0] = sys.argv[1:3]
sys.path.append(sys.argv[3])
import awslambdaric.bootstrap
before, started = len(sys.modules), time.process_time()
import app
print(time.process_time() - started, len(sys.modules) - before)
"""

# The same imports as create_user's, in an order that shows what each of them adds.
VALIDATION = """
import sys, time
sys.path[:0] = sys.argv[1:3]
sys.path.append(sys.argv[3])
import awslambdaric.bootstrap
def lap(last=[time.process_time()]):
    before, last[0] = last[0], time.process_time()
    print(last[0] - before)
from records import api, users
lap()
import pydantic
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field
class Model(BaseModel): pass
lap()
import email_validator
lap()
import app
lap()
"""


def plain_pip(folder: Path) -> Path:
    """The packages as they are installed, and no bytecode: pip makes it, but SAM and most recipes remove it."""
    uv = Path(sys.executable).parent / "uv"
    install = [str(uv), "pip", "install", "--quiet", "--no-deps", "--python", sys.executable, "--target", str(folder)]
    subprocess.run([*install, "-r", str(SOURCE / "requirements.txt"), "boto3"], check=True)
    shutil.copytree(SOURCE / "records", folder / "records", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def without_bytecode(folder: Path) -> Path:
    shutil.copytree(layer(), folder, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def start(function: str, packages: Path, client: Path, *, clients: bool) -> tuple[float, int]:
    """Seconds of processor time, and how many modules were imported. clients: whether AWS's are made too."""
    extra = {"AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand"} if clients else {}
    seconds, modules = output(PROGRAM, function, packages, client, **extra)
    return float(seconds), int(modules)


def output(program: str, function: str, packages: Path, client: Path, **environment: str) -> list[str]:
    """What a program prints in a fresh process, word by word."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", program, ROOT / "functions" / function, packages, client],
        env={**ENVIRONMENT, "PATH": os.defpath, **environment},
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.split()


def runtime(folder: Path) -> Path:
    """A folder with Lambda's runtime client and nothing else."""
    found = find_spec("awslambdaric")
    if not found or not found.origin:
        sys.exit("awslambdaric is missing: install benchmarks/requirements.txt.")
    packages = Path(found.origin).parent.parent
    folder.mkdir()
    for pattern in ("awslambdaric", "simplejson", "snapshot_restore_py.py", "runtime_client*"):
        for path in packages.glob(pattern):
            (folder / path.name).symlink_to(path)
    return folder


def run(short: bool) -> None:
    rounds = 3 if short else 6
    rows = []
    with tempfile.TemporaryDirectory() as name:
        client = runtime(Path(name) / "runtime")
        kinds = [
            (layer(), False),
            (without_bytecode(Path(name) / "bare"), False),
            (plain_pip(Path(name) / "plain"), False),
            (layer(), True),
        ]
        for function in FUNCTIONS:
            taken = [
                [start(function, packages, client, clients=clients) for packages, clients in kinds]
                for _ in range(rounds)
            ]
            built, bare, plain, with_clients = (min(one[kind][0] for one in taken) for kind in range(len(kinds)))
            modules = [taken[0][kind][1] for kind in (0, 2)]
            rows.append(
                [
                    function,
                    *(f"{1000 * seconds:.0f}" for seconds in (built, bare, plain)),
                    f"**{built / plain:.2f}**",
                    f"{1000 * with_clients:.0f}",
                    f"{modules[0]} / {modules[1]}",
                ]
            )
        laps = [list(map(float, output(VALIDATION, "create_user", layer(), client))) for _ in range(rounds)]
    table(
        "Init, ms of processor time",
        ("function", "as built", "without bytecode", "plain pip", "**ratio**", "as built, with AWS clients", "modules"),
        rows,
        "Ratio: as built / plain pip. Modules: imported as built / with plain pip.",
    )
    table(
        "What of it is validation, in create_user, ms of processor time",
        ("AWS clients, Powertools, ours", "pydantic", "email-validator", "the route, its models and their schemas"),
        [[f"{1000 * min(lap):.0f}" for lap in zip(*laps, strict=True)]],
    )


if __name__ == "__main__":
    run("--quick" in sys.argv)
