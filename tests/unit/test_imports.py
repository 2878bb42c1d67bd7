"""What each function may import when it starts: every module costs a cold start, and nobody notices one more."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.layers import ROOT, layer

AWS = {"botocore", "urllib3", "dateutil", "six", "jmespath", "pynamodb"}
POWERTOOLS = {"aws_lambda_powertools", "typing_extensions"}
PYDANTIC = {"pydantic", "pydantic_core", "annotated_types", "typing_inspection"}

# Packages from outside the standard library, no more and no less. pydub comes with the first conversion, s3transfer
# with the first MP3 of over 64 MiB.
MAY_IMPORT = {
    "create_user": AWS | POWERTOOLS | PYDANTIC | {"email_validator", "idna"},
    "create_record": AWS | POWERTOOLS | PYDANTIC | {"multipart"},
    "get_record": AWS | POWERTOOLS,
    "convert_upload": AWS | POWERTOOLS,
    "remove_audio": AWS | POWERTOOLS,
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
NO_CONVERSION = {"records.mp3", "records.wav", "records.levels"}
NEVER_OF = {
    "create_user": NO_CONVERSION,
    "create_record": set(),
    "get_record": NO_CONVERSION,
    "convert_upload": NO_HTTP,
    "remove_audio": NO_HTTP | NO_CONVERSION,
    "site": {"records.aws", "records.api"},
}

PROGRAM = """
import json, sys
sys.path[:0] = sys.argv[1:]
before = set(sys.modules)
import app
print(json.dumps(sorted(set(sys.modules) - before - {"app"})))
"""


def imported(function: str) -> set[str]:
    """Every module that a start of the function imports, with the layer as it is deployed."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-W", "error", "-c", PROGRAM, str(ROOT / "functions" / function), str(layer())],
        env={"PATH": os.environ["PATH"], "POWERTOOLS_SERVICE_NAME": function},
        check=False,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return set(json.loads(done.stdout))


def outside(modules: set[str]) -> set[str]:
    """The packages that are neither the standard library's nor ours."""
    tops = {name.partition(".")[0] for name in modules}
    return {name for name in tops - {"records"} - sys.stdlib_module_names if not name.startswith("_sysconfigdata")}


@pytest.mark.parametrize("function", MAY_IMPORT)
def test_imports(function: str) -> None:
    modules = imported(function)
    assert outside(modules) == MAY_IMPORT[function]
    assert modules & (NEVER | NEVER_OF[function]) == set()
