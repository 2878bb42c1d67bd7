"""`make deploy` and `make destroy` where they fail or ask, over moto: what a person is told, and what is left alone."""

from __future__ import annotations

import io
import os
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from scripts.deploy import Stage, delete_what_was_never_created, main

REGION = "eu-west-1"
BUCKET = f"records-dev-123456789012-{REGION}"
TABLES = ["records-dev-RecordsTable-1ABC", "records-dev-UsersTable-1ABC"]
OTHERS = "records-devel-UsersTable-1ABC"
CHOOSE = "Set AWS_PROFILE to a profile of yours, or make one with `aws configure`.\n"


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine on which nobody has set up AWS."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_REGION", REGION)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.delenv("CDN_SECRET", raising=False)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")


@pytest.fixture
def aws(keys: None) -> Iterator[None]:
    with mock_aws():
        yield


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str, typed: str = "") -> int:
    monkeypatch.setattr("sys.argv", ["deploy", *arguments])
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    return main()


# ---------------------------------------------------------------------- what a person is told

BOTH = pytest.mark.parametrize("arguments", [("dev",), ("dev", "--destroy")])


@BOTH
def test_no_credentials(
    arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, *arguments) == 1
    assert capsys.readouterr().err == f"\nThere are no AWS credentials. {CHOOSE}"


