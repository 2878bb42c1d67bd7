"""What every kind of test shares."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MEASURED = pytest.StashKey[list[str]]()

# What the template gives every function, and what they read when they are imported.
os.environ.setdefault("POWERTOOLS_METRICS_NAMESPACE", "Records")
os.environ.setdefault("POWERTOOLS_SERVICE_NAME", "records")


@pytest.fixture(scope="session")
def ffmpeg() -> str:
    """The ffmpeg to test with: $FFMPEG, else the layer as it was built, else one on the PATH."""
    built = ROOT / ".local/build/sam/FfmpegLayer/bin/ffmpeg"
    found = os.environ.get("FFMPEG") or (str(built) if built.exists() else shutil.which("ffmpeg"))
    assert found, "no ffmpeg: `make test` builds it; or set FFMPEG"
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


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for line in config.stash.get(MEASURED, []):
        terminalreporter.write_line(line)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI nothing may be skipped: what a machine lacks there has to be installed, not passed over."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter and reporter.stats.get("skipped"):
        reporter.write_line("CI: a test was skipped, so this run has failed.", red=True)
        session.exitstatus = 1
