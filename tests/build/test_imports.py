"""What each function may import when it starts: every module costs a cold start, and nobody notices one more."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.support.layers import ROOT, layer

AWS = {"botocore", "urllib3", "dateutil", "six", "jmespath", "pynamodb"}
POWERTOOLS = {"aws_lambda_powertools", "typing_extensions"}
PYDANTIC = {"pydantic", "pydantic_core", "annotated_types", "typing_inspection"}

# Packages from outside the standard library, no more and no less. pydub comes with the first conversion, s3transfer
# with the first MP3 of over 64 MiB.
MAY_IMPORT = {
    "create_user": AWS | POWERTOOLS | PYDANTIC | {"email_validator", "idna"},
    "create_record": AWS | POWERTOOLS | PYDANTIC | {"multipart"},
    "get_record": AWS | POWERTOOLS,
    "manage": AWS | POWERTOOLS | PYDANTIC,
    "listen": AWS | POWERTOOLS,
    "convert_upload": AWS | POWERTOOLS,
    "remove_audio": AWS | POWERTOOLS,
    "erase_user": AWS | POWERTOOLS,
    "site": set(),
}

# Modules of those packages, and of the standard library, that are dear and not needed to start.
NEVER = {
    "asyncio",
    "aws_lambda_powertools.event_handler.appsync",
    "aws_lambda_powertools.event_handler.bedrock_agent",
    "aws_lambda_powertools.event_handler.openapi.models",
    "aws_lambda_powertools.utilities.data_classes.kafka_event",
    "botocore.docs.bcdoc",
    "html.parser",
    "unittest",
    "multiprocessing",
}
NO_HTTP = {"aws_lambda_powertools.event_handler", "records.api"}  # nor what belongs to it
NO_CONVERSION = {"records.audio.mp3", "records.audio.wav", "records.audio.levels"}
NEVER_OF = {
    "create_user": NO_CONVERSION,
    "create_record": set(),
    "get_record": NO_CONVERSION,
    "manage": NO_CONVERSION,
    "listen": NO_CONVERSION | {"records.storage"},
    "convert_upload": NO_HTTP,
    "remove_audio": NO_HTTP | NO_CONVERSION,
    "erase_user": NO_HTTP | NO_CONVERSION,
    "site": {"records.aws", "records.api"},
}

# The AWS clients that are there when a function has started on Lambda: the tables', and S3's.
CLIENTS: dict[str, list[str]] = {
    "create_user": ["User"],
    "create_record": ["Recording", "User", "s3"],
    "get_record": ["Recording", "s3"],
    "manage": ["Recording", "User"],
    "listen": ["Recording", "User"],
    "convert_upload": ["Recording", "s3"],
    "remove_audio": ["Recording", "s3"],
    "erase_user": ["Recording", "s3"],
}

PROGRAM = """
import json, sys
sys.path[:0] = sys.argv[1:]
before = set(sys.modules)
import app
print(json.dumps(sorted(set(sys.modules) - before - {"app"})))
"""
MADE = """
import json, sys
sys.path[:0] = sys.argv[1:]
import app
from pynamodb.models import Model
from records import aws
made = {"s3"} if aws.s3.cache_info().currsize else set()
connected = [model for model in Model.__subclasses__() if model._connection]
made |= {model.__name__ for model in connected if model._connection.connection._client}
print(json.dumps(sorted(made)))
"""


def output(program: str, function: str, **environment: str) -> list[str]:
    """What a program finds that starts the function, with the layer as it is deployed and nothing else."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-W", "error", "-c", program, str(ROOT / "functions" / function), str(layer())],
        env={"PATH": os.environ["PATH"], "POWERTOOLS_SERVICE_NAME": function, **environment},
        check=False,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    found: list[str] = json.loads(done.stdout)
    return found


def outside(modules: set[str]) -> set[str]:
    """The packages that are neither the standard library's nor ours."""
    tops = {name.partition(".")[0] for name in modules}
    return {name for name in tops - {"records"} - sys.stdlib_module_names if not name.startswith("_sysconfigdata")}


@pytest.mark.parametrize("function", MAY_IMPORT)
def test_imports(function: str) -> None:
    modules = set(output(PROGRAM, function))
    assert outside(modules) == MAY_IMPORT[function]
    assert modules & (NEVER | NEVER_OF[function]) == set()


@pytest.mark.parametrize("function", CLIENTS)
def test_clients(function: str) -> None:
    """They are made while Lambda starts a function, and nowhere else before they are needed."""
    on_lambda = {
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_REGION": "eu-central-1",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
    }
    assert output(MADE, function, **on_lambda) == CLIENTS[function]
    assert output(MADE, function) == []
