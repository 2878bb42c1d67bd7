"""Write the OpenAPI document of the whole service: `python -m scripts.openapi` (make openapi).

Paths, operations and JSON bodies come from the functions' own routes and models, the statuses of errors from the one
table in `records.api`. What a route cannot say of itself (binary bodies, headers, links) is added here.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
DOCUMENT = ROOT / "functions/site/static/openapi.json"

RECORD_ID = "bff281a0-d6a0-49d9-8557-cd5e66828a05"
USER_ID = 6312894417265
TOKEN = "6e223112-58d4-4099-a5c8-6ad67487b3d1"  # noqa: S105 (an example)
LINK = f"http://127.0.0.1:8000/record?id={RECORD_ID}&user={USER_ID}"
PAGE = LINK.replace("/record?", "/listen?")
SHA256 = {"type": "string", "pattern": "^[0-9a-f]{64}$"}

DESCRIPTION = """\
Sign up, send a WAV recording, get a link that plays it as MP3.

1. `POST /users` gives a user id and a token, shown this once.
2. `POST /records` takes a WAV of at most 4.4 MiB and answers with the link; `POST /uploads` takes one of any length.
3. `GET /record` is the link. It needs no token: whoever has it can listen, and nobody can guess it.

Every error is JSON with a stable `code`, and a `message` that says what to do.
"""


def integer(minimum: int = 0, **more: Any) -> dict[str, Any]:
    return {"type": "integer", "minimum": minimum, **more}


def ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


USER_SCHEMA = integer(1, maximum=2**53 - 1, examples=[USER_ID], description="A user's id.")
FILE = {
    "type": "object",
    "required": ["bytes", "sha256"],
    "properties": {"bytes": integer(1), "sha256": SHA256},
}
_COMMON = {
    "url": {"type": "string", "format": "uri", "examples": [LINK], "description": "The link, final from the start."},
    "page": {"type": "string", "format": "uri", "examples": [PAGE], "description": "The page that plays it."},
    "id": {"type": "string", "format": "uuid", "examples": [RECORD_ID]},
    "user": USER_SCHEMA,
    "name": {"type": "string", "minLength": 1, "maxLength": 255, "examples": ["Запись 1.wav"]},
    "status": {"type": "string", "enum": ["pending", "ready", "failed"]},
    "created_at": {"type": "string", "format": "date-time", "examples": ["2026-11-23T10:00:00Z"]},
}
_MADE = {
    "duration": {"type": "number", "minimum": 0, "examples": [12.345], "description": "Seconds that the MP3 plays."},
    "sample_rate": integer(1000, maximum=384000, examples=[44100], description="Of the WAV, in Hz."),
    "channels": integer(1, maximum=8, examples=[2], description="Of the WAV."),
    "truncated": {"type": "boolean", "description": "The WAV declared more audio than it held."},
    "wav": FILE,
    "mp3": FILE,
    "levels": {
        "type": "object",
        "required": ["peak_dbfs", "mean_dbfs", "silent"],
        "properties": {
            "peak_dbfs": {"type": "number", "maximum": 0, "examples": [-1.2]},
            "mean_dbfs": {"type": "number", "maximum": 0, "examples": [-19.8]},
            "silent": {"type": "boolean"},
        },
    },
    "waveform": {
        "type": "array",
        "minItems": 200,
        "maxItems": 200,
        "items": integer(0, maximum=255),
        "description": "200 peaks over the whole length.",
    },
}
_LISTED = {name: schema for name, schema in _MADE.items() if name != "waveform"}
_PARTS = {
    "type": "object",
    "description": "PUT each part's bytes to its `url`, then ask again: at most 32 missing parts are listed.",
    "required": ["received", "of", "expires_at", "parts"],
    "properties": {
        "received": integer(examples=[3]),
        "of": integer(1, examples=[72]),
        "expires_at": {"type": "string", "format": "date-time", "examples": ["2026-11-23T11:00:00Z"]},
        "parts": {
            "type": "array",
            "minItems": 1,
            "maxItems": 32,
            "items": {
                "type": "object",
                "required": ["number", "offset", "bytes", "url"],
                "properties": {
                    "number": integer(1),
                    "offset": integer(),
                    "bytes": integer(1),
                    "url": {"type": "string", "format": "uri"},
                },
            },
        },
    },
}
_UPLOAD = {
    "type": "object",
    "required": ["url", "fields", "max_bytes", "expires_at"],
    "description": "Send a multipart/form-data POST to `url` with every one of `fields` and, last, `file`.",
    "properties": {
        "url": {"type": "string", "format": "uri"},
        "fields": {"type": "object", "additionalProperties": {"type": "string"}},
        "max_bytes": integer(1, examples=[4294967296]),
        "expires_at": {"type": "string", "format": "date-time"},
    },
}
_TIMES = ("requested_at", "verified_at", "backups_until", "logs_until")
_LISTS = ("ListedRecord", "PendingRecord", "FailedRecord")
SCHEMAS: dict[str, Any] = {
    "Record": {"type": "object", "required": [*_COMMON, *_MADE], "properties": _COMMON | _MADE},
    "PendingRecord": {"type": "object", "required": [*_COMMON], "properties": _COMMON},
    "FailedRecord": {
        "type": "object",
        "required": [*_COMMON, "code", "message"],
        "properties": _COMMON | {"code": {"type": "string"}, "message": {"type": "string"}, "details": {}},
    },
    "Ticket": {
        "type": "object",
        "required": [*_COMMON, "upload"],
        "properties": _COMMON | {"upload": {"oneOf": [_UPLOAD, _PARTS]}},
    },
    "Page": {
        "type": "object",
        "required": ["records"],
        "properties": {
            "records": {
                "type": "array",
                "items": {"anyOf": [ref("ListedRecord"), ref("PendingRecord"), ref("FailedRecord")]},
            },
            "next": {"type": "string", "format": "uri", "description": "The next page, while there is more."},
        },
    },
    "ListedRecord": {
        "type": "object",
        "required": [*_COMMON, *_LISTED],
        "properties": _COMMON | _LISTED,
    },
    "Account": {
        "type": "object",
        "required": ["id", "name", "created_at", "usage", "limits"],
        "properties": {
            "id": USER_SCHEMA,
            "name": {"type": "string"},
            "email": {"type": "string", "format": "email"},
            "created_at": _COMMON["created_at"],
            "usage": {
                "type": "object",
                "required": ["recordings", "seconds", "mp3_bytes"],
                "properties": {
                    "recordings": integer(examples=[12]),
                    "seconds": {"type": "number", "minimum": 0, "examples": [5321.4]},
                    "mp3_bytes": integer(examples=[85142528]),
                },
            },
            "limits": {
                "type": "object",
                "required": ["daily_seconds", "stored_seconds"],
                "description": "`null` where there is no limit.",
                "properties": {
                    "daily_seconds": {"type": ["integer", "null"], "examples": [86400]},
                    "stored_seconds": {"type": ["integer", "null"], "examples": [3600000]},
                },
            },
        },
    },
    "ErasureBegun": {
        "type": "object",
        "required": ["status", "receipt"],
        "properties": {"status": {"const": "erasing"}, "receipt": {"type": "string", "format": "uri"}},
    },
    "ErasurePending": {
        "type": "object",
        "required": ["status", "requested_at"],
        "properties": {"status": {"const": "erasing"}, "requested_at": _COMMON["created_at"]},
    },
    "Erasure": {
        "type": "object",
        "required": ["status", "user", *_TIMES, "recordings", "objects", "bytes"],
        "properties": {
            "status": {"const": "erased"},
            "user": USER_SCHEMA,
            **dict.fromkeys(_TIMES, _COMMON["created_at"]),
            "recordings": integer(examples=[12]),
            "objects": integer(examples=[12]),
            "bytes": integer(examples=[85142528]),
        },
    },
    "CreatedUser": {
        "type": "object",
        "required": ["id", "token"],
        "properties": {"id": USER_SCHEMA, "token": {"type": "string", "format": "uuid", "examples": [TOKEN]}},
    },
    "Error": {
        "type": "object",
        "required": ["code", "message"],
        "properties": {
            "code": {"type": "string", "description": "Stable: what a program tests."},
            "message": {"type": "string", "description": "What a person can do."},
            "details": {"description": "Where there is something to act on."},
        },
    },
}


def header(description: str, **schema: Any) -> dict[str, Any]:
    return {"description": description, "schema": {"type": "string", **schema}}


REQUEST_ID = {"x-request-id": header("Names this request in the logs.")}
RETRY_AFTER = {"Retry-After": header("Seconds to wait before asking again.", pattern="^[0-9]+$")}
LINK_HEADER = {"Link": header('`<url>; rel="next"`, while there is more.')}
LOCATION = {"Location": header("The link.", format="uri")}
AUDIO = {"audio/mpeg": {"schema": {"type": "string", "format": "binary"}}}
MP3_HEADERS = {
    "ETag": header("The MP3's SHA-256, in quotes."),
    "Accept-Ranges": header("`bytes`"),
    "Content-Disposition": header("`attachment`, with the recording's name."),
    "Cache-Control": header("The MP3 of a link never changes."),
}


def answer(
    description: str, schema: str | None = None, headers: dict[str, Any] | None = None, example: Any = None
) -> dict[str, Any]:
    found: dict[str, Any] = {"description": description, "headers": REQUEST_ID | (headers or {})}
    if schema:
        content: dict[str, Any] = {"schema": ref(schema)}
        if example is not None:
            content["example"] = example
        found["content"] = {"application/json": content}
    return found


def errors(*codes: str) -> dict[str, Any]:
    """The responses for these codes, by the status that the service's own table gives each."""
    from records import responses

    status_of = {cls.code: int(status) for cls, status in responses.STATUS.items()}
    grouped: dict[int, list[str]] = {}
    for code in (*codes, "unavailable"):
        grouped.setdefault(status_of.get(code, 503), []).append(code)
    found = {}
    for status, names in grouped.items():
        more = {401: {"WWW-Authenticate": header("`Bearer`")}, 503: RETRY_AFTER}.get(status)
        example = {"code": names[0], "message": MESSAGES[names[0]]}
        found[str(status)] = answer(" or ".join(f"`{name}`" for name in names), "Error", more, example)
    return found


