"""`make sam-local`: the service under `sam local start-api`, each function in a container, with no AWS account.

    client ──▶ sam local start-api, http://127.0.0.1:8000 ──▶ a container for each function
       │                                                             │ http://host.docker.internal:4566
       └──── signed addresses, http://127.0.0.1:4566/… ────▶ embedded cloud: DynamoDB, S3
                                                                     │ an upload has arrived
                                                                     └──▶ sam local invoke ConvertUploadFunction

The tables and the bucket are template.yaml's own, taken out of what `sam build` made of it. Their names and the
addresses go into env.json, from which a bare `sam local start-api` takes them too, as long as this command runs.
The data lives as long as this command. `sam local` carries HTTP only: S3's events are carried here, one `sam local
invoke` each; the records table's stream is not carried, so the audio of a row that is removed stays.
"""

from __future__ import annotations

import argparse
import contextlib
import ipaddress
import json
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import yaml

ROOT = Path(__file__).parent.parent
BUILT = ROOT / ".aws-sam/build/template.yaml"
ENVIRONMENT_FILE = ROOT / "env.json"  # samconfig.toml names it, .gitignore too
REGION = "eu-central-1"
STACK = "records-local"
# What `sam local` gives to functions where nobody has credentials. The embedded cloud checks signatures against them.
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "defaultkey", "AWS_SECRET_ACCESS_KEY": "defaultsecret"}
ARCHITECTURE = "arm64" if platform.machine() in ("arm64", "aarch64") else "x86_64"


def docker_problem() -> str | None:
    """Why no container can be run here and what to do, or None."""
    if shutil.which("docker") is None:
        return (
            "Docker is not installed, and `sam local` runs the functions in containers. Install it (Docker Desktop, or "
            "`apt-get install docker.io`), or run `make local`, which needs no Docker."
        )
    answer = subprocess.run(["docker", "info"], check=False, capture_output=True, text=True, timeout=30)
    if answer.returncode == 0:
        return None
    if "permission denied" in answer.stderr.lower():
        return "Docker does not let you in: `sudo usermod -aG docker $USER`, then log in again."
    return (
        "Docker is installed but not running. Start Docker Desktop, or `sudo systemctl start docker` (without systemd: "
        "`sudo dockerd &`), or run `make local`, which needs no Docker."
    )


def sam() -> str:
    """The SAM command: the project's own, or the one on PATH."""
    own = ROOT / ".sam/bin/sam"
    found = str(own) if own.exists() else shutil.which("sam")
    if found is None:
        sys.exit("sam-local: SAM CLI is missing; `make install` puts it into .sam/")
    return found


def sam_environment() -> dict[str, str]:
    tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # uv, which builds the layers
    return {
        **os.environ,
        **CREDENTIALS,
        "AWS_DEFAULT_REGION": REGION,
        "SAM_CLI_TELEMETRY": "0",
        "PATH": tools,
    }


