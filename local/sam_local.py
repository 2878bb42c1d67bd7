"""`make sam-local`: the service under `sam local start-api`, each function in a container of its own.

    client ──▶ sam local start-api, http://127.0.0.1:8000 ──▶ a container for each function
       │                                                           │ http://host.docker.internal:<port>
       └──── signed addresses, http://127.0.0.1:8001/… ───▶ the emulator: DynamoDB, S3
                                                                   │ an upload has arrived
                                                                   └──▶ sam local invoke ConvertUploadFunction

The tables and the bucket are template.yaml's own, taken out of what `sam build` made of it. Their names and the
addresses go into env.json, so that a bare `sam local start-api` works, too, while this command runs. The data start
empty every time. `sam local` carries HTTP only, so the bucket's events are carried here, an invocation each; the
records table's stream is not, so the audio of a row that is removed stays.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import ipaddress
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import yaml
from botocore.exceptions import BotoCoreError, ClientError

from local.cloud import STACK, Cloud
from local.process import Stop, check_port, stop_on_signals
from local.sam import ARCHITECTURE, BUILD, ON_LINUX, PYTHON, ROOT, CloudError, build_into, clean_environment
from local.sam import build as build_once

BUILT = ROOT / ".aws-sam/build"
ENVIRONMENT_FILE = ROOT / "env.json"  # samconfig.toml and .gitignore name it, too
KEYS_FILE = ROOT / ".local/sam-local-keys"  # lines for a shell
CHOICES = {"Architecture": str(ARCHITECTURE), "Runtime": f"python{PYTHON}"}
# One request to each function of the API, and what it has to answer.
TRIALS = (
    ("GET", "/", 200),
    ("GET", "/record?id=00000000-0000-4000-8000-000000000000&user=1", 404),  # so the tables can be reached
    ("POST", "/users", 415),
    ("POST", "/records", 415),
)


# ---------------------------------------------------------------------- Docker


def check_docker() -> None:
    """Raises CloudError, which says what to do, where no container can be run."""
    if shutil.which("docker") is None:
        raise CloudError(
            "`sam local` runs the functions in containers, and Docker is not installed.\n"
            "Install Docker Desktop, or on Debian and Ubuntu: sudo apt install docker.io\n"
            "`make run` runs the service without Docker."
        )
    try:
        answer = subprocess.run(["docker", "info"], check=False, capture_output=True, text=True, timeout=60)
    except subprocess.TimeoutExpired:
        raise CloudError("Docker does not answer; restart it.") from None
    if "permission denied" in answer.stderr.lower():
        raise CloudError("Docker does not let you in: sudo usermod -aG docker $USER, then log in again.")
    if answer.returncode:
        raise CloudError(
            "Docker is installed, but it is not running.\n"
            "Start Docker Desktop, or on Linux: sudo systemctl start docker (without systemd: sudo dockerd &)\n"
            "`make run` runs the service without Docker."
        )


def bridge_address() -> str:
    """The address by which containers know this machine, where it is this machine's own to listen on.

    Empty with Docker Desktop: its host.docker.internal leads to what listens on 127.0.0.1."""
    command = ["docker", "network", "inspect", "bridge"]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    for network in json.loads(answer.stdout)[0]["IPAM"]["Config"]:
        # Older engines do not say the gateway of a subnet that they chose themselves: it is the first address.
        address = network.get("Gateway") or str(ipaddress.ip_network(network["Subnet"])[1])
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind((address, 0))
            return address
    return ""


# ---------------------------------------------------------------------- build and data


def build() -> dict[str, Any]:
    """Have it built, for this machine, where `sam local` looks for it. Returns the built template."""
    build_once(print)
    shutil.rmtree(BUILT, ignore_errors=True)
    if ON_LINUX:
        shutil.copytree(BUILD / "sam", BUILT)
    else:  # what the emulator runs here, no container can
        build_into(BUILT, str(ARCHITECTURE), "auto")
    template: dict[str, Any] = yaml.safe_load((BUILT / "template.yaml").read_text())
    for name, value in CHOICES.items():  # so that a bare `sam local start-api` takes the image of what was built
        template["Parameters"][name]["Default"] = value
    (BUILT / "template.yaml").write_text(yaml.safe_dump(template, sort_keys=False))
    return template


def data_template(template: dict[str, Any]) -> dict[str, Any]:
    """The tables and the bucket of a template, and nothing else; the outputs are their names by logical id.

    Without the bucket's events, which SAM makes of the functions, and without what keeps data from being deleted."""
    kinds = ("AWS::DynamoDB::Table", "AWS::S3::Bucket")
    resources = {
        name: {"Type": resource["Type"], "Properties": resource["Properties"]}
        for name, resource in template["Resources"].items()
        if isinstance(resource, dict) and resource.get("Type") in kinds
    }
    return {
        "Parameters": template["Parameters"],
        "Conditions": template["Conditions"],
        "Resources": resources,
        "Outputs": {name: {"Value": {"Ref": name}} for name in resources},
    }


