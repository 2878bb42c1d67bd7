"""Put a static ffmpeg into the layer: built from source, or out of a wheel where that cannot be.

    build.py layer DIRECTORY   write bin/ffmpeg and share/ffmpeg/ (licences, build.json) into DIRECTORY
    build.py check DIRECTORY   say in a line what is in DIRECTORY; fail unless it is for LAYER_ARCHITECTURE, and
                               unless it was built from source where RECORDS_FFMPEG=source

Makefile beside this file lists the variables of the environment. Needs nothing but Python's standard library.
"""
# ruff: noqa: S603, T201

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent


# --- What is built ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Correction:
    """An edit to a source file, in which `before` stands once."""

    file: str
    before: str
    after: str


@dataclass(frozen=True)
class Source:
    """A release's tarball. pool: where a Debian mirror has it; the mirrors' signed indexes gave the SHA-256."""

    name: str
    version: str
    pool: str
    sha256: str
    corrections: tuple[Correction, ...] = ()

    @property
    def file(self) -> str:
        return self.pool.rpartition("/")[2]


# Up to 7.1 the decoder multiplies where the IMA's reference adds truncated terms. Its error adds up over a block; in
# quiet passages it is as loud as the sound. Later releases do it this way.
EXACT_IMA_ADPCM = tuple(
    Correction("libavcodec/adpcm.c", f"{sample} = adpcm_ima_{before};", f"{sample} = adpcm_ima_qt_{after};")
    for sample, before, after in (
        ("samples[m    ]", "expand_nibble(cs, v & 0x0F, 3)", "expand_nibble(cs, v & 0x0F)"),
        ("samples[m + 1]", "expand_nibble(cs, v >> 4  , 3)", "expand_nibble(cs, v >> 4)"),
    )
)

# The first one that can be had is taken. Debian replaces 7.1 (trixie) by its security updates and 9.0 (sid) by newer
# releases, and then a mirror no longer has the old one: README.md tells how to add the new one here.
FFMPEG = (
    Source(
        *("ffmpeg", "7.1.5", "pool/main/f/ffmpeg/ffmpeg_7.1.5.orig.tar.xz"),
        "de668509caf9e35e3cd162473441fdb29538c6d96ed080292b3cf9e6fc5d558f",
        EXACT_IMA_ADPCM,
    ),
    Source(
        *("ffmpeg", "9.0.2", "pool/main/f/ffmpeg/ffmpeg_9.0.2.orig.tar.xz"),
        "8c3850283eb25fa026482078a04051e0be17347b09ef81a0849bec15a96e002e",
    ),
)
LAME = (
    Source(
        *("lame", "3.100", "pool/main/l/lame/lame_3.100.orig.tar.gz"),
        "ddfe36cab873794038ae2c1210557ad34857a4b6bdc515785d1da9e175b1da1e",
    ),
)

# All that `records.audio.wav` accepts and `records.audio.mp3` asks for, and nothing else: what is not in the binary
# cannot be reached by an upload.
DEMUXERS = ("w64", "wav")
DECODERS = (
    *("adpcm_ima_wav", "adpcm_ms", "gsm", "gsm_ms", "mp1", "mp1float", "mp2", "mp2float", "mp3", "mp3float"),
    *("pcm_alaw", "pcm_f32le", "pcm_f64le", "pcm_mulaw", "pcm_s16be", "pcm_s16le", "pcm_s24be", "pcm_s24le"),
    *("pcm_s32be", "pcm_s32le", "pcm_s64be", "pcm_s64le", "pcm_s8", "pcm_u8"),
)
PARSERS = ("mpegaudio",)
FILTERS = ("aformat", "anull", "apad", "aresample", "asplit", "atrim", "pan")
ENCODERS = ("libmp3lame", "pcm_s16le")
MUXERS = ("mp3", "pcm_s16le")
PROTOCOLS = ("file", "pipe")