def build(runtime: str) -> None:
    """`sam build` for the containers: this machine's architecture, the template's Python. Leaves .aws-sam/build."""
    environment = sam_environment()
    environment |= {"LAYER_ARCHITECTURE": ARCHITECTURE, "LAYER_PYTHON": runtime.removeprefix("python")}
    choice = {"Architecture": ARCHITECTURE, "Runtime": runtime}
    overrides = [f"{name}={value}" for name, value in choice.items()]
    print(f"sam-local: building for {runtime} on {ARCHITECTURE} …", flush=True)
    command = [sam(), "build", "--parameter-overrides", *overrides]
    done = subprocess.run(command, check=False, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{done.stdout}{done.stderr}\nsam-local: `sam build` failed")
    # What was built is for this machine, so that is what the built template says where nobody says otherwise.
    template = yaml.safe_load(BUILT.read_text())
    for name, value in choice.items():
        template["Parameters"][name]["Default"] = value
    BUILT.write_text(yaml.safe_dump(template, sort_keys=False))


def gateway() -> str | None:
    """The address of this machine as containers see it, where it is one of ours to listen on.

    None with Docker Desktop, whose host.docker.internal reaches what listens on 127.0.0.1.
    """
    command = ["docker", "network", "inspect", "bridge"]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    for network in json.loads(answer.stdout)[0]["IPAM"]["Config"]:
        # Where Docker chose the subnet itself it may not say the gateway: it is the first address then.
        address = network.get("Gateway") or str(ipaddress.ip_network(network["Subnet"])[1])
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind((address, 0))
            return address
    return None


@contextlib.contextmanager
def embedded_cloud(port: int) -> Iterator[None]:
    """MiniStack on 127.0.0.1 and, for the containers, on Docker's bridge; it ends with the block, its data with it."""
    with tempfile.TemporaryDirectory(prefix="records-sam-local-") as folder:
        environment = {
            **os.environ,
            **CREDENTIALS,
            "AUTH": "true",
            "MINISTACK_REGION": REGION,
            "GATEWAY_PORT": str(port),
            "GATEWAY_ALSO_ON": gateway() or "",
            "PUBLIC_PORT": "0",
            "PUBLIC_BUCKET": "",
            "API_ID_FILE": os.devnull,
            "TMPDIR": folder,
        }
        log = Path(folder, "cloud.log")
        with log.open("w") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "local.emulator"],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            for _ in range(300):
                if process.poll() is not None:
                    sys.exit(f"{log.read_text()}\nsam-local: the embedded cloud did not start")
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                    break
                time.sleep(0.1)
            yield
        finally:
            process.terminate()
            process.wait(20)


def client(service: str, port: int) -> Any:
    return boto3.client(
        service,
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name=REGION,
        aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
    )


def data_template(template: dict[str, Any]) -> dict[str, Any]:
    """The tables and the bucket of a template and nothing else, as a template whose outputs are their names.

    Without the bucket's events, which SAM derives from the functions, and without what protects data from deletion.
    """
    kinds = ("AWS::DynamoDB::Table", "AWS::S3::Bucket")
    protections = ("DeletionPolicy", "UpdateReplacePolicy", "DependsOn")
    resources = {
        name: {key: value for key, value in resource.items() if key not in protections}
        for name, resource in template["Resources"].items()
        if isinstance(resource, dict) and resource["Type"] in kinds
    }
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Parameters": template["Parameters"],
        "Conditions": template["Conditions"],
        "Resources": resources,
        "Outputs": {name: {"Value": {"Ref": name}} for name in resources},
    }


def create_data(port: int) -> tuple[dict[str, str], str]:
    """Tables, bucket, and the queue that tells of uploads. Gives the names by logical id, and the queue's address."""
    stacks = client("cloudformation", port)
    body = json.dumps(data_template(yaml.safe_load(BUILT.read_text())))
    parameters = [{"ParameterKey": "Stage", "ParameterValue": "local"}]
    stacks.create_stack(StackName=STACK, TemplateBody=body, Parameters=parameters)
    stacks.get_waiter("stack_create_complete").wait(StackName=STACK, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    outputs = stacks.describe_stacks(StackName=STACK)["Stacks"][0]["Outputs"]
    names = {output["OutputKey"]: output["OutputValue"] for output in outputs}

    queues = client("sqs", port)
    from_s3 = {
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": "*",
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [from_s3]})
    # As long as the converter may take: a message comes once, however long the recording.
    settings = {"Policy": policy, "VisibilityTimeout": "900"}
    queue = queues.create_queue(QueueName="uploads", Attributes=settings)["QueueUrl"]
    attributes = queues.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]
    uploads = {
        "QueueArn": attributes["QueueArn"],
        "Events": ["s3:ObjectCreated:*"],
        "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": "uploads/"}]}},
    }
    client("s3", port).put_bucket_notification_configuration(
        Bucket=names["AudioBucket"], NotificationConfiguration={"QueueConfigurations": [uploads]}
    )
    return names, queue


