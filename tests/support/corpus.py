"""The real WAV and not-WAV files beside the project, with what is known of each (`manifest.csv`)."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class CorpusFile:
    """expect: the statuses that are right. duration: seconds of audio that are really there, where known."""

    name: str
    path: Path
    expect: frozenset[int]
    duration: float | None


def corpus_files(folder: Path | None) -> list[CorpusFile]:
    """Every file of the corpus; none where there is no corpus."""
    if folder is None:
        return []
    with (folder / "manifest.csv").open(newline="") as file:
        return [
            CorpusFile(
                name=row["file"],
                path=folder / row["file"],
                expect=frozenset(int(status) for status in row["expect"].split("|")),
                duration=float(row["duration"]) if row["duration"] else None,
            )
            for row in csv.DictReader(file)
        ]