# A position-independent executable, guarded against overruns: it parses strangers' bytes.
GUARDS = ("-fPIE", "-fstack-protector-strong", "-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=2")
LINKING = ("-static-pie", "-Wl,-z,relro,-z,now", "-Wl,--build-id=none")

CONFIGURE = (
    *("--prefix=/opt", "--disable-everything", "--disable-autodetect", "--pkg-config=false"),
    *("--disable-doc", "--disable-debug", "--disable-network", "--disable-iconv", "--disable-avdevice"),
    *("--disable-swscale", "--disable-ffplay", "--disable-ffprobe", "--enable-pic", "--enable-libmp3lame"),
    *(f"--enable-demuxer={name}" for name in DEMUXERS),
    *(f"--enable-decoder={name}" for name in DECODERS),
    *(f"--enable-parser={name}" for name in PARSERS),
    *(f"--enable-filter={name}" for name in FILTERS),
    *(f"--enable-encoder={name}" for name in ENCODERS),
    *(f"--enable-muxer={name}" for name in MUXERS),
    *(f"--enable-protocol={name}" for name in PROTOCOLS),
    f"--extra-cflags={' '.join(('-I../lame', *GUARDS))}",
    f"--extra-ldflags={' '.join(('-L../lame', *LINKING))}",
)

# LAME's own configure script takes -O3 -ffast-math too, and knows no more than these of its macros on a machine of
# today. Infinity and NaN are left what they are: LAME tests for them. Without autoconf it is built in half the
# time, and for arm64 with the same short cuts as for x86_64 (they need IEEE 754 and nothing else).
LAME_FLAGS = (
    *("-w", "-O3", "-ffast-math", "-fno-finite-math-only", *GUARDS),
    *("-DSTDC_HEADERS", "-DHAVE_ERRNO_H", "-DHAVE_FCNTL_H", "-DHAVE_INTTYPES_H", "-DHAVE_LIMITS_H", "-DHAVE_STDINT_H"),
    *("-DHAVE_MEMCPY", "-DHAVE_STRCHR", "-Dieee754_float32_t=float", "-Dieee754_float64_t=double"),
    *("-DLAME_LIBRARY_BUILD", "-DNOANALYSIS", "-DTAKEHIRO_IEEE754_HACK", "-DUSE_FAST_LOG"),
    *('-DPACKAGE="lame"', "-Iinclude", "-Ilibmp3lame", "-Impglib"),
)
LAME_FLAGS_OF = {"arm64": (), "x86_64": ("-DHAVE_XMMINTRIN_H", "-DMIN_ARCH_SSE")}

WHEEL = "imageio-ffmpeg==0.6.0"


@dataclass(frozen=True)
class Wheel:
    """The wheel of one platform, by the names that uv and pip have for it."""

    uv: str
    pip: str
    sha256: str
    ffmpeg: str


WHEELS = {
    ("linux", "arm64"): Wheel(
        *("aarch64-manylinux2014", "manylinux2014_aarch64"),
        *("1d47bebd83d2c5fc770720d211855f208af8a596c82d17730aa51e815cdee6dc", "7.0.2"),
    ),
    ("linux", "x86_64"): Wheel(
        *("x86_64-manylinux2014", "manylinux2014_x86_64"),
        *("c7e46fcec401dd990405049d2e2f475e2b397779df2519b544b8aab515195282", "7.0.2"),
    ),
    ("darwin", "arm64"): Wheel(
        *("aarch64-apple-darwin", "macosx_11_0_arm64"),
        *("b1ae3173414b5fc5f538a726c4e48ea97edc0d2cdc11f103afee655c463fa742", "7.1"),
    ),
    ("darwin", "x86_64"): Wheel(
        *("x86_64-apple-darwin", "macosx_10_9_x86_64"),
        *("9d2baaf867088508d4a3458e61eeb30e945c4ad8016025545f66c4b5aaef0a61", "7.1"),
    ),
}


class NotPossible(Exception):
    """ffmpeg cannot be had in this way on this machine; the message says why, and what would help."""


