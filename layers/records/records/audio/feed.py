"""The data of a WAV file as ffmpeg gets it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from records.audio import mpeg
from records.audio.wav import MAX_DURATION, Wav
from records.errors import ConversionError, UnplayableAudio

TOLERANCE = 0.1  # s: by how much an MP3 may be longer or shorter than its WAV file
# How tags begin that may follow the last frame of MPEG audio: ID3v1, ID3v2, ID3v2 from behind, APEv2, Lyrics3.
_TAGS = (b"TAG", b"ID3", b"3DI", b"APET", b"LYRI")


class Feed:
    """Iterates over the bytes for ffmpeg, and counts the samples that pass."""

    def __init__(self, wav: Wav, data: Iterable[bytes | memoryview]) -> None:
        self._wav = wav
        self._data = data
        self._bytes = 0
        self._mpeg = mpeg.Frames({"mp1": 1, "mp2": 2}.get(wav.codec, 3), wav.sample_rate)

    def __iter__(self) -> Iterator[bytes | memoryview]:
        pieces = self._counted()
        if self._wav.frames is None:
            yield from self._whole_frames(pieces)
        elif self._wav.codec.startswith("pcm_f"):
            yield from self._finite(pieces, self._wav.bits // 8)
        else:
            yield from pieces
        if self._bytes != self._wav.data_bytes:
            raise ConversionError

    @property
    def frames(self) -> int:
        """Samples per channel, at the WAV file's rate."""
        return self._mpeg.samples if self._wav.frames is None else self._wav.frames

    def _counted(self) -> Iterator[bytes | memoryview]:
        for piece in self._data:
            self._bytes += len(piece)
            yield piece

    def _whole_frames(self, pieces: Iterator[bytes | memoryview]) -> Iterator[bytes]:
        """MPEG audio's whole frames only: ffmpeg would guess at what is between them, and at a last one that is cut."""
        found = self._mpeg
        for piece in pieces:
            yield found.feed(piece)
            if found.samples > MAX_DURATION * self._wav.sample_rate:
                raise UnplayableAudio("too_long", "The recording is longer than 24 hours. Split it into several.")
        if not found.frames:
            raise UnplayableAudio(
                "undecodable", "The WAV file's header says MPEG audio, but there is none in the file."
            )
        sound = self._bytes - found.skipped - found.unfinished
        # What follows the last frame, unless it is a tag, is lost sound too, as in a file that was never filled.
        lost = found.lost + (0 if found.after.startswith(_TAGS) else found.gap)
        if lost * found.samples > sound * self._wav.sample_rate * TOLERANCE:
            raise damaged()

    def _finite(self, pieces: Iterator[bytes | memoryview], width: int) -> Iterator[bytes]:
        """Little-endian floats, where NaN, infinity and numbers near the largest, which are no sound, become 0.

        All of these, and nothing below 2^127, have 0x7F or 0xFF as their highest byte. One NaN would make the
        encoder's psychoacoustic model, and so the rest of the MP3, undefined.
        """
        rest, wild = b"", 0
        for piece in pieces:
            data = rest + bytes(piece)
            whole = len(data) - len(data) % width
            data, rest = data[:whole], data[whole:]
            top = data[width - 1 :: width]
            found = [match.start() for match in re.finditer(b"[\x7f\xff]", top)]
            if found:
                cleaned = bytearray(data)
                for index in found:
                    cleaned[index * width : (index + 1) * width] = bytes(width)
                data = bytes(cleaned)
                wild += len(found)
            yield data
        samples = self._bytes // width
        if wild > min(samples // 2, TOLERANCE * self._wav.sample_rate * self._wav.channels):
            raise damaged()


def damaged() -> UnplayableAudio:
    return UnplayableAudio("damaged", "A part of the sound in the WAV file is damaged and cannot be decoded.")