def create_data(aws: Cloud, template: dict[str, Any]) -> tuple[dict[str, str], str]:
    """The tables and the bucket, by logical id, and the address of the queue that tells of uploads."""
    stacks = aws.client("cloudformation")
    stacks.create_stack(StackName=STACK, TemplateBody=json.dumps(data_template(template)))
    stacks.get_waiter("stack_create_complete").wait(StackName=STACK, WaiterConfig={"Delay": 1})
    outputs = stacks.describe_stacks(StackName=STACK)["Stacks"][0]["Outputs"]
    names = {output["OutputKey"]: output["OutputValue"] for output in outputs}

    queues = aws.client("sqs")
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": "*",
    }
    settings = {
        "Policy": json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
        "VisibilityTimeout": "900",  # the converter's time: no event comes a second time before it is done
    }
    queue = queues.create_queue(QueueName="uploads", Attributes=settings)["QueueUrl"]
    about = queues.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]
    uploads = {
        "QueueArn": about["QueueArn"],
        "Events": ["s3:ObjectCreated:*"],
        "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": "uploads/"}]}},
    }
    aws.client("s3").put_bucket_notification_configuration(
        Bucket=names["AudioBucket"], NotificationConfiguration={"QueueConfigurations": [uploads]}
    )
    # Requests to erase a user wait in it; what deletes is not run here.
    names["ErasuresQueue"] = queues.create_queue(QueueName="erasures")["QueueUrl"]
    return names, queue


def write_keys(credentials: dict[str, str]) -> None:
    """The keys that the emulator knows, for `sam local`, which passes them on to the functions."""
    KEYS_FILE.touch(mode=0o600)
    KEYS_FILE.write_text("".join(f"export {name}={value}\n" for name, value in credentials.items()))


def read_keys() -> dict[str, str]:
    pairs = (line.removeprefix("export ").partition("=") for line in KEYS_FILE.read_text().splitlines())
    return {name: value for name, _, value in pairs}


def write_environment(names: dict[str, str], public_url: str, storage_url: str, endpoint: str) -> None:
    """What the functions' environment is here, in the form that `sam local --env-vars` reads."""
    variables = {
        "USERS_TABLE": names["UsersTable"],
        "RECORDS_TABLE": names["RecordsTable"],
        "BUCKET": names["AudioBucket"],
        "ERASURES_QUEUE": names["ErasuresQueue"],
        "PUBLIC_URL": public_url,
        "SIGN_UPS_PER_HOUR": "0",  # everybody has the address of this machine
        "STORAGE_URL": storage_url,
        "AWS_ENDPOINT_URL": endpoint,
    }
    ENVIRONMENT_FILE.write_text(json.dumps({"Parameters": variables}, indent=2) + "\n")


# ---------------------------------------------------------------------- sam local


def sam_local(*arguments: str) -> tuple[list[str], dict[str, str]]:
    """A `sam local` command and its environment; samconfig.toml has the rest of its options."""
    environment = {
        **clean_environment(),
        **{name: value for name, value in os.environ.items() if name.startswith("DOCKER_")},
        **read_keys(),
        "SAM_CLI_TELEMETRY": "0",
    }
    return [str(ROOT / ".sam/bin/sam"), "local", *arguments], environment