class Refused(Exception):
    """What was asked for cannot be done, or must not."""


# --- From source -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Toolchain:
    """The programs that build for an architecture. prefix: of their names; nasm: None where there is none."""

    architecture: str
    prefix: str
    compiler: str
    libc: str
    nasm: str | None

    @classmethod
    def find(cls, architecture: str) -> Toolchain:
        if platform.system() != "Linux":
            raise NotPossible(f"it is built on Linux, and this is {platform.system()}")
        cpu = {"arm64": "aarch64", "x86_64": "x86_64"}[architecture]
        prefix = "" if architecture == host_architecture() else f"{cpu}-linux-gnu-"
        packages = "gcc libc6-dev make" if not prefix else f"gcc-{cpu.replace('_', '-')}-linux-gnu make"
        missing = [tool for tool in (f"{prefix}gcc", f"{prefix}ar", "make", "tar", "xz") if not shutil.which(tool)]
        if missing:
            raise NotPossible(f"missing here: {', '.join(missing)} (Debian: apt-get install {packages} xz-utils)")
        libc = Path(output(f"{prefix}gcc", "-print-file-name=libc.a"))
        if not libc.is_absolute():
            raise NotPossible("missing here: the C library's libc.a (Debian: apt-get install libc6-dev)")
        nasm = output("nasm", "--version") if architecture == "x86_64" and shutil.which("nasm") else None
        return cls(architecture, prefix, output(f"{prefix}gcc", "--version").splitlines()[0], sha256_of(libc), nasm)

    def configure(self) -> list[str]:
        """The options of ffmpeg's configure script that depend on the machine."""
        cross = ["--enable-cross-compile", "--target-os=linux", f"--cross-prefix={self.prefix}"] if self.prefix else []
        assembler = ["--disable-x86asm"] if self.architecture == "x86_64" and not self.nasm else []
        return [f"--arch={'aarch64' if self.architecture == 'arm64' else 'x86_64'}", *cross, *assembler]

    def lame_flags(self) -> list[str]:
        return [*LAME_FLAGS, *LAME_FLAGS_OF[self.architecture]]


def from_source(architecture: str) -> Path:
    """The folder with ffmpeg as built from source, now or earlier. Raises NotPossible."""
    toolchain = Toolchain.find(architecture)
    lame, lame_tarball = offered(LAME, "LAME_TARBALL")[0]
    reasons = []
    for ffmpeg, ffmpeg_tarball in offered(FFMPEG, "FFMPEG_TARBALL"):
        recipe = {
            "build": "source",
            "system": "linux",
            "architecture": architecture,
            "ffmpeg": ffmpeg.version,
            "lame": lame.version,
            "sources": {each.file: each.sha256 for each in (ffmpeg, lame)},
            "corrections": [asdict(correction) for correction in ffmpeg.corrections],
            "configure": [*CONFIGURE, *toolchain.configure()],
            "lame_flags": toolchain.lame_flags(),
            "compiler": toolchain.compiler,
            "libc_sha256": toolchain.libc,
            "assembler": toolchain.nasm,
        }
        kept = kept_folder(recipe)
        if is_whole(kept):
            return kept
        if way() == "kept":
            reasons.append(f"{ffmpeg.version} was not built here before, and RECORDS_FFMPEG=kept does not wait for it")
            continue
        try:
            tarballs = [ffmpeg_tarball or from_apt(ffmpeg), lame_tarball or from_apt(lame)]
        except NotPossible as reason:
            reasons.append(str(reason))
            continue
        print(f"ffmpeg {ffmpeg.version} for {architecture} is built from source, in some 40 s on two idle cores.")
        sys.stdout.flush()
        with tempfile.TemporaryDirectory(prefix="ffmpeg-") as scratch:
            return keep(compile_all(Path(scratch), ffmpeg, lame, tarballs, toolchain), kept, recipe)
    raise NotPossible("; ".join(reasons))


