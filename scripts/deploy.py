"""`make deploy STAGE=...`: build, deploy to AWS, try it out. `make destroy STAGE=...`: delete it.

A stage is a table of samconfig.toml; the build is for its Architecture and Runtime (or the template's defaults).
Credentials and region come from where every AWS tool reads them: AWS_PROFILE, AWS_REGION, keys in the environment.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import tomllib
import urllib.error
import urllib.request
import uuid
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)
from botocore.exceptions import ConnectionError as NoConnection

from local.sam import ROOT, CloudError
from local.sample import write_sample

DEFAULTS = {"Architecture": "arm64", "Runtime": "python3.13"}  # the template's
BUILT = ROOT / ".aws-sam/build"
SAM = str(ROOT / ".sam/bin/sam")
# A stack whose first creation failed: AWS refuses to update it, and nothing in it was ever used.
NEVER_CREATED = ("REVIEW_IN_PROGRESS", "CREATE_FAILED", "ROLLBACK_FAILED", "ROLLBACK_COMPLETE")
REFUSED_CREDENTIALS = (
    *("ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "UnrecognizedClientException"),
    *("InvalidAccessKeyId", "SignatureDoesNotMatch", "AuthFailure", "IncompleteSignature"),
)


class Stage:
    """What samconfig.toml says of a stage. Raises CloudError where it says nothing."""

    def __init__(self, name: str) -> None:
        tables = tomllib.loads((ROOT / "samconfig.toml").read_text())
        stages = {
            key: table["deploy"] for key, table in tables.items() if isinstance(table, dict) and "deploy" in table
        }
        if name not in stages:
            known = " and ".join(sorted(stages.keys() - {"default"}))
            raise CloudError(f"samconfig.toml has no stage {name}, but {known}: make deploy STAGE=dev")
        settings: dict[str, Any] = stages[name]["parameters"]
        overrides = settings.get("parameter_overrides", [])
        pairs = overrides.split() if isinstance(overrides, str) else overrides
        self.name = name
        self.stack: str = settings["stack_name"]
        region = settings.get("region") or os.environ.get("AWS_REGION") or boto3.Session().region_name
        if not region:
            raise CloudError(f"Which AWS region? Say it: make deploy STAGE={name} AWS_REGION=eu-central-1")
        self.region: str = region
        self.parameters: dict[str, str] = DEFAULTS | dict(pair.split("=", 1) for pair in pairs)
        if secret := os.environ.get("CDN_SECRET"):  # not for samconfig.toml; the stack remembers it
            self.parameters["CdnSecret"] = secret

    def client(self, service: str) -> Any:
        config = Config(connect_timeout=10, read_timeout=60)
        return boto3.client(service, region_name=self.region, config=config)  # type: ignore[call-overload]

    @cached_property
    def account(self) -> str:
        """The number of the account that the credentials are of."""
        account: str = self.client("sts").get_caller_identity()["Account"]
        return account

    @property
    def place(self) -> str:
        return f"account {self.account}, {self.region}"

    @property
    def bucket(self) -> str:
        """The name of the bucket, as the template makes it."""
        return f"{self.stack}-{self.account}-{self.region}"

    def described(self) -> dict[str, Any] | None:
        """What CloudFormation says of the stack; None where there is none."""
        try:
            stack: dict[str, Any] = self.client("cloudformation").describe_stacks(StackName=self.stack)["Stacks"][0]
        except ClientError as error:
            if "does not exist" in str(error):
                return None
            raise
        return stack

    def outputs(self) -> dict[str, str]:
        outputs = (self.described() or {}).get("Outputs", [])
        return {output["OutputKey"]: output["OutputValue"] for output in outputs}


def call(*command: str, **environment: str) -> None:
    """Run a command for the person to watch. Raises CloudError when it fails."""
    path = f"{ROOT / '.venv/bin'}{os.pathsep}{os.environ['PATH']}"
    settings = os.environ | {"PATH": path, "SAM_CLI_TELEMETRY": "0"} | environment
    if subprocess.run(command, cwd=ROOT, env=settings, check=False).returncode:
        raise CloudError(f"`{' '.join(Path(part).name for part in command[:2])}` failed; why is said above.")


def deploy(stage: Stage) -> dict[str, str]:
    """Build and deploy; the outputs of the stack."""
    print(f"Building {stage.stack} for {stage.place} ...", flush=True)
    architecture = stage.parameters["Architecture"]
    environment = {
        "AWS_DEFAULT_REGION": stage.region,
        "LAYER_ARCHITECTURE": architecture,
        "LAYER_PYTHON": stage.parameters["Runtime"].removeprefix("python"),
        # The wheel's reads every format and network protocol, and is under the GPL: only for whoever says so.
        "RECORDS_FFMPEG": os.environ.get("RECORDS_FFMPEG") or "source",
    }
    ffmpeg = (sys.executable, str(ROOT / "layers/ffmpeg/build.py"))
    try:
        with tempfile.TemporaryDirectory() as folder:  # first and alone, so that its failure is plain to see
            call(*ffmpeg, "layer", folder, **environment)
    except CloudError:
        raise CloudError(
            "There is no ffmpeg to deploy. README.md says what builds it; or take the larger one of a wheel: "
            f"make deploy STAGE={stage.name} RECORDS_FFMPEG=wheel"
        ) from None
    overrides = [f"{name}={value}" for name, value in stage.parameters.items()]
    call(SAM, "build", "--parameter-overrides", *overrides, **environment)
    # SAM does not tell the Makefiles what the parameters are: is the binary for the processor of the functions?
    call(*ffmpeg, "check", str(BUILT / "FfmpegLayer"), **environment)
    delete_what_was_never_created(stage)
    options = ("--config-env", stage.name, "--no-confirm-changeset", "--parameter-overrides", *overrides)
    call(SAM, "deploy", *options, **environment)
    return stage.outputs()


def delete_what_was_never_created(stage: Stage) -> None:
    """Delete the stack where its first creation failed: AWS refuses to deploy to it."""
    stack = stage.described()
    if stack and stack["StackStatus"] in NEVER_CREATED:
        print(
            f"{stage.stack} is {stack['StackStatus']}: its first creation did not succeed. Deleting it ...", flush=True
        )
        formation = stage.client("cloudformation")
        formation.delete_stack(StackName=stage.stack)
        # By its id: under its name a deleted stack is not found any more.
        waiter = formation.get_waiter("stack_delete_complete")
        waiter.wait(StackName=stack["StackId"], WaiterConfig={"Delay": 5, "MaxAttempts": 360})


def destroy(stage: Stage) -> None:
    """Delete the stack and, when the person agrees, its data, which the stack itself leaves behind.

    Raises CloudError for production, whose data are to be kept, and where the person does not agree."""
    if stage.parameters.get("Stage") == "prod":
        raise CloudError("prod keeps its data: docs/operations.md says how it is taken down by hand.")
    stack, tables, has_bucket = stage.described(), tables_of(stage), bucket_exists(stage)
    found = [
        *([f"the stack {stage.stack}"] if stack else []),
        *(f"the table {name} with all that is in it" for name in tables),
        *([f"the bucket {stage.bucket} with all recordings"] if has_bucket else []),
    ]
    if not found:
        print(f"There is nothing of {stage.stack} in {stage.place}.")
        return
    print(f"In {stage.place}, this is deleted for good:", *found, sep="\n  ", flush=True)
    confirm(stage.name)
    delete_what_was_never_created(stage)
    if stage.described():  # with what it uploaded
        call(SAM, "delete", "--no-prompts", "--stack-name", stage.stack, AWS_DEFAULT_REGION=stage.region)
    # Once more: the stack may have deleted some of them itself.
    database = stage.client("dynamodb")
    for name in tables_of(stage):
        database.delete_table(TableName=name)
        database.get_waiter("table_not_exists").wait(TableName=name)
    if bucket_exists(stage):
        bucket = boto3.resource("s3", region_name=stage.region).Bucket(stage.bucket)
        bucket.object_versions.delete()
        bucket.delete()
    print(f"{stage.stack} is gone.")


def tables_of(stage: Stage) -> list[str]:
    """The tables of the stack, and those that were kept of stacks of the same name before it."""
    pages = stage.client("dynamodb").get_paginator("list_tables").paginate()
    ours = tuple(f"{stage.stack}-{table}-" for table in ("UsersTable", "RecordsTable"))
    return [name for page in pages for name in page["TableNames"] if name.startswith(ours)]


def bucket_exists(stage: Stage) -> bool:
    try:
        stage.client("s3").head_bucket(Bucket=stage.bucket)
    except ClientError as error:
        if error.response["Error"]["Code"] in ("404", "NoSuchBucket"):
            return False
        raise
    return True


def confirm(name: str) -> None:
    """Raises CloudError unless the person types the stage's name."""
    try:
        answer = input(f"Type {name} to go on: ")
    except EOFError:
        print()
        answer = ""
    if answer.strip() != name:
        raise CloudError("Nothing was deleted.")


