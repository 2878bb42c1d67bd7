"""`make deploy STAGE=...`: build, deploy to AWS, try it out. `make destroy STAGE=...`: take it away again.

A stage is a table of samconfig.toml; its Architecture and Runtime (or the template's defaults) are what is built for.
AWS is reached as by every AWS tool: AWS_PROFILE, AWS_REGION, keys in the environment.
"""

from __future__ import annotations

import argparse
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
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from local.sam import ROOT, CloudError
from local.sample import write_sample

DEFAULTS = {"Architecture": "arm64", "Runtime": "python3.13"}  # the template's
BUILT = ROOT / ".aws-sam/build"


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

    def client(self, service: str) -> Any:
        return boto3.client(service, region_name=self.region)  # type: ignore[call-overload]

    def outputs(self) -> dict[str, str]:
        stack = self.client("cloudformation").describe_stacks(StackName=self.stack)["Stacks"][0]
        return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


def call(*command: str, **environment: str) -> None:
    """Run a command for the person to watch. Raises CloudError when it fails."""
    path = f"{ROOT / '.venv/bin'}{os.pathsep}{os.environ['PATH']}"
    settings = os.environ | {"PATH": path, "SAM_CLI_TELEMETRY": "0"} | environment
    if subprocess.run(command, cwd=ROOT, env=settings, check=False).returncode:
        raise CloudError(f"`{' '.join(Path(part).name for part in command[:2])}` failed; why is said above.")


def deploy(stage: Stage) -> dict[str, str]:
    """Build and deploy; the outputs of the stack."""
    where = f"account {stage.client('sts').get_caller_identity()['Account']}, {stage.region}"
    print(f"Building {stage.stack} for {where} ...", flush=True)
    sam, architecture = str(ROOT / ".sam/bin/sam"), stage.parameters["Architecture"]
    environment = {
        "AWS_DEFAULT_REGION": stage.region,
        "LAYER_ARCHITECTURE": architecture,
        "LAYER_PYTHON": stage.parameters["Runtime"].removeprefix("python"),
    }
    overrides = [f"{name}={value}" for name, value in stage.parameters.items()]
    call(sam, "build", "--parameter-overrides", *overrides, **environment)
    # SAM does not tell the Makefiles what the parameters are: is the binary for the processor of the functions?
    call(sys.executable, str(ROOT / "layers/ffmpeg/build.py"), "check", str(BUILT / "FfmpegLayer"), **environment)
    options = ("--config-env", stage.name, "--no-confirm-changeset", "--parameter-overrides", *overrides)
    call(sam, "deploy", *options, **environment)
    return stage.outputs()


def destroy(stage: Stage) -> None:
    """Delete the stack with its data. Raises CloudError for production, whose data are to be kept."""
    if stage.parameters.get("Stage") == "prod":
        raise CloudError("prod keeps its data: docs/operations.md says how it is taken down by hand.")
    bucket = boto3.resource("s3", region_name=stage.region).Bucket(stage.outputs()["BucketName"])
    bucket.objects.all().delete()  # a bucket that holds something is not deleted
    options = ("--no-prompts", "--stack-name", stage.stack)
    call(str(ROOT / ".sam/bin/sam"), "delete", *options, AWS_DEFAULT_REGION=stage.region)


def has_address(url: str) -> bool:
    try:
        socket.getaddrinfo(urlsplit(url).hostname, 443)
    except OSError:
        return False
    return True


def try_out(url: str) -> None:
    """Sign up, send a recording, download the MP3. Raises CloudError where that does not work."""
    with tempfile.TemporaryDirectory() as folder:
        sample = Path(folder) / "sample.wav"
        write_sample(sample)
        wav = sample.read_bytes()
    user = json.loads(request(f"{url}/users", {"Content-Type": "application/json"}, b'{"name": "smoke test"}'))
    headers = {"Content-Type": "audio/wav", "Authorization": f"Bearer {user['token']}"}
    record = json.loads(request(f"{url}/records?user_id={user['id']}&name=smoke.wav", headers, wav))
    mp3 = request(record["url"])
    if len(mp3) != record["mp3"]["bytes"]:
        raise CloudError(f"{record['url']} returned {len(mp3)} bytes, not {record['mp3']['bytes']}.")


def request(url: str, headers: dict[str, str] | None = None, body: bytes | None = None) -> bytes:
    asked = urllib.request.Request(url, data=body, headers=headers or {})  # noqa: S310 the stack's own address
    for pause in (1, 2, 4, 8, 0):  # a new API takes some seconds to be known everywhere
        try:
            with urllib.request.urlopen(asked, timeout=60) as answer:  # noqa: S310
                content: bytes = answer.read()
                return content
        except urllib.error.URLError as error:
            said = error.read().decode(errors="replace") if isinstance(error, urllib.error.HTTPError) else str(error)
            if not pause:
                raise CloudError(f"{asked.get_method()} {url} failed: {said}") from None
            time.sleep(pause)
    raise AssertionError("the last try returns or raises")


def main() -> int:
    parser = argparse.ArgumentParser(prog="make deploy", description="Deploy a stage to AWS.")
    parser.add_argument("stage")
    parser.add_argument("--destroy", action="store_true")
    arguments = parser.parse_args()
    try:
        stage = Stage(arguments.stage)
        if arguments.destroy:
            destroy(stage)
            print(f"{stage.stack} is gone.")
            return 0
        outputs = deploy(stage)
        url = outputs["ApiUrl"]
        if "ApiDomainTarget" in outputs and not has_address(url):
            print(f"\nDeployed. {url} has no address yet: make it a CNAME of {outputs['ApiDomainTarget']},")
            print(f"wait until that is known, and try it out: make deploy STAGE={stage.name}")
            return 0
        print("\nTrying it out ...", flush=True)
        try_out(url)
        print(f"It works.\n\nAPI: {url}")
    except CloudError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except (BotoCoreError, ClientError) as error:
        print(f"\nAWS: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