def compile_all(scratch: Path, ffmpeg: Source, lame: Source, tarballs: list[Path], toolchain: Toolchain) -> Path:
    """Build in `scratch`. Every path given to the compiler is relative, so that none gets into the binary."""
    layer = scratch / "layer"
    texts = layer / "share/ffmpeg"
    texts.mkdir(parents=True)
    for tarball, name in zip(tarballs, ("ffmpeg", "lame"), strict=True):
        (scratch / name).mkdir()
        run("tar", "-xf", str(tarball), "--strip-components=1", "--no-same-owner", cwd=scratch / name)
    compile_lame(scratch / "lame", [*toolchain.lame_flags(), f'-DVERSION="{lame.version}"'], toolchain)
    source = scratch / "ffmpeg"
    for correction in ffmpeg.corrections:
        text = (source / correction.file).read_text()
        if text.count(correction.before) != 1:
            raise NotPossible(f"{correction.file} of ffmpeg {ffmpeg.version} is not what build.py corrects")
        (source / correction.file).write_text(text.replace(correction.before, correction.after))
    run("./configure", *CONFIGURE, *toolchain.configure(), cwd=source)
    run("make", f"-j{os.cpu_count() or 1}", "ffmpeg", cwd=source)
    (layer / "bin").mkdir()
    shutil.copy(source / "ffmpeg", layer / "bin/ffmpeg")
    shutil.copy(source / "COPYING.LGPLv2.1", texts / "LICENSE.ffmpeg.txt")
    shutil.copy(scratch / "lame/COPYING", texts / "LICENSE.lame.txt")
    machine, static = elf(layer / "bin/ffmpeg")
    if machine != toolchain.architecture or not static:
        raise NotPossible("the compiler made a binary of another kind than it was told to")
    return layer


def compile_lame(source: Path, flags: list[str], toolchain: Toolchain) -> None:
    """Make libmp3lame.a, and put its header where ffmpeg looks for it."""
    vector = ["libmp3lame/vector/xmm_quantize_sub.c"] if toolchain.architecture == "x86_64" else []
    files = sorted(str(file.relative_to(source)) for file in source.glob("libmp3lame/*.c")) + vector
    objects = [f"{Path(file).stem}.o" for file in files]

    def compile_one(file: str, target: str) -> None:
        run(f"{toolchain.prefix}gcc", *flags, "-c", file, "-o", target, cwd=source)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(compile_one, files, objects))
    run(f"{toolchain.prefix}ar", "rcsD", "libmp3lame.a", *objects, cwd=source)
    (source / "lame").mkdir()
    shutil.copy(source / "include/lame.h", source / "lame/lame.h")


