"""Files that are two things at once, or one thing under the name of another: only their sound gets out."""

from __future__ import annotations

import io
import time
import zipfile
from pathlib import Path

import pytest

from records.audio.mp3 import convert
from records.audio.wav import inspect
from records.errors import UnsupportedAudio
from records.settings import settings
from tests.support.decoding import decoded
from tests.support.wavs import FRAMES, chunk, fmt, pcm, riff, tone, wav

pytestmark = pytest.mark.usefixtures("real_ffmpeg")

SECRET = b"what a file beside it says"
HTML = b"<!doctype html><script>alert(document.domain)</script>"
PDF = b"%PDF-1.7\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
DATA = pcm(tone())


def zipped(before: bytes = b"") -> bytes:
    """A ZIP archive; before: what stands in front of it, which its addresses then count."""
    file = io.BytesIO(before)
    file.seek(0, io.SEEK_END)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("secret.txt", SECRET)
    return file.getvalue()


ZIP_BEHIND = zipped(wav(fmt(), DATA))
ZIP_INSIDE = riff(fmt(), chunk(b"JUNK", zipped()), chunk(b"data", DATA))


@pytest.mark.parametrize(
    "file",
    [
        ZIP_BEHIND,
        ZIP_INSIDE,
        riff(chunk(b"JUNK", HTML), fmt(), chunk(b"data", DATA)),
        riff(chunk(b"LIST", b"INFOICMT" + HTML), fmt(), chunk(b"data", DATA), chunk(b"JUNK", PDF)),
        wav(fmt(), DATA) + b"\nffconcat version 1.0\nfile 'secret.wav'\n",
        riff(chunk(b"JUNK", b"#EXTM3U\n#EXTINF:1,\nfile:secret.wav\n"), fmt(), chunk(b"data", DATA)),
    ],
    ids=["zip-behind", "zip-inside", "html", "html-and-pdf", "concat-list-behind", "playlist-inside"],
)
def test_only_the_sound_of_a_polyglot_gets_out(file: bytes, tmp_path: Path, ffmpeg: str) -> None:
    """The MP3 is, byte for byte, that of the plain WAV file."""
    plain = converted(wav(fmt(), DATA), tmp_path)
    assert converted(file, tmp_path) == plain
    assert decoded(plain, ffmpeg).duration == pytest.approx(FRAMES / 8000, abs=1 / 22050)


def test_a_zip_that_is_a_wav_is_a_zip() -> None:
    for file in (ZIP_BEHIND, ZIP_INSIDE):
        with zipfile.ZipFile(io.BytesIO(file)) as archive:
            assert archive.read("secret.txt") == SECRET


PLAYLISTS = {
    "concat-list": "ffconcat version 1.0\nfile '{}'\n",
    "playlist": "#EXTM3U\n#EXTINF:1,\n{}\n",
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{}\n#EXT-X-ENDLIST\n",
    "dash": '<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period><BaseURL>file://{}</BaseURL></Period></MPD>',
    "sdp": "v=0\nm=audio 5004 RTP/AVP 0\na=control:file://{}\n",
    "image-sequence": "{}%03d",
    "path": "{}",
}


@pytest.mark.parametrize("name", PLAYLISTS)
def test_a_list_of_files_leads_nowhere(name: str, tmp_path: Path) -> None:
    """As a file it is refused; as the sound of one it is that: noise as long as the text, and nobody follows it."""
    secret = tmp_path / "secret.wav"
    secret.write_bytes(wav(fmt(), pcm(tone(10 * FRAMES))))
    text = PLAYLISTS[name].format(secret).encode()
    with pytest.raises(UnsupportedAudio):
        inspect(io.BytesIO(text))
    found = inspect(io.BytesIO(wav(fmt(bits=8), text)))
    assert found.frames == len(text)
    conversion = convert(found, [text], tmp_path, ffmpeg=settings().ffmpeg, bitrate=64, deadline=time.monotonic() + 60)
    assert conversion.duration == len(text) / 8000


def converted(file: bytes, directory: Path) -> bytes:
    found = inspect(io.BytesIO(file))
    data = file[found.data_offset : found.data_offset + found.data_bytes]
    return convert(
        found, [data], directory, ffmpeg=settings().ffmpeg, bitrate=64, deadline=time.monotonic() + 60
    ).path.read_bytes()
