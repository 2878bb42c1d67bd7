"""The life of a stack, on a cloud of its own: changed in place with the data kept, rolled back, deleted.

And `make deploy`, `make destroy` themselves, as far as an emulator can carry them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from botocore.exceptions import WaiterError

from local.cloud import BUCKET, STACK, Cloud
from local.sam import BUILD, ROOT, CloudError
from scripts.deploy import Stage, bucket_exists, delete_what_was_never_created, has_address, tables_of, try_out
from tests.support.client import Account, HttpClient, send, sign_up
from tests.support.wavs import sample


@pytest.fixture(scope="module")
def production(own_cloud: Cloud | None) -> Iterator[Cloud]:
    """A stack of its own, with the stage prod."""
    if own_cloud is None:
        pytest.skip("changes and deletes the stack, which it may in a cloud of its own only")
    with (
        tempfile.TemporaryDirectory(prefix="records-e2e-") as folder,
        Cloud(0, Path(folder), parameters={"Stage": "prod"}) as cloud,
    ):
        yield cloud


@pytest.fixture(scope="module")
def account(production: Cloud) -> Account:
    return sign_up(HttpClient(production.url))


@pytest.fixture(scope="module")
def record(production: Cloud, account: Account) -> dict[str, Any]:
    """A record that is to survive everything that follows."""
    reply = send(HttpClient(production.url), account, sample(2))
    assert reply.status == 201, reply
    body: dict[str, Any] = reply.json
    return body


def assert_downloads(cloud: Cloud, record: dict[str, Any]) -> None:
    reply = HttpClient(cloud.url).request("GET", record["url"])
    assert (reply.status, len(reply.body)) == (200, record["mp3"]["bytes"])


def changed(folder: Path) -> tuple[Path, dict[str, Any]]:
    """A copy of what was built, to change: its template's path, and the template."""
    shutil.copytree(BUILD / "sam", folder)
    path = folder / "template.yaml"
    return path, yaml.safe_load(path.read_text())


def test_a_limit_is_changed_in_place(production: Cloud, account: Account, record: dict[str, Any]) -> None:
    production.parameters = {"Stage": "prod", "BitRate": "128"}
    production.deploy()
    reply = send(HttpClient(production.url), account, sample(2))
    assert reply.status == 201
    assert reply.json["mp3"]["bytes"] == pytest.approx(2 * record["mp3"]["bytes"], rel=0.05)
    assert_downloads(production, record)


def test_a_function_is_changed_in_place(production: Cloud, record: dict[str, Any], tmp_path: Path) -> None:
    template, _ = changed(tmp_path / "sam")
    (tmp_path / "sam/SiteFunction/app.py").write_text(
        "def lambda_handler(event, context):\n    return {'statusCode': 200, 'body': 'changed'}\n"
    )
    production.deploy(template, stamp="another site")
    assert HttpClient(production.url).request("GET", "/").body == b"changed"
    assert_downloads(production, record)