MESSAGES = {
    "malformed_request": "The body is not valid JSON.",
    "invalid_credentials": "The user id and the token do not match.",
    "record_not_found": "There is no such recording. Check that the link was copied whole.",
    "erasure_not_found": "There is no such receipt.",
    "email_taken": "A user with this e-mail exists already.",
    "idempotency_conflict": "This Idempotency-Key was used for other audio.",
    "audio_too_large": "The audio is larger than 4613734 bytes. Send it through POST /uploads.",
    "unsupported_media_type": "Send the body as application/json, and name it in Content-Type.",
    "validation_failed": "Some fields are not valid. See details, fix them and try again.",
    "unplayable_audio": "The WAV file has no audio in it.",
    "unavailable": "The service is busy or a part of it is failing. Send the same request again in a moment.",
}

KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The same key from the same user always names the same record, so that a retry is safe.",
    "schema": {"type": "string", "pattern": "^[!-~]{1,128}$"},
}


SIGNUP_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "For 24 hours the same key and body return the same user, so that a retry is safe.",
    "schema": {"type": "string", "format": "uuid"},
}


def query(name: str, schema: dict[str, Any], *, required: bool = True) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": required, "schema": schema}


def complete(paths: dict[str, Any]) -> None:
    """Add to each operation what its route cannot say."""
    bearer: list[dict[str, list[str]]] = [{"bearer": []}, {}]
    owner: list[dict[str, list[str]]] = [{"bearer": []}]
    users = paths["/users"]["post"]
    users |= {"operationId": "createUser", "summary": "Sign up", "tags": ["users"], "parameters": [SIGNUP_KEY]}
    users["responses"] = {
        "201": answer("The id and the token. Keep the token: it is not shown again.", "CreatedUser"),
        "200": answer("The same id and token as before, for the same key and body.", "CreatedUser"),
        **errors(
            "malformed_request", "email_taken", "idempotency_conflict", "unsupported_media_type", "validation_failed"
        ),
    }
    paths["/users"]["get"] |= {
        "operationId": "getUser",
        "summary": "Look at one's account",
        "tags": ["users"],
        "security": owner,
        "parameters": [query("user_id", USER_SCHEMA)],
        "responses": {"200": answer("The account.", "Account"), **errors("invalid_credentials", "validation_failed")},
    }
    paths["/users"]["delete"] |= {
        "operationId": "eraseUser",
        "summary": "Erase one's account and recordings",
        "description": "The token is refused everywhere else at once; asked again with it, the response is the same.",
        "tags": ["users"],
        "security": owner,
        "parameters": [query("user_id", USER_SCHEMA)],
        "responses": {
            "202": answer("It has begun. The receipt says when it is done.", "ErasureBegun", LOCATION),
            **errors("invalid_credentials", "validation_failed"),
        },
    }
    paths["/erasure"]["get"] |= {
        "operationId": "getErasure",
        "summary": "Look at the receipt of an erasure",
        "tags": ["users"],
        "parameters": [query("id", {"type": "string", "format": "uuid"})],
        "responses": {
            "202": answer("It is under way.", "ErasurePending", RETRY_AFTER),
            "200": answer("Nothing is left.", "Erasure"),
            **errors("erasure_not_found", "validation_failed"),
        },
    }
    paths["/users/token"]["post"] |= {
        "operationId": "replaceToken",
        "summary": "Replace one's token",
        "description": "The old token is refused from now on, except that for 24 hours it may repeat this request.",
        "tags": ["users"],
        "security": owner,
        "parameters": [KEY | {"required": True}],
        "responses": {
            "200": answer("The new token.", "CreatedUser"),
            **errors("malformed_request", "invalid_credentials", "unsupported_media_type", "validation_failed"),
        },
    }
    paths["/records"]["get"] |= {
        "operationId": "listRecords",
        "summary": "List one's recordings, newest first",
        "tags": ["records"],
        "security": owner,
        "parameters": [
            query("user_id", USER_SCHEMA),
            query("status", {"type": "string", "enum": ["pending", "ready", "failed"]}, required=False),
            query("limit", integer(1, maximum=100, default=50), required=False),
            query("after", {"type": "string"}, required=False),
        ],
        "responses": {
            "200": answer("A page. It may be short while there is a `next`.", "Page", LINK_HEADER),
            **errors("invalid_credentials", "validation_failed"),
        },
    }

    records = paths["/records"]["post"]
    wav = {"schema": {"type": "string", "format": "binary"}}
    records |= {
        "operationId": "createRecord",
        "summary": "Send a recording of at most 4.4 MiB",
        "description": "Either the WAV's own bytes with `user_id` (and `name`) in the query, or a form.",
        "tags": ["records"],
        "security": bearer,
        "parameters": [
            query("user_id", USER_SCHEMA, required=False),
            query("name", {"type": "string", "minLength": 1, "maxLength": 255}, required=False),
            KEY,
        ],
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {
                    "schema": {
                        "type": "object",
                        "required": ["user_id", "audio"],
                        "properties": {
                            "user_id": USER_SCHEMA,
                            "token": {"type": "string", "description": "Unless it is in the Authorization header."},
                            "audio": {
                                "type": "string",
                                "format": "binary",
                                "description": "The WAV file; its name is kept.",
                            },
                        },
                    }
                },
                "audio/wav": wav,
                "audio/x-wav": wav,
                "audio/wave": wav,
                "audio/vnd.wave": wav,
            },
        },
        "responses": {
            "201": answer("The record, ready.", "Record", LOCATION),
            "200": answer("The record that the same key named before.", "Record", LOCATION),
            **errors(
                "malformed_request",
                "invalid_credentials",
                "idempotency_conflict",
                "audio_too_large",
                "unsupported_media_type",
                "unsupported_audio",
                "validation_failed",
                "unplayable_audio",
            ),
        },
    }

    uploads = paths["/uploads"]["post"]
    uploads |= {
        "operationId": "createUpload",
        "summary": "Ask for a place to send a recording of any length to",
        "tags": ["records"],
        "security": bearer,
        "parameters": [KEY],
    }
    ready = answer("The record that the same key named before; with `upload` while it is pending.", None, LOCATION)
    known = [ref("Ticket"), ref("Record"), ref("PendingRecord"), ref("FailedRecord")]
    ready["content"] = {"application/json": {"schema": {"anyOf": known}}}
    uploads["responses"] = {
        "201": answer("Where to send the file; the conversion starts by itself.", "Ticket", LOCATION),
        "200": ready,
        **errors(
            *("malformed_request", "invalid_credentials", "idempotency_conflict", "audio_too_large"),
            *("unsupported_media_type", "validation_failed"),
        ),
    }

    parameters = [
        query("id", {"type": "string", "format": "uuid", "examples": [RECORD_ID]}),
        query("user", USER_SCHEMA),
    ]
    conditions = [
        {"name": name, "in": "header", "description": text, "schema": {"type": "string"}}
        for name, text in (
            ("Range", "One range of bytes, such as `bytes=0-99`."),
            ("If-Range", "An ETag: the range is for that MP3 only."),
            ("If-None-Match", "ETags that the client has."),
        )
    ]
    states = {
        "202": answer("It is not converted yet.", "PendingRecord", RETRY_AFTER),
        "302": answer("A larger MP3: a short-lived address that serves the bytes.", None, LOCATION),
        "303": answer("To a browser, where there is nothing to play: the page that says why.", None, LOCATION),
        "304": answer("The client has it.", None, {"ETag": MP3_HEADERS["ETag"]}),
        **errors("record_not_found", "validation_failed"),
        "410": answer("It could not be converted; `code` says why.", "Error"),
    }
    whole = answer("The MP3; or, with `Accept: application/json`, the record.", "Record", MP3_HEADERS)
    whole["content"] = AUDIO | whole["content"]  # the first is what "Try it out" asks for
    part = answer("The range of the MP3.", None, MP3_HEADERS | {"Content-Range": header("Which bytes these are.")})
    part["content"] = AUDIO
    past = answer("`range_not_satisfiable`", "Error", {"Content-Range": header("How many bytes there are.")})
    record = paths["/record"]
    record["get"] |= {
        "operationId": "getRecord",
        "summary": "Download a recording",
        "tags": ["records"],
        "parameters": parameters + conditions,
        "responses": {"200": whole, "206": part, **states, "416": past},
    }
    no_body = {
        status: {k: v for k, v in found.items() if k != "content"} for status, found in {**states, "200": whole}.items()
    }
    record["head"] |= {
        "operationId": "headRecord",
        "summary": "The headers of a download",
        "tags": ["records"],
        "parameters": [*parameters, conditions[2]],
        "responses": {status: found for status, found in no_body.items() if status != "302"},
    }
    record["patch"] |= {
        "operationId": "renameRecord",
        "summary": "Rename a recording",
        "tags": ["records"],
        "security": owner,
        "parameters": parameters,
        "responses": {
            "200": answer("The record under its new name.", None),
            **errors(
                "malformed_request",
                "invalid_credentials",
                "record_not_found",
                "unsupported_media_type",
                "validation_failed",
            ),
        },
    }
    renamed = [ref("Record"), ref("PendingRecord"), ref("FailedRecord")]
    record["patch"]["responses"]["200"]["content"] = {"application/json": {"schema": {"anyOf": renamed}}}
    record["delete"] |= {
        "operationId": "deleteRecord",
        "summary": "Delete a recording",
        "tags": ["records"],
        "security": owner,
        "parameters": parameters,
        "responses": {
            "204": answer("It is deleted, or was not there."),
            **errors("invalid_credentials", "record_not_found", "validation_failed"),
        },
    }


def document() -> dict[str, Any]:
    """The document, as it is committed."""
    import functions.create_record.app
    import functions.create_user.app
    import functions.get_record.app
    import functions.manage.app

    paths: dict[str, Any] = {}
    schemas = dict(SCHEMAS)
    for module in (
        functions.create_user.app,
        functions.create_record.app,
        functions.get_record.app,
        functions.manage.app,
    ):
        found = json.loads(module.app.get_openapi_json_schema())
        for path, operations in found["paths"].items():
            paths.setdefault(path, {}).update(operations)
        models = found.get("components", {}).get("schemas", {})
        schemas |= {name: model for name, model in models.items() if "ValidationError" not in name}
    complete(paths)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Records",
            "version": "1.0.0",
            "description": DESCRIPTION,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": "users"}, {"name": "records"}],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "UUID"}},
        },
    }


def text() -> str:
    return json.dumps(document(), ensure_ascii=False, indent=1) + "\n"


if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(ROOT / "layers/records")]
    os.environ.setdefault("POWERTOOLS_SERVICE_NAME", "records")
    DOCUMENT.write_text(text(), encoding="utf-8")
    print(f"wrote {DOCUMENT.relative_to(ROOT)}")
