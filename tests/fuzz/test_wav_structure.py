"""Broken and strange WAV files, beside libsndfile, a reader that shares nothing with ours.

Where both accept a file they must find the same rate, channels and number of samples, and the very same samples where
these are stored as they are (PCM, floats, G.711). FUZZ_EXAMPLES files; `make soak` tries 5,000.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import soundfile
from hypothesis import HealthCheck, given, note, settings

from records.audio.wav import Wav
from tests.fuzz.checks import inspected
from tests.fuzz.files import Made, wav_files
from tests.fuzz.sparse import SparseFile

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "300"))
COMPARED = 2000  # samples a channel, of each file

# What libsndfile says of the codecs that both know.
SUBTYPES = {
    "pcm_u8": "PCM_U8",
    **{f"pcm_s{bits}{end}": f"PCM_{bits}" for bits in (16, 24, 32) for end in ("le", "be")},
    "pcm_f32le": "FLOAT",
    "pcm_f64le": "DOUBLE",
    "pcm_alaw": "ALAW",
    "pcm_mulaw": "ULAW",
    "adpcm_ms": "MS_ADPCM",
    "adpcm_ima_wav": "IMA_ADPCM",
    "gsm_ms": "GSM610",
}
BLOCKS = ("MS_ADPCM", "IMA_ADPCM", "GSM610")


@dataclass(frozen=True)
class Both:
    """A file that both accept."""

    made: Made
    ours: Wav
    theirs: soundfile.SoundFile

    @property
    def said(self) -> int:
        """The size that the data chunk's header declares."""
        return int.from_bytes(self.made.file.peek(self.ours.data_offset - 4, 4), self.made.order)

    @property
    def block_frames(self) -> int:
        """Samples a channel in a block of ADPCM or GSM; 0 where samples stand alone."""
        share = self.ours.block_align // self.ours.channels
        return {"adpcm_ms": 2 * share - 12, "adpcm_ima_wav": 2 * share - 7, "gsm_ms": 320}.get(self.ours.codec, 0)


# Where the two differ, and ours is meant. Each is known by what libsndfile's answer is then, not by the file alone.
DIFFERENCES: dict[str, Callable[[Both], bool]] = {
    # A data chunk of size 0 is what a writer leaves that could not seek back: all that follows is sound for us (and
    # for ffmpeg), and nothing for libsndfile. So it is with a 0 in ds64.
    "a size of 0 is unknown": lambda it: it.theirs.frames == 0 and 0 in (it.said, it.made.ds64_data),
    # EBU Tech 3306 has the size in ds64 count where the chunk's own is 0xFFFFFFFF; libsndfile
    # (and ffmpeg) prefer it always.
    "ds64 against the chunk's own size": lambda it: it.made.ds64_overruled,
    # 0xFFFFFFFF is another such size that is unknown; libsndfile takes it literally, where a file is that long.
    "a size of 2^32 - 1 is unknown": lambda it: (
        it.said == 0xFFFFFFFF and it.theirs.frames == 0xFFFFFFFF // it.ours.block_align
    ),
    # Of a part of a block at the end we count what ffmpeg decodes; libsndfile counts all of it or nothing, and takes
    # the pad byte behind an odd number of bytes for such a part too.
    "the part of a block": lambda it: 0 < abs(it.theirs.frames - (it.ours.frames or 0)) <= it.block_frames,
    # What is inside of a LIST of an unknown kind is the LIST's for us (and for ffmpeg); libsndfile finds chunks there.
    "a chunk inside a LIST": lambda it: it.made.nested,
    # Of two formats the first counts for us (and for ffmpeg), and of two data chunks with something in them too, where
    # ffmpeg plays both; RIFF allows one of each.
    "a second fmt or data chunk": lambda it: any(
        sum(part.name == name for part in it.made.chunks) > 1 for name in (b"fmt ", b"data")
    ),
    # libsndfile counts what it skips in 32 bits with a sign.
    "a chunk of 2 GiB is skipped": lambda it: any(
        part.size >= 0x7FFFFF00 for part in it.made.chunks if part.name != b"data"
    ),
}

# Why we refuse sound that libsndfile reads: the contract's limits, and forms that players disagree about.
REFUSALS = (
    "bad_channels",
    "bad_sample_rate",
    "too_long",
    "inconsistent_format",
    "unsupported_form",
    "several_data_chunks",
)

outcomes: Counter[str] = Counter()


