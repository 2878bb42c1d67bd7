"""What every kind of test shares."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
MEASURED = pytest.StashKey[list[str]]()

# What the template sets for every function, and what they read when they are imported.
os.environ.setdefault("POWERTOOLS_METRICS_NAMESPACE", "Records")
os.environ.setdefault("POWERTOOLS_SERVICE_NAME", "records")


@pytest.fixture(scope="session")
def ffmpeg() -> str:
    """$FFMPEG, else that of the local stack, else what `make unit` fetched, else one on the PATH."""
    places = (ROOT / folder / "bin/ffmpeg" for folder in (".local/build/sam/FfmpegLayer", ".local/ffmpeg"))
    built = next((str(place) for place in places if place.exists()), None)
    found = os.environ.get("FFMPEG") or built or shutil.which("ffmpeg")
    assert found, "no ffmpeg: `make unit` gets one; or set FFMPEG"
    return found


@pytest.fixture(scope="session")
def corpus() -> Path | None:
    """The folder of real WAV files beside the project ($CORPUS), where there is one."""
    folder = Path(os.environ.get("CORPUS") or ROOT.parent / "shared/corpus")
    return folder if (folder / "manifest.csv").exists() else None


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Says a figure at the end of the run."""
    return request.config.stash.setdefault(MEASURED, []).append


# What takes longest is begun first, so that no worker is left with it at the end.
FIRST = (
    *("test_long_recordings", "test_emulator", "test_deploy", "test_page_recording", "test_page_people", "test_faults"),
    *("test_page_faults", "test_page_everybody", "test_page_list", "test_both_paths", "test_limits", "test_erasure"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        return FIRST.index(item.path.stem) if item.path.stem in FIRST else len(FIRST)

    items.sort(key=place)


def pytest_testnodedown(node: Any) -> None:
    """A worker of pytest-xdist has ended: its figures are shown with the others."""
    node.config.stash.setdefault(MEASURED, []).extend(getattr(node, "workeroutput", {}).get("measured", []))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for line in config.stash.get(MEASURED, []):
        terminalreporter.write_line(line)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI nothing may be skipped: what a machine lacks there has to be installed, not passed over."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["measured"] = session.config.stash.get(MEASURED, [])
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter and reporter.stats.get("skipped"):
        reporter.write_line("CI: a test was skipped, so this run has failed.", red=True)
        session.exitstatus = 1