def run(*command: str, cwd: Path) -> None:
    """Run a step of the build with an environment that changes nothing in what comes out. Raises NotPossible."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(cwd), "LC_ALL": "C", "TZ": "UTC", "SOURCE_DATE_EPOCH": "1"}
    pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    done = subprocess.run(command, check=False, cwd=cwd, env=environment, **pipes)
    if done.returncode:
        log = cache() / "failed-build.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_bytes(done.stdout)
        last = done.stdout.decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise NotPossible(f"{Path(command[0]).name} failed: {last[:200]} (all it said is in {log})")


# --- The sources -----------------------------------------------------------------------------------------------------


def offered(accepted: tuple[Source, ...], variable: str) -> list[tuple[Source, Path | None]]:
    """The sources to try, each with its tarball where `variable` gives that: then it is this one or none."""
    place = os.environ.get(variable)
    if not place:
        return [(source, None) for source in accepted]
    tarball = given(place)
    digest = sha256_of(tarball)
    for source in accepted:
        if source.sha256 == digest:
            return [(source, tarball)]
    known = ", ".join(f"{source.version} {source.sha256}" for source in accepted)
    raise Refused(f"{variable}: its SHA-256 {digest} is none of those in build.py ({known}).")


def given(place: str) -> Path:
    """The file at a path, or what an address gives (asked once)."""
    try:
        if "://" not in place:
            return Path(place).expanduser().resolve(strict=True)
        kept = cache() / "sources" / hashlib.sha256(place.encode()).hexdigest()[:16]
        if not kept.is_file():
            with fresh(kept) as got, urllib.request.urlopen(place, timeout=60) as answer, got.open("wb") as file:  # noqa: S310
                shutil.copyfileobj(answer, file)
    except OSError as error:
        raise Refused(f"{place} cannot be read: {error}") from None
    return kept


def from_apt(source: Source) -> Path:
    """The tarball, downloaded through apt: mirrors, proxy and certificates are its own; no root is needed."""
    kept = cache() / "sources" / source.file
    if kept.is_file() and sha256_of(kept) == source.sha256:
        return kept
    helper = Path("/usr/lib/apt/apt-helper")
    if not helper.is_file():
        missing = f"{source.name.upper()}_TARBALL"
        raise NotPossible(f"no source of {source.name} {source.version}: no apt here, and no {missing} given")
    limits = ("-o", "Acquire::Retries=1", "-o", "Acquire::http::Timeout=20", "-o", "Acquire::https::Timeout=20")
    with fresh(kept) as got:
        for mirror in mirrors():
            command = [str(helper), *limits, "download-file", f"{mirror}/{source.pool}", str(got)]
            done = subprocess.run(command, check=False, stdin=subprocess.DEVNULL, capture_output=True)
            if done.returncode == 0 and got.is_file() and sha256_of(got) == source.sha256:
                return kept
            got.unlink(missing_ok=True)
        raise NotPossible(f"apt's mirror does not give {source.name} {source.version}'s source (any more, or now)")


@contextlib.contextmanager
def fresh(kept: Path) -> Iterator[Path]:
    """A place to write a file to; it turns into `kept` when all has gone well."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="get-", dir=kept.parent) as scratch:
        got = Path(scratch) / "file"
        yield got
        got.replace(kept)


def mirrors() -> Iterator[str]:
    """The base addresses of the package archives that apt is set to, in its order."""
    try:
        said = output("apt-get", "update", "--print-uris")
    except (OSError, subprocess.CalledProcessError):
        return
    seen = set()
    for base in re.findall(r"^'([^']+?)/+dists/[^']*InRelease'", said, re.MULTILINE):
        bases = [base]
        if base.startswith("mirror+file:"):
            with contextlib.suppress(OSError):
                bases = [line.split()[0].rstrip("/") for line in Path(base[12:]).read_text().splitlines() if line]
        for each in bases:
            if each not in seen:
                seen.add(each)
                yield each


# --- From the wheel --------------------------------------------------------------------------------------------------


def from_wheel(system: str, architecture: str) -> Path:
    """The folder with the wheel's ffmpeg. Raises NotPossible."""
    wheel = WHEELS[system, architecture]
    recipe = {
        "build": "wheel",
        "system": system,
        "architecture": architecture,
        "ffmpeg": wheel.ffmpeg,
        "wheel": WHEEL,
        "wheel_sha256": wheel.sha256,
    }
    kept = kept_folder(recipe)
    if is_whole(kept):
        return kept
    with tempfile.TemporaryDirectory(prefix="ffmpeg-") as scratch:
        installed = install(Path(scratch), wheel)
        layer = Path(scratch) / "layer"
        (layer / "bin").mkdir(parents=True)
        (layer / "share/ffmpeg").mkdir(parents=True)
        (binary,) = (file for file in installed.glob("imageio_ffmpeg/binaries/ffmpeg-*") if file.is_file())
        shutil.copy(binary, layer / "bin/ffmpeg")
        shutil.copy(HERE / "licenses/GPL-3.0.txt", layer / "share/ffmpeg/LICENSE.ffmpeg.txt")
        return keep(layer, kept, recipe)


