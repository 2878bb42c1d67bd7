"""What holds for `wav.inspect` and `mpeg.Frames` whatever the bytes are."""

from __future__ import annotations

from records.audio import mpeg
from records.audio.codecs import MAX_CHANNELS, MAX_RATE, MIN_RATE
from records.audio.wav import MAX_DURATION, Wav, inspect
from records.errors import UnplayableAudio, UnsupportedAudio
from tests.fuzz.sparse import LONGEST_READ, MOST_READS, SparseFile

# `details.reason` of a 422, as far as `wav` sets it.
REASONS = frozenset(
    (
        *("no_format", "no_data", "no_samples", "bad_format", "bad_channels", "bad_sample_rate", "too_long"),
        *("inconsistent_format", "unsupported_form", "undecodable", "too_many_chunks", "several_data_chunks"),
    )
)
_MPEG = ("mp1", "mp2", "mp3")


def inspected(file: SparseFile) -> Wav | UnplayableAudio | UnsupportedAudio:
    """The answer to a file, and nothing but an answer: another exception goes through and fails the test.

    Raises AssertionError where the answer makes no sense, or reading it took more than the file is worth: a byte may
    be read twice (a chunk's header at the end of a window, its body in the next), and a window for each look at the
    file's start, its samples (three) and its first MPEG frame.
    """
    answer: Wav | UnplayableAudio | UnsupportedAudio
    try:
        answer = inspect(file)
    except (UnsupportedAudio, UnplayableAudio) as refusal:
        answer = refusal
    _check_reads(file)
    if isinstance(answer, Wav):
        _check_wav(answer, file)
    else:
        assert answer.message.endswith(".")
        assert answer.details is None or answer.details["reason"] in REASONS
    return answer


def _check_reads(file: SparseFile) -> None:
    assert file.reads <= MOST_READS
    assert file.bytes_read <= 2 * file.size + 5 * LONGEST_READ


def _check_wav(found: Wav, file: SparseFile) -> None:
    assert 0 < found.data_bytes <= file.size - found.data_offset
    assert found.data_offset >= 12 + 8
    assert MIN_RATE <= found.sample_rate <= MAX_RATE
    assert 1 <= found.channels <= MAX_CHANNELS
    assert found.block_align > 0
    if found.codec in _MPEG:
        assert (found.frames, found.duration) == (None, None)
        return
    assert found.frames is not None
    assert found.frames > 0
    assert found.duration == found.frames / found.sample_rate <= MAX_DURATION
    _check_header(found)


def _check_header(found: Wav) -> None:
    """What ffmpeg is given says the same as the file did. (`fact` is not in it: `mp3` cuts the padding off.)

    The header is read before silence, as no form of a sample is refused for that: which samples are looked at depends
    on where the data ends.
    """
    again = inspect(SparseFile(found.header, bytes(min(found.data_bytes, 4096))))
    same = (again.codec, again.sample_rate, again.channels, again.bits, again.block_align, again.data_offset)
    assert same == (
        *(found.codec, found.sample_rate, found.channels, found.bits, found.block_align),
        len(found.header),
    )


def check_frames(data: bytes, piece: int) -> None:
    """MPEG frames are counted alike in pieces of any size, and no byte is lost or seen twice."""
    mpeg.info(data)
    first = mpeg.first_frame(data)
    if first is None:
        return
    whole, cut = mpeg.Frames(first.layer, first.rate), mpeg.Frames(first.layer, first.rate)
    passed = whole.feed(data)
    assert passed == b"".join(cut.feed(data[start : start + piece]) for start in range(0, len(data), piece))
    # The last 3 bytes of junk count as skipped or as unfinished, by how the pieces end: only the sum is a fact.
    for count in (whole, cut):
        assert len(passed) + count.skipped + count.unfinished == len(data)
    assert (whole.frames, whole.samples, whole.lost) == (cut.frames, cut.samples, cut.lost)
    assert whole.lost <= whole.skipped
    assert whole.samples <= mpeg.MOST_SAMPLES * len(passed)