def test_half_of_the_credentials(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    assert run(monkeypatch, "dev") == 1
    assert capsys.readouterr().err == f"\nThere are no AWS credentials. {CHOOSE}"


def test_an_unknown_profile(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    assert run(monkeypatch, "dev") == 1
    assert capsys.readouterr().err == f"\nThe config profile (nobody) could not be found. {CHOOSE}"


def test_a_sign_in_that_has_ended(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config").write_text(
        "[profile dev]\nsso_start_url = https://example.awsapps.com/start\nsso_region = eu-west-1\n"
        "sso_account_id = 123456789012\nsso_role_name = Admin\n"
    )
    monkeypatch.setenv("AWS_PROFILE", "dev")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert run(monkeypatch, "dev") == 1
    said = capsys.readouterr().err
    assert said.startswith("\nError loading SSO Token: ")
    assert said.endswith(" Sign in again with `aws sso login`, or set AWS_PROFILE to another profile.\n")
    assert said.count("\n") == 2


@BOTH
def test_no_network(
    keys: None, arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{closed.getsockname()[1]}"
    monkeypatch.setenv("AWS_ENDPOINT_URL", nobody)
    assert run(monkeypatch, *arguments) == 1
    assert capsys.readouterr().err == (
        f'\nAWS cannot be reached: Could not connect to the endpoint URL: "{nobody}/" '
        "Is there a network? Behind a proxy, set HTTPS_PROXY.\n"
    )


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("InvalidClientTokenId", f"AWS refuses the credentials (InvalidClientTokenId). {CHOOSE}"),
        ("ExpiredToken", f"AWS refuses the credentials (ExpiredToken). {CHOOSE}"),
        (
            "AccessDenied",
            "AWS: An error occurred (AccessDenied) when calling the GetCallerIdentity operation: as AWS says it\n",
        ),
    ],
)
def test_what_aws_refuses(
    keys: None, code: str, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    body = f"<ErrorResponse><Error><Code>{code}</Code><Message>as AWS says it</Message></Error></ErrorResponse>"

    class Refusing(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(403)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.handle_request).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        assert run(monkeypatch, "dev") == 1
    assert capsys.readouterr().err == f"\n{message}"


def test_ffmpeg_is_built_from_source_unless_the_other_is_asked_for(
    aws: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """On a machine without a compiler, before anything else is built."""
    monkeypatch.delenv("RECORDS_FFMPEG", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run(monkeypatch, "dev") == 1
    said = capfd.readouterr()
    assert said.out == f"Building records-dev for account 123456789012, {REGION} ...\n"
    assert said.err.startswith("ffmpeg for arm64 is not built from source: missing here: ")
    assert said.err.endswith(
        "\n\nThere is no ffmpeg to deploy. README.md says what builds it; or take the larger one of a wheel: "
        "make deploy STAGE=dev RECORDS_FFMPEG=wheel\n"
    )


# ---------------------------------------------------------------------- what is left of a stack


def test_a_stack_that_was_never_created_is_deleted(aws: None, capsys: pytest.CaptureFixture[str]) -> None:
    formation = boto3.client("cloudformation", region_name=REGION)
    formation.create_change_set(
        StackName="records-dev",
        ChangeSetName="first",
        ChangeSetType="CREATE",
        TemplateBody='{"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}}',
    )
    stage = Stage("dev")
    assert (stage.described() or {})["StackStatus"] == "REVIEW_IN_PROGRESS"
    delete_what_was_never_created(stage)
    assert stage.described() is None
    assert capsys.readouterr().out == (
        "records-dev is REVIEW_IN_PROGRESS: its first creation did not succeed. Deleting it ...\n"
    )


def test_a_stack_that_works_is_not_deleted(aws: None, capsys: pytest.CaptureFixture[str]) -> None:
    formation = boto3.client("cloudformation", region_name=REGION)
    formation.create_stack(
        StackName="records-dev", TemplateBody='{"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}}'
    )
    stage = Stage("dev")
    delete_what_was_never_created(stage)
    assert (stage.described() or {})["StackStatus"] == "CREATE_COMPLETE"
    assert capsys.readouterr().out == ""


@pytest.fixture
def leftovers(aws: None) -> None:
    """What a stack that was deleted has kept, and the table of another stack."""
    database = boto3.client("dynamodb", region_name=REGION)
    for name in (*TABLES, OTHERS):
        database.create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        )
    storage = boto3.client("s3", region_name=REGION)
    storage.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    storage.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    for content in (b"one", b"another"):
        storage.put_object(Bucket=BUCKET, Key="records/1", Body=content)
    storage.delete_object(Bucket=BUCKET, Key="records/1")


def what_is_there() -> tuple[list[str], list[str]]:
    """Tables and buckets."""
    tables = boto3.client("dynamodb", region_name=REGION).list_tables()["TableNames"]
    return sorted(tables), [bucket["Name"] for bucket in boto3.client("s3").list_buckets()["Buckets"]]


ASKED = (
    f"In account 123456789012, {REGION}, this is deleted for good:\n"
    f"  the table {TABLES[0]} with all that is in it\n"
    f"  the table {TABLES[1]} with all that is in it\n"
    f"  the bucket {BUCKET} with all recordings\n"
    "Type dev to go on: "
)


def test_what_a_stack_has_kept_is_deleted_with_every_version(
    leftovers: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "dev", "--destroy", typed="dev\n") == 0
    assert capsys.readouterr().out == f"{ASKED}records-dev is gone.\n"
    assert what_is_there() == ([OTHERS], [])
    assert run(monkeypatch, "dev", "--destroy") == 0
    assert capsys.readouterr().out == f"There is nothing of records-dev in account 123456789012, {REGION}.\n"


@pytest.mark.parametrize("typed", ["", "\n", "yes\n", "prod\n"])
def test_nothing_is_deleted_unless_the_name_is_typed(
    leftovers: None, typed: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "dev", "--destroy", typed=typed) == 1
    said = capsys.readouterr()
    assert (said.out.rstrip("\n"), said.err) == (ASKED, "\nNothing was deleted.\n")
    assert what_is_there() == (sorted([*TABLES, OTHERS]), [BUCKET])


def test_the_secret_of_cloudfront_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "CdnSecret" not in Stage("dev").parameters
    monkeypatch.setenv("CDN_SECRET", "s" * 32)
    assert Stage("dev").parameters["CdnSecret"] == "s" * 32
