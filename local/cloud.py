"""A private AWS with the stack in it: MiniStack emulates AWS on loopback, `sam deploy` deploys the template to it.

`make run` (local/run.py) keeps one in the foreground; the end-to-end tests use `Cloud` as a context manager.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import http.client
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from local.process import check_port, free_port
from local.sam import (
    ARCHITECTURE,
    BUILD,
    PYTHON,
    REGION,
    ROOT,
    CloudError,
    Report,
    build,
    clean_environment,
    fingerprint,
    sam,
)

STACK = "records-local"
BUCKET = f"{STACK}-000000000000-{REGION}"


class Cloud:
    """MiniStack with the stack deployed, on 127.0.0.1:`port`; data and logs are in `folder`.

    `port` 0 takes any free one. `parameters` are the template's, besides those that a local stack sets itself.
    `also_on`: one more address of this machine where containers reach the emulator's AWS."""

    def __init__(
        self,
        port: int,
        folder: Path,
        report: Report = print,
        parameters: dict[str, str] | None = None,
        also_on: str = "",
    ) -> None:
        self.port = port or free_port()
        self.folder = folder
        self.report = report
        self.parameters = parameters or {}
        self.also_on = also_on
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / "emulator.log"
        self.outputs: dict[str, str] = {}
        # The account's root; another key at every start, so that no page in a browser can know it.
        self.credentials = {
            "AWS_ACCESS_KEY_ID": f"AKIA{secrets.token_hex(8).upper()}",
            "AWS_SECRET_ACCESS_KEY": secrets.token_urlsafe(30),
        }
        self._gateway = 0
        self._clients: dict[str, Any] = {}
        self._emulator: subprocess.Popen[bytes] | None = None
        self._lock: IO[str] | None = None

    def __enter__(self) -> Cloud:
        try:
            self.start()
            self.deploy()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start the emulator, with the data of the last time.

        Raises CloudError: the port is taken, or the emulator does not come up."""
        check_port(self.port, other=f"make run PORT={self.port + 1 if self.port > 1024 else 8000}")
        self.report(f"Starting the cloud on {self.url}, its data in {shown(self.folder)} ...")
        self._lock = self._lock_folder()
        self._gateway = free_port()
        temporary = self.folder / "tmp"
        shutil.rmtree(temporary, ignore_errors=True)  # what was unpacked for functions the last time
        temporary.mkdir(parents=True)
        (self.folder / "api-id").touch()
        settings = {
            "PUBLIC_PORT": str(self.port),
            "PUBLIC_BUCKET": BUCKET,
            "API_ID_FILE": str(self.folder / "api-id"),
            "TMPDIR": str(temporary),
            "GATEWAY_PORT": str(self._gateway),
            "GATEWAY_ALSO_ON": self.also_on,
            "AUTH": "true",  # signatures and IAM policies are enforced
            **self.credentials,
            "FUNCTION_KEYS": self._function_keys(),
            "JOURNAL": str(self.folder / "journal"),
            "MINISTACK_REGION": REGION,
            "PERSIST_STATE": "1",
            "STATE_DIR": str(self.folder / "state"),
            "S3_PERSIST": "1",
            "S3_DATA_DIR": str(self.folder / "s3"),
            "DOCKER_HOST": "unix:///nonexistent",  # it would look for containers to remove
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "LOG_LEVEL": "WARNING",
        }
        with self.log.open("ab") as log:
            self._emulator = subprocess.Popen(
                [sys.executable, "-m", "local.emulator"],
                cwd=ROOT,
                env=clean_environment() | settings,
                stdin=subprocess.PIPE,  # its end is the emulator's, even when this process is killed
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for this process, which then stops the emulator in order
                pass_fds=(self._lock.fileno(),),
            )
        self._wait_until_healthy()

    def _function_keys(self) -> str:
        """The secret of the functions' access keys. It is kept, so that an address that they signed is still good
        after a restart."""
        file = self.folder / "function-keys"
        if not file.exists():
            file.touch(mode=0o600)
            file.write_text(secrets.token_urlsafe(30))
        return file.read_text()

    def _lock_folder(self) -> IO[str]:
        """The folder for us alone, for as long as this process or its emulator lives: one that was stopped a moment ago
        may still be writing down its data."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = (self.folder / "lock").open("w")
        for _ in range(400):
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return lock
            time.sleep(0.1)
        lock.close()
        raise CloudError(f"Another cloud still has its data in {shown(self.folder)}. Stop it, and start again.")

    def _wait_until_healthy(self) -> None:
        for _ in range(600):
            if not self.running():
                break
            connection = http.client.HTTPConnection("127.0.0.1", self._gateway, timeout=5)
            with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
                connection.request("GET", "/_ministack/health")
                if connection.getresponse().status == 200:
                    return
            time.sleep(0.1)
        raise CloudError(f"{self.log_tail()}\n\nThe emulator did not come up; the end of its log is above.")

    def deploy(self, template: Path | None = None, stamp: str | None = None) -> None:
        """Build, and deploy with `sam deploy` unless the stack has these sources and parameters already.

        `template`: another one than the built one, in the same folder; `stamp` then identifies it."""
        if template is None:
            build(self.report)
        programs = self.folder / "bin"  # links of our own: the next build replaces the originals while we run
        shutil.rmtree(programs, ignore_errors=True)
        try:
            shutil.copytree(BUILD / "sam/FfmpegLayer/bin", programs, copy_function=os.link)
        except shutil.Error:  # a folder on another filesystem, as a test's /tmp often is
            shutil.copytree(BUILD / "sam/FfmpegLayer/bin", programs, dirs_exist_ok=True)
        parameters = {
            "Stage": "local",
            "Architecture": str(ARCHITECTURE),
            "Runtime": f"python{PYTHON}",
            "PublicUrl": self.url,
            "StorageUrl": self.url,
            "FfmpegPath": str(programs / "ffmpeg"),
            "SignUpsPerHour": "0",  # everybody has the address of this machine
            **self.parameters,
        }
        wanted = hashlib.sha256(repr((stamp or fingerprint(), sorted(parameters.items()))).encode()).hexdigest()
        stack = self._stack()
        if stack and stack["StackStatus"] == "ROLLBACK_COMPLETE":  # a first deployment that failed can only be deleted
            self.client("cloudformation").delete_stack(StackName=STACK)
            stack = None
        if stack and {"Key": "fingerprint", "Value": wanted} in stack.get("Tags", []):
            self.report("Deployed already.")
        else:
            self.report("Deploying the template to it with `sam deploy` ...")
            self._sam_deploy(template or BUILD / "sam/template.yaml", parameters, wanted)
            stack = self._stack()
        if stack is None:
            raise CloudError("The stack is not there although `sam deploy` succeeded.")
        self.outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
        self._complete()
        if self._emulator:
            self._emulator.send_signal(signal.SIGUSR1)  # it writes down its data, and delivers the uploads that wait

    def _sam_deploy(self, template: Path, parameters: dict[str, str], stamp: str) -> None:
        artifacts = f"{BUCKET}-artifacts"
        self.client("s3").create_bucket(Bucket=artifacts)
        sam(
            *("deploy", "--template-file", str(template), "--stack-name", STACK, "--s3-bucket", artifacts),
            *("--no-resolve-s3", "--capabilities", "CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"),
            *("--no-confirm-changeset", "--no-progressbar", "--tags", f"fingerprint={stamp}"),
            *("--parameter-overrides", *(f'{name}="{value}"' for name, value in parameters.items())),
            environment={
                "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self._gateway}",
                **self.credentials,
            },
        )

    def _stack(self) -> dict[str, Any] | None:
        with contextlib.suppress(ClientError):
            stack: dict[str, Any] = self.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"][0]
            return stack
        return None

    def _complete(self) -> None:
        """Do what MiniStack leaves out of the template: the routes and CORS of the API, which SAM writes into an
        OpenAPI document, and the expiry and backups of the tables."""
        formation = self.client("cloudformation")
        template = formation.get_template(StackName=STACK, TemplateStage="Processed")["TemplateBody"]
        resources = formation.describe_stack_resources(StackName=STACK)["StackResources"]
        names = {resource["LogicalResourceId"]: resource["PhysicalResourceId"] for resource in resources}
        api = template["Resources"]["Api"]["Properties"]["Body"]
        self._connect_routes(api["paths"], names)
        cors = {name[0].upper() + name[1:]: value for name, value in api["x-amazon-apigateway-cors"].items()}
        self.client("apigatewayv2").update_api(ApiId=names["Api"], CorsConfiguration=cors)
        tables = self.client("dynamodb")
        for name, resource in template["Resources"].items():
            properties = resource.get("Properties", {})
            if expiry := properties.get("TimeToLiveSpecification"):
                tables.update_time_to_live(TableName=names[name], TimeToLiveSpecification=expiry)
            if recovery := properties.get("PointInTimeRecoverySpecification"):
                tables.update_continuous_backups(TableName=names[name], PointInTimeRecoverySpecification=recovery)

    def _connect_routes(self, paths: dict[str, Any], names: dict[str, str]) -> None:
        gateway, api = self.client("apigatewayv2"), names["Api"]
        for route in gateway.get_routes(ApiId=api)["Items"]:
            gateway.delete_route(ApiId=api, RouteId=route["RouteId"])
        for path, methods in paths.items():
            for method, operation in methods.items():
                address = operation["x-amazon-apigateway-integration"]["uri"]["Fn::Sub"]
                function, alias = re.findall(r"functions/\$\{(\w+?Function)(?:Alias(\w+))?[.}]", address)[0]
                integration = gateway.create_integration(
                    ApiId=api,
                    IntegrationType="AWS_PROXY",
                    IntegrationUri=f"arn:aws:lambda:{REGION}:000000000000:function:{names[function]}"
                    + (f":{alias}" if alias else ""),
                    PayloadFormatVersion="2.0",
                )
                key = "$default" if path.lstrip("/") == "$default" else f"{method.upper()} {path}"
                gateway.create_route(ApiId=api, RouteKey=key, Target=f"integrations/{integration['IntegrationId']}")
        (self.folder / "api-id").write_text(api)

    def client(self, service: str) -> Any:
        """A boto3 client of this cloud's AWS, with the rights of the account's root; `stop` closes it."""
        if service not in self._clients:
            self._clients[service] = boto3.client(
                service,  # type: ignore[call-overload]
                endpoint_url=f"http://127.0.0.1:{self._gateway}",
                region_name=REGION,
                aws_access_key_id=self.credentials["AWS_ACCESS_KEY_ID"],
                aws_secret_access_key=self.credentials["AWS_SECRET_ACCESS_KEY"],
                config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
            )
        return self._clients[service]

    def running(self) -> bool:
        return self._emulator is not None and self._emulator.poll() is None

    def log_tail(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-20:])

    def stop(self) -> None:
        """Stop the emulator; it writes down its data before it ends."""
        while self._clients:
            self._clients.popitem()[1].close()
        if self._emulator is None:
            return
        self._emulator.terminate()
        if self._emulator.stdin:
            self._emulator.stdin.close()
        try:
            self._emulator.wait(30)
        except subprocess.TimeoutExpired:
            self._emulator.kill()
            self._emulator.wait()
        shutil.rmtree(self.folder / "tmp", ignore_errors=True)
        self._emulator = None
        if self._lock:
            self._lock.close()


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)
