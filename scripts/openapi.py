"""Write the OpenAPI document of the whole service: `python -m scripts.openapi` (make openapi).

The functions' routes and models say everything that is in it; this only joins them.
"""

from __future__ import annotations

import json
import os
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
DOCUMENT = ROOT / "functions/site/static/openapi.json"
FUNCTIONS = ("create_user", "create_record", "get_record", "manage")

DESCRIPTION = """\
Sign up, send a WAV recording, get a link that plays it as MP3.

1. `POST /users` returns a user id and a token, shown this once.
2. `POST /records` takes a WAV of at most 4.4 MiB and answers with the link; `POST /uploads` takes one of any length.
3. `GET /record` is the link. It needs no token: whoever has it can listen, and nobody can guess it.

Every error is JSON with a stable `code`, and a `message` that says what to do.
"""
TAGS = {"users": "Who sends recordings, and what they have.", "records": "Recordings and their links."}


def document() -> dict[str, Any]:
    """The document, as it is committed."""
    from importlib import import_module

    from records import openapi

    paths: dict[str, Any] = {}
    schemas = dict(openapi.SCHEMAS)
    for name in FUNCTIONS:
        module = import_module(f"functions.{name}.app")
        found = json.loads(module.app.get_openapi_json_schema())
        for path, operations in found["paths"].items():
            paths.setdefault(path, {}).update(operations)
        models = found.get("components", {}).get("schemas", {})
        schemas |= {model: schema for model, schema in models.items() if "ValidationError" not in model}
        schemas |= getattr(module, "SCHEMAS", {})
    for operations in paths.values():
        for operation in operations.values():
            _unfold(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Records",
            "version": tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"],
            "description": DESCRIPTION,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "UUID"}},
        },
    }


def _unfold(operation: dict[str, Any]) -> None:
    """Put what `records.openapi.operation` adds as extensions where it belongs."""
    parameters = operation.pop("x-parameters")
    if parameters:
        operation["parameters"] = parameters
    operation["security"] = operation.pop("x-security")
    if body := operation.pop("x-body", None):
        operation["requestBody"] = body
    for response in operation["responses"].values():
        # Powertools gives a response without a body one of JSON; each of ours has an example.
        if "example" not in response["content"].get("application/json", {"example": None}):
            del response["content"]


def text() -> str:
    return json.dumps(document(), ensure_ascii=False, indent=1) + "\n"


if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(ROOT / "layers/records")]
    os.environ.setdefault("POWERTOOLS_SERVICE_NAME", "records")
    DOCUMENT.write_text(text(), encoding="utf-8")
    print(f"wrote {DOCUMENT.relative_to(ROOT)}")
