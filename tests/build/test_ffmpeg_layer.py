"""The ffmpeg layer as its build makes it, for both architectures, and what the build does where it cannot be made.

A binary for another processor than this machine's runs under qemu-user. What is true only of the binary built from
source is skipped where that is not possible, and CI fails where anything is skipped.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import random
import re
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from records.audio.codecs import CODECS
from records.audio.mp3 import convert
from records.audio.plan import Plan
from records.audio.wav import inspect
from records.settings import settings
from tests.support.wavs import _IMA_STEPS, IMA_ADPCM, Case, adpcm_fmt, cases, fmt, pcm, tone, wav

ROOT = Path(__file__).parents[2]
LAYER = ROOT / "layers/ffmpeg"
HOST = {"aarch64": "arm64", "amd64": "x86_64"}.get(platform.machine().lower(), platform.machine())

DEMUXERS = {"w64", "wav"}
# Those of the table of codecs, what they cannot be built without, and the forms of the same that ffmpeg prefers.
DECODERS = {decoder for codec in CODECS.values() for decoder in codec.decoders} | {
    *("gsm", "mp1float", "mp2float", "mp3float", "pcm_s8"),
}
# The second line is what the program itself cannot be linked without.
FILTERS = {
    *("aformat", "anull", "apad", "aresample", "asplit", "atrim", "pan"),
    *("abuffer", "abuffersink", "buffer", "buffersink", "crop", "format", "hflip", "null", "rotate", "transpose"),
    *("trim", "vflip"),
}

# A file for each decoder that an upload may need, and for the filters: resampling, downmix, padding.
NAMES = (
    *("pcm-8", "pcm-16-stereo", "pcm-24", "pcm-32", "pcm-64", "float-32", "float-64", "alaw", "mulaw", "gsm"),
    *("ms-adpcm-2", "ima-adpcm-2", "rifx-pcm-16", "rifx-pcm-24", "rifx-pcm-32"),
    *("mp1", "mp2", "mp3-mono", "mp3-stereo", "channels-8", "rate-384000", "one-sample-at-384000"),
)
CASES = [case for case in cases() if case.name in NAMES]


def build(command: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run build.py with these variables; the cache is the machine's, unless they say otherwise."""
    ours = ("LAYER_ARCHITECTURE", "RECORDS_FFMPEG", "FFMPEG_TARBALL", "LAME_TARBALL")
    kept = {name: value for name, value in os.environ.items() if name not in ours}
    arguments = [sys.executable, str(LAYER / "build.py"), command, str(folder)]
    return subprocess.run(arguments, env=kept | environment, capture_output=True, text=True, check=False)


@dataclass(frozen=True)
class Built:
    """A layer. facts: its build.json. emulator: what runs its programs here, if it takes one."""

    architecture: str
    folder: Path
    facts: dict[str, Any]
    emulator: tuple[str, ...]

    @property
    def binary(self) -> Path:
        return self.folder / "bin/ffmpeg"

    def run(self, *arguments: str, stdin: bytes = b"", program: str = "ffmpeg") -> subprocess.CompletedProcess[bytes]:
        command = [*self.emulator, str(self.folder / "bin" / program), *arguments]
        return subprocess.run(command, input=stdin, capture_output=True, check=False)

    def listed(self, what: str) -> set[str]:
        """The names that `ffmpeg -decoders` and the like give."""
        lines = self.run("-hide_banner", f"-{what}").stdout.decode()
        return set(re.findall(r"^ +[A-Z.|]{1,6} +([a-z0-9_]+) +\S", lines, re.MULTILINE))


def facts_of(folder: Path) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((folder / "share/ffmpeg/build.json").read_text())
    return facts


