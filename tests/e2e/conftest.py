"""The stack that the end-to-end tests talk to: a private local cloud, or what is deployed at $E2E_URL."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.cloud import Cloud
from local.sam import ROOT, build
from tests.support.client import HttpClient


@pytest.fixture(scope="session")
def deployed() -> str:
    """The address of a deployed stack to test; empty where the tests bring their own cloud."""
    return os.environ.get("E2E_URL", "").rstrip("/")


@pytest.fixture(scope="session")
def own_cloud(deployed: str) -> Iterator[Cloud | None]:
    if deployed:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="records e2e ") as folder:
        build(print, thorough=True)
        with Cloud(0, Path(folder)) as cloud:
            yield cloud
            assert_no_forgotten_parts(cloud)
        (ROOT / ".local/e2e.log").write_bytes(cloud.log.read_bytes())


def assert_no_forgotten_parts(cloud: Cloud) -> None:
    """Every upload in parts that is not finished is named by a pending row, which takes it along when it goes.

    What was deleted a moment ago has some seconds."""
    tables, storage = cloud.client("dynamodb"), cloud.client("s3")
    for _ in range(60):
        pages = storage.get_paginator("list_multipart_uploads").paginate(Bucket=cloud.outputs["BucketName"])
        unfinished = {upload["UploadId"] for page in pages for upload in page.get("Uploads", [])}
        rows = tables.get_paginator("scan").paginate(TableName=cloud.outputs["RecordsTableName"], ConsistentRead=True)
        named = {
            row["upload_id"]["S"]
            for page in rows
            for row in page["Items"]
            if "S" in row.get("upload_id", {}) and row["status"]["S"] == "pending"
        }
        if unfinished <= named:
            return
        time.sleep(0.5)
    pytest.fail(f"uploads in parts that nobody will finish: {unfinished - named}")


@pytest.fixture(scope="session")
def cloud(own_cloud: Cloud | None) -> Cloud:
    """The local cloud, with the account's own rights: for tests that look behind the API."""
    if own_cloud is None:
        pytest.skip("looks behind the API, which it can in a cloud of its own only")
    return own_cloud


@pytest.fixture(scope="session")
def base_url(deployed: str, own_cloud: Cloud | None) -> str:
    """Where the API is."""
    return own_cloud.url if own_cloud else deployed


@pytest.fixture(scope="session")
def client(base_url: str) -> HttpClient:
    return HttpClient(base_url)