def test_a_failed_change_is_rolled_back(production: Cloud, record: dict[str, Any], tmp_path: Path) -> None:
    template, content = changed(tmp_path / "sam")
    content["Resources"]["GetRecordFunction"]["Properties"]["MemorySize"] = 640  # done first, and then to be undone
    content["Resources"]["Impossible"] = {
        "Type": "AWS::CloudWatch::Alarm",
        "DependsOn": "GetRecordFunction",
        "Properties": {"Metrics": "none", "ComparisonOperator": "GreaterThanThreshold", "EvaluationPeriods": 1},
    }
    template.write_text(yaml.safe_dump(content))
    with pytest.raises(CloudError, match="sam deploy"):
        production.deploy(template, stamp="an impossible one")
    formation = production.client("cloudformation")
    [stack] = formation.describe_stacks(StackName=STACK)["Stacks"]
    assert stack["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    function = formation.describe_stack_resource(StackName=STACK, LogicalResourceId="GetRecordFunction")
    name = function["StackResourceDetail"]["PhysicalResourceId"]
    assert production.client("lambda").get_function_configuration(FunctionName=name)["MemorySize"] == 512
    assert_downloads(production, record)
    sign_up(HttpClient(production.url))


def test_production_data_survive_the_stack(production: Cloud, record: dict[str, Any]) -> None:
    production.deploy()
    users, records = production.outputs["UsersTableName"], production.outputs["RecordsTableName"]
    formation, tables = production.client("cloudformation"), production.client("dynamodb")
    formation.delete_stack(StackName=STACK)
    formation.get_waiter("stack_delete_complete").wait(StackName=STACK, WaiterConfig={"Delay": 1})
    key = {"user": {"N": str(record["user"])}, "id": {"S": record["id"]}}
    assert tables.get_item(TableName=records, Key=key)["Item"]["status"] == {"S": "ready"}
    assert tables.describe_table(TableName=users)["Table"]["ItemCount"] > 0
    listing = production.client("s3").list_objects_v2(Bucket=BUCKET, Prefix=f"records/{record['user']}/{record['id']}/")
    assert [item["Size"] for item in listing["Contents"]] == [record["mp3"]["bytes"]]


@pytest.fixture
def dev(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """The stage dev on the local cloud, in a region of its own."""
    environment = {
        "AWS_ENDPOINT_URL": cloud.client("s3").meta.endpoint_url,
        **cloud.credentials,
        "AWS_REGION": "eu-west-1",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "SAM_CLI_POLL_DELAY": "0.5",
        "RECORDS_FFMPEG": os.environ.get("RECORDS_FFMPEG") or "auto",  # whatever can be built on this machine
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return Stage("dev")


def status(stage: Stage) -> str | None:
    stack = stage.described()
    return str(stack["StackStatus"]) if stack else None


def test_deploy_and_destroy(dev: Stage) -> None:
    """`make deploy STAGE=dev`, whose first creation fails, again up to the address, which only AWS could answer at, and
    `make destroy STAGE=dev`."""

    def run(*arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "scripts.deploy", "dev", *arguments]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, input=typed, check=False)

    storage = dev.client("s3")
    # The bucket of the stack is there already, so that its first creation fails after other resources were made.
    storage.create_bucket(Bucket=dev.bucket, CreateBucketConfiguration={"LocationConstraint": dev.region})
    failed = run()
    assert failed.returncode == 1, failed
    assert "Waiter StackCreateComplete failed" in failed.stderr, failed
    assert failed.stderr.endswith("`sam deploy` failed; why is said above.\n"), failed
    assert status(dev) is None, "a stack that was never created is not left behind"
    storage.delete_bucket(Bucket=dev.bucket)

    deployed = run()
    assert "Successfully created/updated stack - records-dev in eu-west-1" in deployed.stdout, deployed
    assert "POST https://" in deployed.stderr, "it tries the address out, which an emulator does not have"
    assert status(dev) == "CREATE_COMPLETE"
    storage.put_object(Bucket=dev.bucket, Key="records/1/2/3/4.mp3", Body=b"a recording")

    kept = run("--destroy", typed="no\n")
    assert (kept.returncode, kept.stderr) == (1, "\nNothing was deleted.\n")
    assert (status(dev), bucket_exists(dev)) == ("CREATE_COMPLETE", True)
    destroyed = run("--destroy", typed="dev\n")
    assert destroyed.stdout.endswith("records-dev is gone.\n"), destroyed
    assert (status(dev), tables_of(dev), bucket_exists(dev)) == (None, [], False)
    again = run("--destroy")
    assert again.stdout == "There is nothing of records-dev in account 000000000000, eu-west-1.\n"


def test_a_stack_that_rolled_back_is_deployed_over(dev: Stage) -> None:
    """What an older `sam deploy`, or an interrupted one, leaves of a first creation that failed."""
    formation = dev.client("cloudformation")
    impossible = {"Type": "AWS::CloudWatch::Alarm", "DependsOn": "Topic", "Properties": {"Metrics": "none"}}
    template = {"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}, "Impossible": impossible}}
    formation.create_stack(StackName=dev.stack, TemplateBody=json.dumps(template))
    with suppress(WaiterError):
        formation.get_waiter("stack_create_complete").wait(StackName=dev.stack, WaiterConfig={"Delay": 1})
    assert status(dev) == "ROLLBACK_COMPLETE"
    delete_what_was_never_created(dev)
    assert status(dev) is None


def test_trying_out(base_url: str, own_cloud: Cloud | None) -> None:
    """And nothing of it is left, where that can be seen."""
    try_out(base_url)
    if own_cloud:
        tables, name = own_cloud.client("dynamodb"), own_cloud.outputs["RecordsTableName"]

        def left() -> list[Any]:
            rows = tables.scan(TableName=name, ConsistentRead=True)["Items"]
            return [row for row in rows if row["name"] == {"S": "smoke.wav"}]

        give_up = time.monotonic() + 120
        while left() and time.monotonic() < give_up:
            time.sleep(0.2)
        assert left() == []


def test_a_domain_without_an_address(base_url: str) -> None:
    assert has_address(base_url)
    assert not has_address("https://records.invalid")


def test_no_region(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(CloudError, match="Which AWS region"):
        Stage("dev")
    monkeypatch.setenv("AWS_REGION", "eu-north-1")
    assert Stage("dev").client("cloudformation").meta.region_name == "eu-north-1"


def test_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    assert Stage("dev").parameters == {"Architecture": "arm64", "Runtime": "python3.13", "Stage": "dev"}
    assert Stage("prod").parameters["Stage"] == "prod"
    with pytest.raises(CloudError, match="no stage nowhere, but dev and prod"):
        Stage("nowhere")


def test_production_is_not_destroyed() -> None:
    command = [sys.executable, "-m", "scripts.deploy", "prod", "--destroy"]
    environment = {**os.environ, "AWS_REGION": "eu-west-1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, "prod keeps its data" in done.stderr) == (1, True)