def install(scratch: Path, wheel: Wheel) -> Path:
    """Unpack the wheel by whatever installer is here. None resolves anything: there is one file, given by its hash."""
    pins = scratch / "pins.txt"
    pins.write_text(f"{WHEEL} --hash=sha256:{wheel.sha256}\n")
    beside = Path(sys.executable).parent
    uv = ["pip", "install", "--quiet", "--python", sys.executable, "--python-platform", wheel.uv, "--only-binary=:all:"]
    pip = ["install", "--quiet", "--disable-pip-version-check", "--platform", wheel.pip, "--only-binary=:all:"]
    ways = [
        *([program, *uv] for program in (shutil.which("uv"), str(beside / "uv")) if program),
        [sys.executable, "-m", "pip", *pip],
        *([program, *pip] for program in (shutil.which("pip3"), shutil.which("pip")) if program),
    ]
    said = []
    for number, way in enumerate(ways):
        target = scratch / f"installed-{number}"
        command = [*way, "--no-deps", "--require-hashes", "--target", str(target), "-r", str(pins)]
        try:
            done = subprocess.run(command, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        except OSError:
            continue
        if done.returncode == 0:
            return target
        said.append(f"{Path(way[0]).name}: {done.stderr.strip()[-300:]}")
    raise NotPossible(f"the wheel {WHEEL} cannot be had: " + ("; ".join(said) or "neither uv nor pip is here"))


# --- The binaries that are kept --------------------------------------------------------------------------------------


def cache() -> Path:
    """Where sources and finished binaries are kept; the working copy, and what SAM removes, are elsewhere."""
    if os.environ.get("RECORDS_CACHE"):
        return Path(os.environ["RECORDS_CACHE"]).expanduser().absolute() / "ffmpeg"
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser().absolute() / "records/ffmpeg"


def kept_folder(recipe: dict[str, Any]) -> Path:
    """A folder for each recipe: whatever goes into a binary is in its name."""
    key = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:16]
    return cache() / f"{recipe['ffmpeg']}-{recipe['system']}-{recipe['architecture']}-{recipe['build']}-{key}"


def is_whole(layer: Path) -> bool:
    try:
        return bool(read_facts(layer)["sha256"] == sha256_of(layer / "bin/ffmpeg"))
    except (OSError, ValueError, KeyError):
        return False


def keep(layer: Path, kept: Path, recipe: dict[str, Any]) -> Path:
    """Move a finished layer into the cache, with the facts about it. Two builds at once do no harm."""
    binary = layer / "bin/ffmpeg"
    binary.chmod(0o755)
    facts = {**recipe, "bytes": binary.stat().st_size, "sha256": sha256_of(binary)}
    write_facts(layer, facts)
    kept.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="new-", dir=kept.parent))
    shutil.copytree(layer, scratch, dirs_exist_ok=True)
    scratch.chmod(0o755)
    shutil.rmtree(kept, ignore_errors=True)
    try:
        scratch.rename(kept)
    except OSError:
        shutil.rmtree(scratch)
        if not is_whole(kept):
            raise
    return kept


def write_facts(layer: Path, facts: dict[str, Any]) -> None:
    (layer / "share/ffmpeg/build.json").write_text(json.dumps(facts, indent=1) + "\n")


def read_facts(layer: Path) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((layer / "share/ffmpeg/build.json").read_text())
    return facts


# --- Small things ----------------------------------------------------------------------------------------------------


def host_architecture() -> str:
    machine = platform.machine().lower()
    return {"aarch64": "arm64", "amd64": "x86_64"}.get(machine, machine)


def output(*command: str) -> str:
    environment = {**os.environ, "LC_ALL": "C"}
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.strip()