def has_address(url: str) -> bool:
    try:
        socket.getaddrinfo(urlsplit(url).hostname, 443)
    except OSError:
        return False
    return True


def try_out(url: str) -> None:
    """Sign up, send a recording, download the MP3, erase the user with it.

    Raises CloudError where that does not work."""
    headers = {"Content-Type": "application/json", "Idempotency-Key": str(uuid.uuid4())}
    user = parsed(request("POST", f"{url}/users", headers, b'{"name": "smoke test"}'))
    erased = ("DELETE", f"{url}/users?user_id={user['id']}", {"Authorization": f"Bearer {user['token']}"})
    try:
        try_recording(url, user)
    except BaseException:
        with suppress(CloudError):
            request(*erased)
        raise
    request(*erased)


def try_recording(url: str, user: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        sample = Path(folder) / "sample.wav"
        write_sample(sample)
        wav = sample.read_bytes()
    headers = {"Content-Type": "audio/wav", "Authorization": f"Bearer {user['token']}", "Idempotency-Key": "smoke"}
    record = parsed(request("POST", f"{url}/records?user_id={user['id']}&name=smoke.wav", headers, wav))
    mp3 = request("GET", record["url"])
    if len(mp3) != record["mp3"]["bytes"]:
        raise CloudError(f"{record['url']} returned {len(mp3)} bytes, not {record['mp3']['bytes']}.")


def request(method: str, url: str, headers: dict[str, str] | None = None, body: bytes | None = None) -> bytes:
    """The body of the response. Raises CloudError."""
    asked = urllib.request.Request(url, data=body, headers=headers or {}, method=method)  # noqa: S310 the stack's own
    for pause in (1, 2, 4, 8, 0):  # s: a new API takes some seconds to be known everywhere
        try:
            with urllib.request.urlopen(asked, timeout=60) as answer:  # noqa: S310
                content: bytes = answer.read()
                return content
        except (OSError, http.client.HTTPException) as error:
            said = error.read().decode(errors="replace") if isinstance(error, urllib.error.HTTPError) else str(error)
            if not pause:
                raise CloudError(f"{method} {url} failed: {said}") from None
            time.sleep(pause)
    raise AssertionError("the last try returns or raises")


def parsed(body: bytes) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(body)
    except ValueError:
        raise CloudError("The address answers, but not as the API does. Is there a proxy in between?") from None
    return content


def sentence(error: Exception) -> str:  # noqa: PLR0911 a kind of failure a line
    """What a person is told of a failure, and what to do about it."""
    choose = "Set AWS_PROFILE to a profile of yours, or make one with `aws configure`."
    match error:
        case CloudError():
            return str(error)
        case NoCredentialsError() | PartialCredentialsError():
            return f"There are no AWS credentials. {choose}"
        case ProfileNotFound():
            return f"{error}. {choose}"
        case SSOError() | TokenRetrievalError() | CredentialRetrievalError():
            return f"{error} Sign in again with `aws sso login`, or set AWS_PROFILE to another profile."
        case NoConnection() | HTTPClientError():
            return f"AWS cannot be reached: {error} Is there a network? Behind a proxy, set HTTPS_PROXY."
        case ClientError() if error.response["Error"]["Code"] in REFUSED_CREDENTIALS:
            return f"AWS refuses the credentials ({error.response['Error']['Code']}). {choose}"
    return f"AWS: {error}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="make deploy", description="Deploy a stage to AWS.")
    parser.add_argument("stage")
    parser.add_argument("--destroy", action="store_true")
    arguments = parser.parse_args()
    try:
        stage = Stage(arguments.stage)
        if arguments.destroy:
            destroy(stage)
            return 0
        outputs = deploy(stage)
        # Behind CloudFront the API's own address is closed.
        url = stage.parameters["PublicUrl"] if "CdnDistribution" in stage.parameters else outputs["ApiUrl"]
        if "ApiDomainTarget" in outputs and not has_address(url):
            print(f"\nDeployed. {url} has no address yet: make it a CNAME of {outputs['ApiDomainTarget']},")
            print(f"wait until that is known, and try it out: make deploy STAGE={stage.name}")
            return 0
        print("\nTrying it out ...", flush=True)
        try_out(url)
        print(f"It works.\n\nAPI: {url}")
    except (CloudError, BotoCoreError, ClientError) as error:
        print(f"\n{sentence(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
