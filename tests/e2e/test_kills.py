"""`convert_upload` killed by SIGKILL at each of its steps, and its event delivered again, on the local cloud.

The victim is the function's own code in a process of its own, at work on the cloud's own tables and bucket; what the
event then comes to is the deployed function. The same for every function and every step, in process and thus faster,
is in tests/integration/test_crashes.py.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from local.cloud import Cloud
from local.sam import REGION, ROOT
from tests.e2e.test_long_recordings import ask, music, post_file, riff
from tests.support.client import Account, HttpClient, sign_up
from tests.support.contract import target

# Runs the function with an event; says each step, and ends itself, as Lambda would, at the one that is its argument.
VICTIM = """
import json, os, signal, sys
from records import aws
from tests.support.client import Context

steps = []

def step(moment):
    def reached(event_name, **_):
        steps.append(f"{moment} {event_name.split('.', 1)[1]}")
        if len(steps) - 1 == int(sys.argv[1]):
            os.kill(os.getpid(), signal.SIGKILL)
    return reached

aws.session().register("before-send", step("before"))
aws.session().register("after-call", step("after"))

from functions.convert_upload.app import lambda_handler

lambda_handler(json.load(sys.stdin), Context(seconds=60))
print("\\n" + json.dumps(steps))
"""
NEVER = -1


@pytest.fixture(scope="module")
def converter(cloud: Cloud) -> Iterator[dict[str, Any]]:
    """The deployed function's configuration. Meanwhile nobody tells it that an upload has arrived."""
    [found] = [f for f in cloud.client("lambda").list_functions()["Functions"] if "ConvertUpload" in f["FunctionName"]]
    storage, bucket = cloud.client("s3"), cloud.outputs["BucketName"]
    told = storage.get_bucket_notification_configuration(Bucket=bucket)
    del told["ResponseMetadata"]
    assert told
    storage.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={})
    yield found
    storage.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=told)


def arrive(client: HttpClient, account: Account) -> tuple[dict[str, Any], dict[str, Any]]:
    """An upload that has arrived: its ticket, and S3's event."""
    ticket = ask(client, account, "lecture.wav")
    assert post_file(ticket["upload"], riff(8000, 1, 16, 2, music())) in (200, 201, 204)
    key = ticket["upload"]["fields"]["key"]
    return ticket, {"Records": [{"s3": {"object": {"key": key, "size": 32044}}}]}


def run(cloud: Cloud, converter: dict[str, Any], event: dict[str, Any], at: int) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        **converter["Environment"]["Variables"],
        "AWS_ENDPOINT_URL": cloud.client("s3").meta.endpoint_url,
        **cloud.credentials,
        "AWS_DEFAULT_REGION": REGION,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "layers/records")]),
    }
    return subprocess.run(
        [sys.executable, "-c", VICTIM, str(at)],
        input=json.dumps(event),
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def objects(cloud: Cloud, ticket: dict[str, Any]) -> list[str]:
    """What the bucket holds of a record: 'records' for an MP3, 'uploads' for a WAV."""
    storage, bucket = cloud.client("s3"), cloud.outputs["BucketName"]
    found = []
    for kind in ("records", "uploads"):
        listing = storage.list_objects_v2(Bucket=bucket, Prefix=f"{kind}/{ticket['user']}/{ticket['id']}/")
        found += [kind for _ in listing.get("Contents", [])]
    return found


def test_killed_at_each_step(
    client: HttpClient, cloud: Cloud, converter: dict[str, Any], measured: Callable[[str], None]
) -> None:
    account = sign_up(client)
    _, event = arrive(client, account)
    whole = run(cloud, converter, event, NEVER)
    assert whole.returncode == 0, whole.stderr
    steps = json.loads(whole.stdout.splitlines()[-1])
    for expected in ("after s3.PutObject", "before dynamodb.UpdateItem", "before s3.DeleteObject"):
        assert expected in steps
    for number, step in enumerate(steps):
        ticket, event = arrive(client, account)
        killed = run(cloud, converter, event, number)
        assert killed.returncode == -signal.SIGKILL, (step, killed.stderr)
        again = cloud.client("lambda").invoke(FunctionName=converter["FunctionName"], Payload=json.dumps(event))
        assert "FunctionError" not in again, (step, again["Payload"].read())
        reply = client.request("GET", target(ticket["url"]), {"Accept": "application/json"})
        assert (reply.status, reply.json["status"], reply.json["duration"]) == (200, "ready", 2), step
        assert objects(cloud, ticket) == ["records"], step
        mp3 = client.request("GET", target(ticket["url"]))
        assert (mp3.status, len(mp3.body)) == (200, reply.json["mp3"]["bytes"]), step
    measured(f"convert_upload on the local cloud: killed at each of {len(steps)} steps, ready after each")