def sha256_of(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as opened:
        while piece := opened.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def elf(file: Path) -> tuple[str, bool]:
    """The architecture of a 64-bit little-endian ELF file, and whether it runs without any other (no PT_INTERP)."""
    with file.open("rb") as opened:
        header = opened.read(64)
        if header[:6] != b"\x7fELF\x02\x01":
            return "no ELF file", False
        (machine,) = struct.unpack_from("<H", header, 18)
        (programs,) = struct.unpack_from("<Q", header, 32)
        size, count = struct.unpack_from("<HH", header, 54)
        opened.seek(programs)
        table = opened.read(size * count)
    kinds = {struct.unpack_from("<I", table, size * number)[0] for number in range(count)}
    return {62: "x86_64", 183: "arm64"}.get(machine, f"ELF machine {machine}"), 3 not in kinds


# --- The commands ----------------------------------------------------------------------------------------------------


def wanted() -> tuple[str, str]:
    """The system and architecture that LAYER_ARCHITECTURE names."""
    name = os.environ.get("LAYER_ARCHITECTURE") or "arm64"
    if name not in ("arm64", "x86_64", "host"):
        raise Refused(f"LAYER_ARCHITECTURE is {name}; it can be arm64, x86_64 or host.")
    if name != "host":
        return "linux", name
    host = platform.system().lower(), host_architecture()
    if host not in WHEELS:
        raise Refused(f"There is no ffmpeg for {host[0]} on {host[1]} here.")
    return host


def way() -> str:
    name = os.environ.get("RECORDS_FFMPEG") or "auto"
    if name not in ("auto", "source", "kept", "wheel"):
        raise Refused(f"RECORDS_FFMPEG is {name}; it can be auto, source, kept or wheel.")
    return name


def obtain() -> tuple[Path, str | None]:
    """The folder with the ffmpeg that is wanted, and why it is not one built from source, where that was tried."""
    system, architecture = wanted()
    why = None
    if way() != "wheel":
        try:
            if system != "linux":
                raise NotPossible(f"it is built on Linux, and this is for {system}")
            return from_source(architecture), None
        except NotPossible as reason:
            if way() == "source":
                raise Refused(f"ffmpeg for {architecture} is not built from source: {reason}.") from None
            why = str(reason)
    try:
        return from_wheel(system, architecture), why
    except NotPossible as reason:
        raise Refused(f"There is no ffmpeg for {architecture}: {reason}.") from None


def put(target: Path) -> None:
    """Write the layer's files into `target`."""
    kept, why = obtain()
    shutil.copytree(kept, target, dirs_exist_ok=True)
    if why:
        write_facts(target, {**read_facts(target), "why": why})
    check(target)


def check(layer: Path) -> None:
    """Say what is in a layer, and refuse it where it is not what was asked for."""
    system, architecture = wanted()
    try:
        facts = read_facts(layer)
        digest = sha256_of(layer / "bin/ffmpeg")
        machine = elf(layer / "bin/ffmpeg")[0] if facts["system"] == "linux" else facts["architecture"]
    except (OSError, ValueError, KeyError):
        raise Refused(f"{layer} has no ffmpeg that build.py put there.") from None
    if digest != facts["sha256"]:
        raise Refused(f"{layer}/bin/ffmpeg is not the file that build.py put there.")
    if (facts["system"], machine) != (system, architecture):
        raise Refused(f"{layer} has an ffmpeg for {machine} on {facts['system']}, not for {architecture} on {system}.")
    if way() == "source" and facts["build"] != "source":
        raise Refused(f"{layer} has the ffmpeg of {facts['wheel']}, and RECORDS_FFMPEG=source wants one of our own.")
    if facts["build"] == "source":
        origin = f"built from source with LAME {facts['lame']}"
    else:
        origin = f"out of the wheel {facts['wheel']}" + (
            f", not built from source: {facts['why']}" if "why" in facts else ""
        )
    print(f"ffmpeg {facts['ffmpeg']} for {architecture}, {facts['bytes'] / 1e6:.1f} MB, {origin}")


def main(arguments: list[str]) -> int:
    commands = {"layer": put, "check": check}
    if len(arguments) != 2 or arguments[0] not in commands or not arguments[1]:
        print(__doc__)
        return 2
    try:
        commands[arguments[0]](Path(arguments[1]))
    except Refused as refusal:
        print(refusal, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
