"""A client that a generator makes out of the OpenAPI document signs up, sends and downloads."""

from __future__ import annotations

import hashlib
import importlib
import io
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.openapi import DOCUMENT
from tests.support.wavs import fmt, pcm, tone, wav

# The generator knows JSON, text and "any bytes", and is told that an MP3 is the latter.
CONFIG = """
post_hooks: []
content_type_overrides: {"audio/mpeg": "application/octet-stream"}
"""


def test_generated_client(base_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "config.yml"
    config.write_text(CONFIG)
    generator = Path(sys.executable).with_name("openapi-python-client")
    command = [str(generator), "generate", "--path", str(DOCUMENT), "--config", str(config), "--meta", "none"]
    made = subprocess.run(
        [*command, "--output-path", str(tmp_path / "records_client")], capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr  # it warns of the bodies of bare WAV bytes, and takes the form
    monkeypatch.syspath_prepend(str(tmp_path))

    package = importlib.import_module("records_client")
    models, types = (importlib.import_module(f"records_client.{name}") for name in ("models", "types"))
    create_user, create_record, get_record = (
        importlib.import_module(f"records_client.api.{name}")
        for name in ("users.create_user", "records.create_record", "records.get_record")
    )

    with package.Client(base_url=base_url) as client:
        user = create_user.sync(client=client, body=models.NewUser(name="Ann"))
    with package.AuthenticatedClient(base_url=base_url, token=user.token) as client:
        file = types.File(payload=io.BytesIO(wav(fmt(), pcm(tone()))), file_name="Запись.wav", mime_type="audio/wav")
        body = models.CreateRecordFilesBody(user_id=user.id, audio=file)
        record = create_record.sync(client=client, body=body, idempotency_key="once")
        assert isinstance(record, models.Record), record
        mp3 = get_record.sync(client=client, id=record.id, user=user.id).payload.read()
    assert (record.name, record.status, record.duration) == ("Запись.wav", "ready", 0.25)
    assert hashlib.sha256(mp3).hexdigest() == record.mp3.sha256