def test_beside_libsndfile() -> None:
    outcomes.clear()
    beside_libsndfile()
    print(*(f"{count:6} {outcome}" for outcome, count in sorted(outcomes.items())), sep="\n")
    assert outcomes.total() >= EXAMPLES
    # Too few comparisons would prove little: a fifth of the files are to be good enough for both.
    assert outcomes["the same"] >= EXAMPLES / 5


@settings(
    max_examples=EXAMPLES, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck), database=None
)
@given(wav_files())
def beside_libsndfile(made: Made) -> None:
    note(repr(made.file))
    compare(made)


def compare(made: Made) -> None:
    ours = inspected(made.file)
    try:
        theirs = soundfile.SoundFile(made.file.opened())
    except soundfile.LibsndfileError:
        outcomes["refused by libsndfile alone" if isinstance(ours, Wav) else "refused by both"] += 1
        return
    with theirs:
        if isinstance(ours, Wav):
            compare_answers(made, ours, theirs)
            return
    reason = (ours.details or {}).get("reason", ours.code)
    if made.ds64_lies or made.ds64_overruled or made.nested:
        pass  # libsndfile knows how long a ds64 has to be, prefers its sizes always, and looks inside of a LIST
    elif reason in ("no_data", "no_samples"):
        assert theirs.frames == 0 or theirs.subtype in BLOCKS, theirs  # it takes the beginning of a block for one
    elif theirs.subtype in SUBTYPES.values():
        assert reason in REFUSALS, theirs
    outcomes["refused by us alone: " + reason] += 1


def compare_answers(made: Made, ours: Wav, theirs: soundfile.SoundFile) -> None:
    for difference, meant in DIFFERENCES.items():
        if meant(Both(made, ours, theirs)):
            outcomes["differs: " + difference] += 1
            return
    expected = (SUBTYPES.get(ours.codec), ours.sample_rate, ours.channels, ours.frames)
    assert expected == (theirs.subtype, theirs.samplerate, theirs.channels, theirs.frames), ours
    if ours.codec in DECODERS:
        compare_samples(made.file, ours, theirs)
    outcomes["the same"] += 1


def compare_samples(file: SparseFile, ours: Wav, theirs: soundfile.SoundFile) -> None:
    assert ours.frames is not None
    decode = DECODERS[ours.codec]
    for first in (0, max(0, ours.frames - COMPARED)):
        count = min(COMPARED, ours.frames)
        data = file.peek(ours.data_offset + first * ours.block_align, count * ours.block_align)
        mine = decode(data).reshape(-1, ours.channels)
        theirs.seek(first)
        assert np.array_equal(
            mine, theirs.read(count, mine.dtype.name, always_2d=True), equal_nan=mine.dtype.kind == "f"
        )


# --- Decoding what needs no state -------------------------------------------------------------------------------------


def whole(width: int, end: str) -> Callable[[bytes], Any]:
    """PCM of 2 to 4 bytes a sample, at the high end of 32 bits as libsndfile gives it."""

    def decode(data: bytes) -> Any:
        samples = np.zeros((len(data) // width, 4), np.uint8)
        stored = np.frombuffer(data, np.uint8).reshape(-1, width)
        samples[:, 4 - width :] = stored if end == "le" else stored[:, ::-1]
        return samples.view("<i4").astype(np.int32)

    return decode


def unsigned(data: bytes) -> Any:
    return (np.frombuffer(data, np.uint8).astype(np.int32) - 128) << 24


def alaw(data: bytes) -> Any:
    """ITU-T G.711, table 1: 13 bits, here at the high end of 16."""
    byte = np.frombuffer(data, np.uint8).astype(np.int32) ^ 0x55
    segment, step = byte >> 4 & 7, byte & 15
    size = np.where(segment == 0, 2 * step + 1, (2 * step + 33) << np.maximum(segment - 1, 0)) << 3
    return np.where(byte & 0x80, size, -size).astype(np.int16)


def mulaw(data: bytes) -> Any:
    """ITU-T G.711, table 2: 14 bits, here at the high end of 16."""
    byte = ~np.frombuffer(data, np.uint8).astype(np.int32)
    size = ((2 * (byte & 15) + 33 << (byte >> 4 & 7)) - 33) << 2
    return np.where(byte & 0x80, -size, size).astype(np.int16)


DECODERS: dict[str, Callable[[bytes], Any]] = {
    "pcm_u8": unsigned,
    **{f"pcm_s{8 * width}{end}": whole(width, end) for width in (2, 3, 4) for end in ("le", "be")},
    "pcm_f32le": lambda data: np.frombuffer(data, "<f4"),
    "pcm_f64le": lambda data: np.frombuffer(data, "<f8"),
    "pcm_alaw": alaw,
    "pcm_mulaw": mulaw,
}