@pytest.fixture(scope="module", params=["x86_64", "arm64"])
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Built:
    architecture = request.param
    emulator = f"qemu-{'aarch64' if architecture == 'arm64' else architecture}-static"
    if architecture != HOST and not shutil.which(emulator):
        pytest.skip(f"no {emulator} here to run a program for {architecture}")
    folder = tmp_path_factory.mktemp(architecture)
    done = build("layer", folder, LAYER_ARCHITECTURE=architecture)
    assert done.returncode == 0, done.stderr
    return Built(architecture, folder, facts_of(folder), () if architecture == HOST else (emulator,))


@pytest.fixture(scope="module")
def from_source(built: Built) -> Built:
    if built.facts["build"] != "source":
        pytest.skip(f"ffmpeg for {built.architecture} is out of the wheel: {built.facts.get('why')}")
    return built


@pytest.fixture(scope="module")
def from_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This machine's layer made out of the wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    done = build("layer", folder, LAYER_ARCHITECTURE=HOST, RECORDS_FFMPEG="wheel")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def tools() -> None:
    missing = [tool for tool in ("gcc", "ar", "make", "tar", "xz") if not shutil.which(tool)]
    if missing:
        pytest.skip(f"not here: {', '.join(missing)}")


# --- Either binary ---------------------------------------------------------------------------------------------------


def test_the_binary_is_for_its_architecture_and_needs_nothing_else(built: Built) -> None:
    """By the ELF header (gABI, chapter 4 and 5): no interpreter, no shared library."""
    data = built.binary.read_bytes()
    (machine,) = struct.unpack_from("<H", data, 18)
    start, size, count = struct.unpack_from("<Q", data, 32)[0], *struct.unpack_from("<HH", data, 54)
    segments = [struct.unpack_from("<IIQQQQQQ", data, start + number * size) for number in range(count)]
    needed = []
    for kind, _, offset, _, _, length, *_ in segments:
        if kind == 2:  # PT_DYNAMIC
            tags = [struct.unpack_from("<qQ", data, at) for at in range(offset, offset + length, 16)]
            needed += [tag for tag, _ in tags if tag == 1]  # DT_NEEDED
    assert data[:6] == b"\x7fELF\x02\x01"
    assert machine == {"x86_64": 62, "arm64": 183}[built.architecture]
    assert 3 not in [kind for kind, *_ in segments]  # PT_INTERP
    assert needed == []
    assert built.binary.stat().st_mode & 0o777 == 0o755