def write_environment(names: dict[str, str], port: int, cloud_port: int) -> None:
    """env.json: what the functions' environment is here, in the form that `sam local --env-vars` reads."""
    variables = {
        "USERS_TABLE": names["UsersTable"],
        "RECORDS_TABLE": names["RecordsTable"],
        "BUCKET": names["AudioBucket"],
        "PUBLIC_URL": f"http://127.0.0.1:{port}",
        "STORAGE_URL": f"http://127.0.0.1:{cloud_port}",
        "AWS_ENDPOINT_URL": f"http://host.docker.internal:{cloud_port}",
    }
    ENVIRONMENT_FILE.write_text(json.dumps({"Parameters": variables}, indent=2) + "\n")


def carry_uploads(queue: str, cloud_port: int, stop: threading.Event) -> None:
    """Invoke the converter, in its container, with every event of the bucket, until `stop` is set."""
    queues = client("sqs", cloud_port)
    while not stop.is_set():
        try:
            messages = queues.receive_message(QueueUrl=queue, WaitTimeSeconds=5).get("Messages", [])
        except Exception as error:  # the cloud going down first, at the end, is nothing to tell of
            if not stop.is_set():
                print(f"sam-local: no events from the storage: {error}", file=sys.stderr)
            return
        for message in messages:
            event = json.loads(message["Body"])
            if "Records" in event:  # the first message of all is S3's own test
                invoke("ConvertUploadFunction", event)
            queues.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])


def invoke(function: str, event: dict[str, Any]) -> None:
    """`sam local invoke` with an event; its log goes to the terminal."""
    print(f"sam-local: an event for {function}", flush=True)
    command = [sam(), "local", "invoke", function, "--event", "-"]
    subprocess.run(command, check=False, cwd=ROOT, env=sam_environment(), input=json.dumps(event), text=True)


def wait_until_ready(port: int, api: subprocess.Popen[bytes]) -> None:
    """Until a function answers, out of its container, that there is no such record: so it reaches the tables."""
    address = f"http://127.0.0.1:{port}/record?id=00000000-0000-4000-8000-000000000000&user=1"
    status = 0
    for _ in range(180):
        if api.poll() is not None:
            sys.exit("sam-local: `sam local start-api` did not start; its message is above")
        try:
            urllib.request.urlopen(address, timeout=60)
        except urllib.error.HTTPError as error:
            status = error.code
            if status == 404:
                return
            break
        except OSError:
            time.sleep(1)
    sys.exit(
        f"sam-local: the functions answer {status}, see the log above. 503 says that the containers do not reach this "
        "machine: a firewall may stand between Docker's bridge and it."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--port", type=int, default=8000, help="of the API (8000)")
    parser.add_argument("--cloud-port", type=int, default=4566, help="of the embedded cloud (4566)")
    parser.add_argument("--runtime", default="python3.13", help="the Python of the containers (python3.13)")
    choices = parser.parse_args()

    if problem := docker_problem():
        sys.exit(f"sam-local: {problem}")
    for port in (choices.port, choices.cloud_port):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                sys.exit(f"sam-local: port {port} is taken; choose others with --port and --cloud-port")
    build(choices.runtime)

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    stop = threading.Event()
    with embedded_cloud(choices.cloud_port):
        names, queue = create_data(choices.cloud_port)
        write_environment(names, choices.port, choices.cloud_port)
        api = subprocess.Popen(
            [sam(), "local", "start-api", "--port", str(choices.port)],
            cwd=ROOT,
            env=sam_environment(),
            start_new_session=True,  # Ctrl-C comes to us alone, and we end it in order
        )
        carrier = threading.Thread(target=carry_uploads, args=(queue, choices.cloud_port, stop))
        try:
            wait_until_ready(choices.port, api)
            carrier.start()
            print(f"sam-local: ready at http://127.0.0.1:{choices.port} (Ctrl-C ends it)", flush=True)
            api.wait()
        except KeyboardInterrupt:
            pass
        finally:
            stop.set()
            api.terminate()  # it removes its containers
            api.wait()
            if carrier.ident:
                carrier.join()


if __name__ == "__main__":
    main()
