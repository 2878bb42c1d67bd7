"""The `records` layer as it is deployed: small, complete, made the same twice, and able to do what it is for."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer

from tests.support.layers import ARCHITECTURE, ROOT, layer, make_layer

MAX_ZIPPED_BYTES = 12 * 1000 * 1000


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def zipped(folder: Path, target: Path) -> int:
    """Bytes of the layer as it is sent to AWS."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in folder.rglob("*"):
            archive.write(path, Path("python") / path.relative_to(folder))
    return target.stat().st_size


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The layer for the architecture that this machine is not."""
    architecture = "arm64" if ARCHITECTURE == "x86_64" else "x86_64"
    return make_layer(tmp_path_factory.mktemp("other"), architecture)


def test_small_for_both_architectures(other: Path, tmp_path: Path) -> None:
    for number, folder in enumerate((layer(), other)):
        assert zipped(folder, tmp_path / f"{number}.zip") < MAX_ZIPPED_BYTES


def test_made_the_same_twice(tmp_path: Path) -> None:
    assert digests(make_layer(tmp_path)) == digests(layer())


def test_bytecode_is_the_same_for_both_architectures(other: Path) -> None:
    """It is made on one and runs on the other."""
    mine = {name: digest for name, digest in digests(layer()).items() if name.endswith(".pyc")}
    assert mine == {name: digest for name, digest in digests(other).items() if name.endswith(".pyc")}


def test_bytecode_of_every_module_that_python_does_not_check() -> None:
    """Bits 0 and 1 of the flags: by hash, and not compared with the source (PEP 552)."""
    for source in layer().rglob("*.py"):
        header = Path(importlib.util.cache_from_source(str(source))).read_bytes()[:8]
        assert header == importlib.util.MAGIC_NUMBER + (0b01).to_bytes(4, "little"), source


def test_models_of_the_services_in_use_without_documentation() -> None:
    data = layer() / "botocore/data"
    assert sorted(path.name for path in data.iterdir()) == [
        "_retry.json",
        "dynamodb",
        "endpoints.json",
        "partitions.json",
        "s3",
        "sdk-default-configuration.json",
        "sqs",
    ]

    def texts(model: object) -> Iterator[object]:
        if isinstance(model, dict):
            yield from [model["documentation"]] if isinstance(model.get("documentation"), str) else []
            for value in model.values():
                yield from texts(value)
        elif isinstance(model, list):
            for value in model:
                yield from texts(value)

    for path in data.rglob("*.json"):
        assert set(texts(json.loads(path.read_text("utf-8")))) <= {""}, path


def test_licence_of_every_package() -> None:
    for folder in layer().glob("*.dist-info"):
        found = [path.name.lower() for path in folder.rglob("*") if path.is_file()]
        assert any(name.startswith(("license", "licence", "copying")) for name in found), folder.name


def test_names_of_gathering_packages_are_all_there() -> None:
    """Each name that Powertools' packages export can be imported on demand, and is what it was."""
    code = """
import importlib, json, sys
found = {}
for package in sys.argv[1:]:
    module = importlib.import_module(package)
    found[package] = {name: getattr(module, name).__module__ for name in module.__all__}
print(json.dumps(found))
"""
    packages = (
        "aws_lambda_powertools.event_handler",
        "aws_lambda_powertools.event_handler.openapi",
        "aws_lambda_powertools.utilities.data_classes",
    )
    command = [sys.executable, "-W", "ignore", "-c", code, *packages]
    # Some of the names need packages that the layer has not: those of the tests' environment stand in.
    environment = {**os.environ, "POWERTOOLS_SERVICE_NAME": "records"}
    before, after = (
        json.loads(subprocess.run(command, env=environment | extra, check=True, capture_output=True).stdout)
        for extra in ({"PYTHONPATH": ""}, {"PYTHONPATH": str(layer())})
    )
    assert before == after


@pytest.fixture(scope="module")
def moto_address() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def test_real_calls(moto_address: str, ffmpeg: str, tmp_path: Path) -> None:
    """Every function does its work with this layer alone, as if Lambda had started it."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "PYTHONPATH": str(layer()),
        "PYTHONDONTWRITEBYTECODE": "1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_REGION": "eu-central-1",
        "AWS_ENDPOINT_URL": moto_address,
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "STORAGE_URL": moto_address,
        "USERS_TABLE": "users",
        "RECORDS_TABLE": "records",
        "BUCKET": "records-layer",
        "FFMPEG": ffmpeg,
        "POWERTOOLS_SERVICE_NAME": "records",
        "POWERTOOLS_METRICS_NAMESPACE": "Records",
        "POWERTOOLS_LOG_LEVEL": "ERROR",
    }
    done = subprocess.run(
        [sys.executable, "-S", "-m", "tests.build.layer_calls"],
        env=environment,
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