@contextlib.contextmanager
def start_api(port: int, trials: Sequence[tuple[str, str, int]] = TRIALS) -> Iterator[subprocess.Popen[str]]:
    """`sam local start-api`, ready: the functions of the `trials` have answered, each from its container."""
    command, environment = sam_local("start-api", "--port", str(port))
    ending = threading.Event()
    api = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # Ctrl-C is for this process, which then ends it in order: it removes its containers
    )

    def show(lines: IO[str]) -> None:
        with lines:
            for line in lines:
                if not ending.is_set():  # its last words are tracebacks that mean nothing
                    print(line, end="", flush=True)

    shown = threading.Thread(target=show, args=(api.stdout,))
    shown.start()
    try:
        while True:
            if api.poll() is not None:
                raise CloudError("`sam local start-api` did not start; why is said above.")
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            time.sleep(0.2)
        for method, target, expected in trials:
            if (status := answer(port, method, target)) != expected:
                raise CloudError(
                    f"{method} {target} was answered with {status}; why is said above.\n"
                    "503 means that the containers do not reach this machine: does a firewall keep Docker's bridge off?"
                )
        yield api
    finally:
        ending.set()
        api.send_signal(signal.SIGTERM)  # not SIGINT, which what began in the background of a script never hears
        api.wait()
        shown.join()


def answer(port: int, method: str, target: str) -> int:
    """The status of the answer, 0 where there is none. An image may have to be pulled first, so it may take minutes."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=900)
    with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
        connection.request(method, target)
        return connection.getresponse().status
    return 0


def invoke(function: str, event: dict[str, Any]) -> None:
    """`sam local invoke` with an event. What the function logs is shown; one that fails is not tried again."""
    command, environment = sam_local("invoke", function, "--event", "-")
    subprocess.run(command, check=False, cwd=ROOT, env=environment, input=json.dumps(event), text=True)


def carry_uploads(aws: Cloud, queue: str, end: threading.Event) -> None:
    """Invoke the converter with each of the bucket's events, one at a time, until `end` is set."""
    queues = aws.client("sqs")
    while not end.is_set():
        try:
            received = queues.receive_message(QueueUrl=queue, WaitTimeSeconds=2, MaxNumberOfMessages=1)
            for message in received.get("Messages", []):
                event = json.loads(message["Body"])
                if "Records" in event:  # the first message of all is S3's own test
                    invoke("ConvertUploadFunction", event)
                queues.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        except (BotoCoreError, ClientError) as error:
            if not end.is_set():
                print(f"No events of the storage: {error}", file=sys.stderr, flush=True)
                end.wait(5)


# ---------------------------------------------------------------------- make sam-local


def run(port: int, storage_port: int) -> None:
    """Until somebody stops it. Raises CloudError."""
    check_docker()
    for wanted in (port, storage_port):
        check_port(wanted, other=f"make sam-local PORT={port + 10 if port > 1024 else 8000}")
    template = build()
    end = threading.Event()
    with tempfile.TemporaryDirectory(prefix="records-sam-local-") as folder:
        aws = Cloud(storage_port, Path(folder), also_on=bridge_address())
        try:
            aws.start()
            names, queue = create_data(aws, template)
            endpoint = aws.client("s3").meta.endpoint_url.replace("127.0.0.1", "host.docker.internal")
            write_keys(aws.credentials)
            write_environment(names, f"http://127.0.0.1:{port}", aws.url, endpoint)
            carrier = threading.Thread(target=carry_uploads, args=(aws, queue, end))
            with start_api(port) as api:
                carrier.start()
                print(f"\nAPI: http://127.0.0.1:{port}\n\nCtrl-C stops it.", flush=True)
                while aws.running():
                    if api.poll() is not None:
                        raise CloudError("`sam local start-api` ended by itself; why is said above.")
                    time.sleep(0.5)
                raise CloudError(f"{aws.log_tail()}\n\nThe emulator ended by itself; the end of its log is above.")
        finally:
            end.set()
            aws.stop()


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="make sam-local", description="Run the functions in containers, with SAM CLI."
    )
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--storage-port", type=int, help="of the signed addresses; the next one after PORT by default")
    choices = parser.parse_args()
    stop_on_signals()
    try:
        run(choices.port, choices.storage_port or choices.port + 1)
    except CloudError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except Stop:
        print("Stopped.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
