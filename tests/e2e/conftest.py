"""The stack that the end-to-end tests talk to, a private local cloud or what is deployed at $E2E_URL, and a browser."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest
from playwright.sync_api import Browser, BrowserContext, Error

from local.cloud import Cloud
from local.sam import ROOT, build
from tests.e2e.browser import Line, Visit, chromium, speech, tone
from tests.e2e.page import HERTZ, LIGHT, TIMEOUT, Open
from tests.support.client import HttpClient
from tests.support.wavs import fmt, wav


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


# ---- a browser for the tests of the page


@pytest.fixture(scope="session")
def wavs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with WAV files: what the microphone hears, a short one, one for the upload path, half an hour, and one
    that is as large as half an hour but soon converted: 96 kHz, 8 channels of 32 bits."""
    folder = tmp_path_factory.mktemp("wavs")
    speech(folder / "microphone.wav", HERTZ, seconds=20, rate=48000)
    speech(folder / "speech.wav", 200, seconds=40)
    tone(folder / "short.wav", 300, 3)
    tone(folder / "long.wav", 300, 240)
    tone(folder / "lecture.wav", 300, 1800)
    sound = numpy.sin(numpy.arange(1_800_000) / 50) * 2**30
    data = numpy.repeat(sound.astype("<i4"), 8).tobytes()
    (folder / "wide.wav").write_bytes(wav(fmt(channels=8, rate=96_000, bits=32), data))
    return folder


@pytest.fixture(scope="module")
def browser(wavs: Path) -> Iterator[Browser]:
    with chromium(wavs / "microphone.wav") as browser:
        yield browser


@pytest.fixture
def open_page(browser: Browser, base_url: str) -> Iterator[Open]:
    """Opens the page for a person who is new here; checks at the end that nothing went wrong behind the scenes."""
    contexts: list[BrowserContext] = []
    visits: list[Visit] = []

    def open_page(path: str = "/", *, same: Visit | None = None, locale: str = "en-US", **options: Any) -> Visit:
        if same:
            context = same.page.context
        else:
            context = browser.new_context(
                base_url=base_url,
                locale=locale,
                permissions=["microphone", "clipboard-read", "clipboard-write"],
                # What a service worker asks for is not seen by page.route.
                **{**LIGHT, "service_workers": "block", **options},
            )
            context.set_default_timeout(TIMEOUT)
            contexts.append(context)
        visit = Visit(context.new_page())
        visits.append(visit)
        for attempt in range(3):
            # When a network interface of the machine comes or goes (a container's, say), Chromium fails what it loads.
            try:
                visit.page.goto(path)
                # Twice the same address with a fragment is not loaded twice: its scripts have run once this has gone.
                visit.page.locator("#loading").wait_for(state="detached", timeout=TIMEOUT / 3)
            except Error as error:
                if attempt == 2 or not ("ERR_NETWORK_CHANGED" in error.message or "Timeout" in error.message):
                    raise
            else:
                break
        return visit

    yield open_page
    for context in contexts:
        context.close()
    for visit in visits:
        assert visit.unexpected == []
        # The storage is the stack's own, at its own address or another port of this machine.
        assert {host.partition(":")[0] for host in visit.hosts} == {base_url.split("/")[2].partition(":")[0]}


@pytest.fixture
def line() -> Iterator[Line]:
    """A way to the network for `open_page(proxy=line.proxy)`, to be slowed and cut."""
    line = Line()
    yield line
    line.close()
