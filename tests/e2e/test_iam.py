"""The functions are held to their policies where these tests run: without a permission the call that needs it fails."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from local.cloud import STACK, Cloud
from local.sam import BUILD
from tests.support.client import Account, HttpClient, Reply, form, send, sign_up
from tests.support.wavs import sample

Call = Callable[[HttpClient, Account, str], Reply]


def sign_up_again(client: HttpClient, _account: Account, _link: str) -> Reply:
    return client.request("POST", "/users", {"Content-Type": "application/json"}, '{"name": "user2"}')


def send_a_recording(client: HttpClient, account: Account, _link: str) -> Reply:
    return send(client, account, sample(1))


def send_the_first(client: HttpClient, _account: Account, _link: str) -> Reply:
    """The first recording of a user, at which is added up what is stored."""
    return send(client, sign_up(client), sample(1))


def delete(client: HttpClient, account: Account, _link: str) -> Reply:
    return client.request("DELETE", send(client, account, sample(1)).json["url"], account.bearer)


def download(client: HttpClient, _account: Account, link: str) -> Reply:
    return client.request("GET", link)


def upload(client: HttpClient, account: Account, _link: str) -> Reply:
    """Ask for an address to upload to, and upload to it."""
    body = json.dumps({"user_id": account.id, "name": "a.wav"})
    asked = client.request("POST", "/uploads", {"Content-Type": "application/json", **account.bearer}, body)
    assert asked.status == 201, asked
    fields = [(name, None, value.encode()) for name, value in asked.json["upload"]["fields"].items()]
    headers, content = form(*fields, ("file", "a.wav", sample(1)))
    return client.request("POST", asked.json["upload"]["url"], headers, content)


def open_page(client: HttpClient, _account: Account, link: str) -> Reply:
    return client.request("GET", link.replace("/record?", "/listen?"))


def wait_for_it(client: HttpClient, account: Account, link: str) -> Reply:
    headers = {"Content-Type": "application/json", **account.bearer}
    ticket = client.request("POST", "/uploads", headers, json.dumps({"user_id": account.id, "name": "a.wav"}))
    waiting = {"Accept": "application/json", "Prefer": "wait=1", **account.bearer}
    return client.request("GET", ticket.json["url"], waiting)


@dataclass(frozen=True)
class Permission:
    function: str
    sid: str  # the statement of its policy
    call: Call  # that needs it
    granted: int  # its status with the permission
    denied: int  # and without


PERMISSIONS = (
    Permission("CreateUser", "RegisterUser", sign_up_again, 201, 503),
    Permission("CreateRecord", "AuthenticateUser", send_a_recording, 201, 503),
    Permission("CreateRecord", "ReserveRow", send_a_recording, 201, 503),
    Permission("CreateRecord", "CountSeconds", send_a_recording, 201, 503),
    Permission("CreateRecord", "AddUpWhatIsStored", send_the_first, 201, 503),
    Permission("Manage", "DeleteRow", delete, 204, 503),
    Permission("Manage", "ReplaceTokenOrEraseOrFreeSpace", delete, 204, 503),
    Permission("CreateRecord", "StoreAudio", send_a_recording, 201, 503),
    Permission("CreateRecord", "CompleteOrFailRow", send_a_recording, 201, 503),
    Permission("CreateRecord", "SignUploads", upload, 204, 403),
    Permission("GetRecord", "ReadRow", download, 200, 503),
    Permission("GetRecord", "ReadAudio", download, 200, 503),
    Permission("Listen", "ReadRow", open_page, 200, 503),
    Permission("Listen", "ReadAuthorsName", open_page, 200, 503),
    Permission("GetRecord", "AuthenticateOwner", wait_for_it, 202, 503),
)


@pytest.fixture(scope="module")
def account(client: HttpClient) -> Account:
    return sign_up(client)


@pytest.fixture(scope="module")
def link(client: HttpClient, account: Account) -> str:
    reply = send(client, account, sample(1))
    assert reply.status == 201, reply
    url: str = reply.json["url"]
    return url


@contextmanager
def without(cloud: Cloud, function: str, sid: str) -> Iterator[None]:
    """Take one statement out of a function's policy, and put it back."""
    iam, formation = cloud.client("iam"), cloud.client("cloudformation")
    role = formation.describe_stack_resource(StackName=STACK, LogicalResourceId=f"{function}FunctionRole")
    where = {
        "RoleName": role["StackResourceDetail"]["PhysicalResourceId"],
        "PolicyName": f"{function}FunctionRolePolicy0",
    }
    policy = iam.get_role_policy(**where)["PolicyDocument"]
    less = {**policy, "Statement": [statement for statement in policy["Statement"] if statement["Sid"] != sid]}
    assert len(less["Statement"]) == len(policy["Statement"]) - 1
    iam.put_role_policy(**where, PolicyDocument=json.dumps(less))
    try:
        yield
    finally:
        iam.put_role_policy(**where, PolicyDocument=json.dumps(policy))


@pytest.mark.parametrize("permission", PERMISSIONS, ids=lambda p: f"{p.function}-{p.sid}")
def test_each_permission_is_needed(
    cloud: Cloud, client: HttpClient, account: Account, link: str, permission: Permission
) -> None:
    with without(cloud, permission.function, permission.sid):
        assert permission.call(client, account, link).status == permission.denied
    assert permission.call(client, account, link).status == permission.granted


def test_audio_stays_without_the_permission_to_remove_it(cloud: Cloud, client: HttpClient, account: Account) -> None:
    reply = send(client, account, sample(1))
    record = reply.json
    prefix = f"records/{account.id}/{record['id']}/"

    def audio() -> list[str]:
        listing = cloud.client("s3").list_objects_v2(Bucket=cloud.outputs["BucketName"], Prefix=prefix)
        return [item["Key"] for item in listing.get("Contents", [])]

    assert len(audio()) == 1
    with without(cloud, "RemoveAudio", "RemoveAudio"):
        key: Any = {"user": {"N": str(account.id)}, "id": {"S": record["id"]}}
        cloud.client("dynamodb").delete_item(TableName=cloud.outputs["RecordsTableName"], Key=key)
        time.sleep(5)  # long enough for the stream to be read; nothing is to be waited for
        assert len(audio()) == 1
    for _ in range(120):  # the stream is read again until it succeeds
        if not audio():
            return
        time.sleep(0.5)
    pytest.fail(f"{audio()} was not removed")


def test_a_permission_taken_out_of_the_template(cloud: Cloud, client: HttpClient, account: Account, link: str) -> None:
    """The whole way: a changed template is deployed, the call fails; put back, it works, and the data are there."""
    built = BUILD / "sam/template.yaml"
    template = yaml.safe_load(built.read_text())
    [policy] = template["Resources"]["GetRecordFunction"]["Properties"]["Policies"]
    policy["Statement"] = [statement for statement in policy["Statement"] if statement["Sid"] != "ReadAudio"]
    changed = built.with_name("template-without-a-permission.yaml")
    changed.write_text(yaml.safe_dump(template))
    try:
        cloud.deploy(changed, stamp="GetRecord without ReadAudio")
        assert download(client, account, link).status == 503
    finally:
        changed.unlink(missing_ok=True)
        cloud.deploy()
    assert download(client, account, link).status == 200