def test_the_layer_says_what_it_is(built: Built) -> None:
    version = built.run("-version").stdout.decode()
    assert version.startswith(f"ffmpeg version {built.facts['ffmpeg']}")
    assert ("--enable-gpl" in version) == (built.facts["build"] == "wheel")
    assert built.facts["bytes"] == built.binary.stat().st_size
    assert built.facts["architecture"] == built.architecture
    said = build("check", built.folder, LAYER_ARCHITECTURE=built.architecture)
    assert (said.returncode, said.stderr) == (0, "")
    assert said.stdout.startswith(f"ffmpeg {built.facts['ffmpeg']} for {built.architecture}, ")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_it_converts_what_the_service_accepts(
    case: Case, built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the command line of `records.audio.mp3`, which checks for itself that every sample has come through."""
    for binary in (built.folder / "bin").iterdir():
        program = tmp_path / binary.name
        program.write_text("#!/bin/sh\nexec " + " ".join((*built.emulator, str(binary))) + ' "$@"\n')
        program.chmod(0o755)
    monkeypatch.setenv("FFMPEG", str(tmp_path / "ffmpeg"))
    settings.cache_clear()
    try:
        found = inspect(io.BytesIO(case.data))
        data = memoryview(case.data)[found.data_offset : found.data_offset + found.data_bytes]
        conversion = convert(
            found, [data], tmp_path, ffmpeg=settings().ffmpeg, bitrate=64, deadline=time.monotonic() + 60
        )
    finally:
        settings.cache_clear()
    assert conversion.duration == pytest.approx(case.duration, abs=0.001)
    if case.tone:
        assert conversion.levels.peak_dbfs == pytest.approx(-6.0, abs=1.5)


# --- The binary built from source ------------------------------------------------------------------------------------


def test_it_is_small_and_free(from_source: Built) -> None:
    version = from_source.run("-version").stdout.decode()
    assert from_source.binary.stat().st_size < 4_000_000
    assert "--disable-everything" in version
    assert "--disable-network" in version
    assert not re.search("--enable-(gpl|version3|nonfree)", version)
    texts = {path.name: path.read_text() for path in (from_source.folder / "share/ffmpeg").glob("LICENSE.*")}
    assert set(texts) == {"LICENSE.ffmpeg.txt", "LICENSE.lame.txt"}
    assert "GNU LESSER GENERAL PUBLIC LICENSE" in texts["LICENSE.ffmpeg.txt"]
    assert "GNU LIBRARY GENERAL PUBLIC LICENSE" in texts["LICENSE.lame.txt"]


def test_it_has_what_the_service_uses_and_nothing_else(from_source: Built) -> None:
    protocols = from_source.run("-hide_banner", "-protocols").stdout.decode().split()
    assert protocols[protocols.index("Input:") :] == ["Input:", "file", "pipe", "Output:", "file", "pipe"]
    assert from_source.listed("demuxers") == DEMUXERS
    assert from_source.listed("decoders") == DECODERS
    assert from_source.listed("encoders") == {"libmp3lame", "pcm_s16le"}
    assert from_source.listed("muxers") == {"mp3", "s16le"}
    assert from_source.listed("filters") == FILTERS
    assert from_source.run("-hide_banner", "-bsfs").stdout.split() == [b"Bitstream", b"filters:"]


def test_it_opens_no_connection(from_source: Built) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        address = f"127.0.0.1:{server.getsockname()[1]}"
        for scheme in ("http", "https", "tcp", "udp", "rtmp", "rtp", "ftp", "tls"):
            done = from_source.run("-v", "error", "-i", f"{scheme}://{address}/a.wav", "-f", "s16le", "-")
            assert (done.returncode != 0, done.stdout) == (True, b"")
            assert b"Protocol not found" in done.stderr
        with pytest.raises(BlockingIOError):
            server.accept()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("list.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nsecret.wav\n#EXT-X-ENDLIST\n"),
        ("list.wav", "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nsecret.wav\n#EXT-X-ENDLIST\n"),
        ("list.ffconcat", "ffconcat version 1.0\nfile secret.wav\n"),
        ("list.sdp", "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n"),
        (
            "list.mpd",
            '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>secret.wav</BaseURL></MPD>',
        ),
    ],
)
def test_it_reads_no_playlist(name: str, content: str, from_source: Built, tmp_path: Path) -> None:
    (tmp_path / "secret.wav").write_bytes(wav(fmt(), pcm(tone())))
    (tmp_path / name).write_text(content)
    for source in (
        f"{tmp_path / name}",
        f"concat:{tmp_path}/secret.wav",
        f"subfile:,,start,0,end,0,,:{tmp_path}/secret.wav",
    ):
        done = from_source.run("-v", "error", "-i", source, "-f", "s16le", "-")
        assert (done.returncode != 0, done.stdout) == (True, b"")


def test_it_decodes_ima_adpcm_exactly(from_source: Built) -> None:
    """Against the IMA's reference ("Recommended Practices for Enhancing Digital Audio Compatibility", 1992)."""
    noise = bytes((number * 89 + number // 7) % 251 for number in range(252 * 8))
    blocks = b"".join(struct.pack("<hBB", 0, 20, 0) + noise[at : at + 252] for at in range(0, len(noise), 252))
    expected: list[int] = []
    for at in range(0, len(blocks), 256):
        value, index = struct.unpack_from("<hB", blocks, at)
        expected.append(value)
        for byte in blocks[at + 4 : at + 256]:
            for nibble in (byte & 15, byte >> 4):
                step = _IMA_STEPS[index]
                change = step >> 3
                change += (
                    (step if nibble & 4 else 0) + (step >> 1 if nibble & 2 else 0) + (step >> 2 if nibble & 1 else 0)
                )
                value = max(-32768, min(32767, value - change if nibble & 8 else value + change))
                index = max(0, min(88, index + (-1, -1, -1, -1, 2, 4, 6, 8)[nibble & 7]))
                expected.append(value)
    file = wav(adpcm_fmt(IMA_ADPCM, 1, 256), blocks)
    done = from_source.run(
        "-v", "error", "-f", "wav", "-i", "pipe:0", "-c:a", "pcm_s16le", "-f", "s16le", "-", stdin=file
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert list(struct.unpack(f"<{len(done.stdout) // 2}h", done.stdout)) == expected


def test_nothing_of_the_machine_is_in_it(from_source: Built) -> None:
    for binary in (from_source.folder / "bin").iterdir():
        data = binary.read_bytes()
        for trace in (str(ROOT), "/tmp/ffmpeg-", "/lame/libmp3lame"):  # noqa: S108
            assert trace.encode() not in data


# --- The encoder beside it -------------------------------------------------------------------------------------------


def plan_of(from_source: Built, samples: bytes, rate: int, channels: int, kbits: int) -> Plan:
    file = wav(fmt(rate=rate, channels=channels), samples)
    plan = Plan.of(inspect(io.BytesIO(file)), kbits // channels, str(from_source.binary))
    assert plan.program == from_source.folder / "bin/mp3-encoder"
    return plan


@pytest.mark.parametrize("rate", [22050, 24000, 32000, 44100, 48000])
def test_it_makes_the_same_file_as_ffmpeg(rate: int, from_source: Built, tmp_path: Path) -> None:
    """Each bit rate of the template's parameter, mono and stereo; lengths around those of a frame, and one of more
    frames than there are sizes in the seek table. Under an emulator, ten times as slow, some of them."""
    own, theirs = tmp_path / "own.mp3", tmp_path / "theirs.mp3"
    lengths = (1, 2, 575, 576, 577, 1151, 1152, 1153)
    kbits = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160)
    cases = [(channels, kbit * channels, length) for channels in (1, 2) for kbit in kbits for length in lengths]
    cases = [*cases[::29], (2, 64, rate)] if from_source.emulator else [*cases, (2, 128, 12 * rate + 5)]
    allowed = (*kbits, 192, 224, 256, 320) if rate >= 32000 else (*kbits, 144)
    loud = random.Random(rate).randbytes(1 << 16) * 40
    for channels, kbit, length in cases:
        if kbit not in allowed:
            continue
        samples = loud[: 2 * channels * length]
        plan = plan_of(from_source, samples, rate, channels, kbit)
        done = from_source.run(*plan.command(own)[1:], program="mp3-encoder", stdin=samples)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
        by_ffmpeg = replace(plan, program=from_source.binary)
        header = inspect(io.BytesIO(wav(fmt(rate=rate, channels=channels), samples))).header
        done = from_source.run(*by_ffmpeg.command(theirs)[1:], stdin=header + samples)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
        assert own.read_bytes() == theirs.read_bytes(), (channels, kbit, length)


@pytest.mark.parametrize(
    ("arguments", "samples", "said"),
    [
        (("44100", "2", "128"), b"", "usage: mp3-encoder RATE CHANNELS KBITS FILE < pcm"),
        (("0", "2", "128", "{}"), b"", "RATE is to be positive, and CHANNELS 1 or 2"),
        (("44100", "3", "128", "{}"), b"", "RATE is to be positive, and CHANNELS 1 or 2"),
        (("44101", "2", "128", "{}"), b"", "MP3 has no such sample rate or bit rate"),
        (("44100", "2", "127", "{}"), b"", "MP3 has no such sample rate or bit rate"),
        (("44100", "2", "128", "{}"), b"", "the input ends within a sample, or is empty"),
        (("44100", "2", "128", "{}"), bytes(4001), "the input ends within a sample, or is empty"),
        (("44100", "2", "128", "{}/no/such/folder"), bytes(4000), "Not a directory"),
        (("44100", "2", "128", "/dev/full"), bytes(4000), "No space left on device"),
    ],
)
def test_what_the_encoder_refuses(
    arguments: tuple[str, ...], samples: bytes, said: str, from_source: Built, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    given = (argument.format(tmp_path / "file") for argument in arguments)
    done = from_source.run(*given, program="mp3-encoder", stdin=samples)
    assert (done.returncode, done.stdout, done.stderr.decode()) == (1, b"", f"mp3-encoder: {said}\n")


# --- The binary out of the wheel -------------------------------------------------------------------------------------


def test_the_wheel_serves_too(from_wheel: Path) -> None:
    facts = facts_of(from_wheel)
    binary = from_wheel / "bin/ffmpeg"
    size, sha256 = facts.pop("bytes"), facts.pop("sha256")
    assert facts == {
        "build": "wheel",
        "system": "linux",
        "architecture": HOST,
        "ffmpeg": "7.0.2",
        "wheel": "imageio-ffmpeg==0.6.0",
        "wheel_sha256": {
            "arm64": "1d47bebd83d2c5fc770720d211855f208af8a596c82d17730aa51e815cdee6dc",
            "x86_64": "c7e46fcec401dd990405049d2e2f475e2b397779df2519b544b8aab515195282",
        }[HOST],
    }
    assert size == binary.stat().st_size < 100_000_000  # Lambda takes 250 MB of layers in all
    assert sha256 == {"ffmpeg": hashlib.sha256(binary.read_bytes()).hexdigest()}
    text = (from_wheel / "share/ffmpeg/LICENSE.ffmpeg.txt").read_text()
    assert "GNU GENERAL PUBLIC LICENSE" in text
    assert "Version 3, 29 June 2007" in text


def test_what_was_built_before_is_taken_without_waiting(built: Built, tmp_path: Path) -> None:
    """RECORDS_FFMPEG=kept, as `make run` wants it: the one from source where it is there, else the wheel's at once."""
    done = build("layer", tmp_path / "here", LAYER_ARCHITECTURE=built.architecture, RECORDS_FFMPEG="kept")
    assert done.returncode == 0, done.stderr
    assert facts_of(tmp_path / "here")["build"] == built.facts["build"]
    empty = {"RECORDS_CACHE": str(tmp_path / "cache")}
    done = build("layer", tmp_path / "new", LAYER_ARCHITECTURE=HOST, RECORDS_FFMPEG="kept", **empty)
    assert done.returncode == 0, done.stderr
    assert facts_of(tmp_path / "new")["build"] == "wheel"


# --- What the build refuses, and where it falls back -----------------------------------------------------------------


def test_another_architecture_is_refused(built: Built) -> None:
    other = {"arm64": "x86_64", "x86_64": "arm64"}[built.architecture]
    done = build("check", built.folder, LAYER_ARCHITECTURE=other)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"{built.folder} has an ffmpeg for {built.architecture} on linux, not for {other} on linux.\n"
    )


def test_the_wheel_is_refused_where_source_is_asked_for(from_wheel: Path) -> None:
    done = build("check", from_wheel, LAYER_ARCHITECTURE=HOST, RECORDS_FFMPEG="source")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"{from_wheel} has the ffmpeg of imageio-ffmpeg==0.6.0, and RECORDS_FFMPEG=source asks for one from source.\n"
    )


def test_another_file_in_its_place_is_refused(from_wheel: Path, tmp_path: Path) -> None:
    shutil.copytree(from_wheel, tmp_path / "layer")
    (tmp_path / "layer/bin/ffmpeg").write_bytes(b"#!/bin/sh\n")
    done = build("check", tmp_path / "layer", LAYER_ARCHITECTURE=HOST)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"{tmp_path}/layer/bin/ffmpeg is not the file that build.py put there.\n"


def test_an_empty_layer_is_refused(tmp_path: Path) -> None:
    done = build("check", tmp_path, LAYER_ARCHITECTURE=HOST)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"{tmp_path} has no ffmpeg that build.py put there.\n"


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("LAYER_ARCHITECTURE", "riscv64", "LAYER_ARCHITECTURE is riscv64; it can be arm64, x86_64 or host.\n"),
        ("RECORDS_FFMPEG", "any", "RECORDS_FFMPEG is any; it can be auto, source, kept or wheel.\n"),
    ],
)
def test_a_slip_of_the_pen_is_refused(variable: str, value: str, message: str, tmp_path: Path) -> None:
    done = build("layer", tmp_path, **{variable: value})
    assert (done.returncode, done.stdout, done.stderr) == (1, "", message)
    assert list(tmp_path.iterdir()) == []


def test_without_a_compiler_the_wheel_is_taken_and_the_reason_kept(from_wheel: Path, tmp_path: Path) -> None:
    missing = "missing here: gcc, ar, make, tar, xz (Debian: apt-get install gcc libc6-dev make xz-utils)"
    done = build("layer", tmp_path / "layer", LAYER_ARCHITECTURE=HOST, PATH=str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(f", out of the wheel imageio-ffmpeg==0.6.0, not built from source: {missing}\n")
    assert facts_of(tmp_path / "layer") == facts_of(from_wheel) | {"why": missing}


def test_without_a_compiler_source_is_refused(tmp_path: Path) -> None:
    done = build("layer", tmp_path / "layer", LAYER_ARCHITECTURE=HOST, RECORDS_FFMPEG="source", PATH=str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"ffmpeg for {HOST} is not built from source: missing here: gcc, ar, make, tar, xz "
        "(Debian: apt-get install gcc libc6-dev make xz-utils).\n"
    )
    assert not (tmp_path / "layer").exists()


def test_a_source_of_unknown_bytes_is_refused(tools: None, tmp_path: Path) -> None:
    """Whatever RECORDS_FFMPEG says: who gives a source does not want another one."""
    (tmp_path / "ffmpeg.tar.xz").write_bytes(b"not what was released")
    given = {"FFMPEG_TARBALL": str(tmp_path / "ffmpeg.tar.xz"), "RECORDS_CACHE": str(tmp_path / "cache")}
    for way in ("auto", "source"):
        done = build("layer", tmp_path / "layer", LAYER_ARCHITECTURE=HOST, RECORDS_FFMPEG=way, **given)
        digest = hashlib.sha256(b"not what was released").hexdigest()
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith(f"FFMPEG_TARBALL: its SHA-256 {digest} is none of those in recipe.py (7.1.5 ")


def test_an_archive_out_of_reach_is_told(tools: None, tmp_path: Path) -> None:
    """A proxy that does not answer; what this machine has kept is out of sight."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        proxy = f"http://127.0.0.1:{closed.getsockname()[1]}"
    environment = {"http_proxy": proxy, "no_proxy": "", "RECORDS_CACHE": str(tmp_path / "cache")}
    done = build("layer", tmp_path / "layer", LAYER_ARCHITECTURE=HOST, RECORDS_FFMPEG="source", **environment)
    assert (done.returncode, done.stdout) == (1, "")
    refused = "cannot be downloaded: <urlopen error [Errno 111] Connection refused>"
    assert done.stderr == (
        f"ffmpeg for {HOST} is not built from source: the source of ffmpeg 7.1.5 {refused}; "
        f"the source of ffmpeg 9.0.2 {refused}.\n"
    )


def test_another_file_in_the_archive_is_refused(tools: None, tmp_path: Path) -> None:
    """Whoever answers in the archive's place: here a proxy that has the same for everything."""

    class Proxy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"not what was released")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        threading.Thread(target=server.serve_forever).start()
        proxy = f"http://127.0.0.1:{server.server_port}"
        environment = {"http_proxy": proxy, "no_proxy": "", "RECORDS_CACHE": str(tmp_path / "cache")}
        done = build("layer", tmp_path / "layer", LAYER_ARCHITECTURE=HOST, RECORDS_FFMPEG="source", **environment)
        server.shutdown()
    assert done.returncode == 1
    assert "what http://deb.debian.org/debian has as ffmpeg_7.1.5.orig.tar.xz is another file; what" in done.stderr
    assert not (tmp_path / "layer").exists()


def test_a_broken_build_is_told_with_its_log(tools: None, tmp_path: Path) -> None:
    """A compiler that says it is one and then fails."""
    (tmp_path / "bin").mkdir()
    libc = subprocess.run(["gcc", "-print-file-name=libc.a"], capture_output=True, text=True, check=True).stdout
    answers = f'--version) echo gcc 1;; -print*) echo {libc.strip()};; *) echo "no space"; exit 1;;'
    script = f"#!/bin/sh\ncase $1 in {answers} esac\n"
    (tmp_path / "bin/gcc").write_text(script)
    (tmp_path / "bin/gcc").chmod(0o755)
    path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
    environment = {"PATH": path, "RECORDS_CACHE": str(tmp_path / "cache")}
    done = build("layer", tmp_path / "layer", LAYER_ARCHITECTURE=HOST, RECORDS_FFMPEG="source", **environment)
    log = tmp_path / "cache/ffmpeg/failed-build.log"
    assert done.returncode == 1
    assert done.stderr == (
        f"ffmpeg for {HOST} is not built from source: gcc failed: no space (all it said is in {log}).\n"
    )
    assert log.read_text() == "no space\n"


def test_the_makefile_is_what_sam_calls(built: Built, tmp_path: Path) -> None:
    """From a copy of the folder, with ARTIFACTS_DIR and the target's name from the template."""
    shutil.copytree(LAYER, tmp_path / "scratch")
    environment = {"ARTIFACTS_DIR": str(tmp_path / "artifacts"), "LAYER_ARCHITECTURE": built.architecture}
    command = [
        "make",
        "--makefile",
        str(tmp_path / "scratch/Makefile"),
        "build-FfmpegLayer",
        f"PYTHON={sys.executable}",
    ]
    subprocess.run(command, cwd=tmp_path / "scratch", env=os.environ | environment, check=True, capture_output=True)
    files = {str(file.relative_to(tmp_path / "artifacts")) for file in tmp_path.glob("artifacts/*/**/*")}
    licences = {"source": ("ffmpeg", "lame"), "wheel": ("ffmpeg",)}[built.facts["build"]]
    texts = {f"share/ffmpeg/LICENSE.{name}.txt" for name in licences}
    programs = {"source": {"bin/ffmpeg", "bin/mp3-encoder"}, "wheel": {"bin/ffmpeg"}}[built.facts["build"]]
    assert files == {*programs, "share/ffmpeg", "share/ffmpeg/build.json"} | texts
    assert (tmp_path / "artifacts/bin/ffmpeg").read_bytes() == built.binary.read_bytes()


def test_the_defaults_are_the_templates() -> None:
    """What is built without being told the architecture is what is deployed without being told it."""
    template = (ROOT / "template.yaml").read_text()
    parameter = re.search(r"^  Architecture:\n(?:    .*\n)*?    Default: (\w+)\n", template, re.MULTILINE)
    assert parameter is not None
    assert parameter[1] == "arm64"
    assert "LAYER_ARCHITECTURE  arm64 (default" in (LAYER / "Makefile").read_text()
