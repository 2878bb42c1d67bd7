"""ffmpeg built from source: the compiler, the tarballs, the steps."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kept import (
    HERE,
    NotPossible,
    Refused,
    cache,
    elf,
    host_architecture,
    host_features,
    is_whole,
    keep,
    kept_folder,
    output,
    sha256_of,
)
from recipe import ARCHIVE, CONFIGURE, FFMPEG, GUARDS, LAME, LAME_FLAGS, LAME_FLAGS_OF, LINKING, PROCESSOR, Source

ENCODER_SOURCE = HERE / "mp3-encoder.c"


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
        flag, features = PROCESSOR[self.architecture]
        here = os.environ.get("LAYER_ARCHITECTURE") == "host"
        tuned = [flag] if not here or features <= host_features() else []
        return [*LAME_FLAGS, *LAME_FLAGS_OF[self.architecture], *tuned]


def from_source(architecture: str, only_kept: bool) -> Path:
    """The folder with ffmpeg as built from source, now or earlier; `only_kept`: earlier. Raises NotPossible."""
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
            "encoder_source": sha256_of(ENCODER_SOURCE),
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
        if only_kept:
            reasons.append(f"{ffmpeg.version} was not built here before, and RECORDS_FFMPEG=kept does not wait for it")
            continue
        try:
            tarballs = [ffmpeg_tarball or download(ffmpeg), lame_tarball or download(lame)]
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
    compile_encoder(scratch / "lame", toolchain)
    source = scratch / "ffmpeg"
    for correction in ffmpeg.corrections:
        text = (source / correction.file).read_text()
        if text.count(correction.before) != 1:
            raise NotPossible(f"{correction.file} of ffmpeg {ffmpeg.version} is not what recipe.py corrects")
        (source / correction.file).write_text(text.replace(correction.before, correction.after))
    run("./configure", *CONFIGURE, *toolchain.configure(), cwd=source)
    run("make", f"-j{os.cpu_count() or 1}", "ffmpeg", cwd=source)
    (layer / "bin").mkdir()
    shutil.copy(source / "ffmpeg", layer / "bin/ffmpeg")
    shutil.copy(scratch / "lame/mp3-encoder", layer / "bin/mp3-encoder")
    shutil.copy(source / "COPYING.LGPLv2.1", texts / "LICENSE.ffmpeg.txt")
    shutil.copy(scratch / "lame/COPYING", texts / "LICENSE.lame.txt")
    for binary in sorted((layer / "bin").iterdir()):
        if elf(binary) != (toolchain.architecture, True):
            raise NotPossible(f"the compiler made a {binary.name} of another kind than it was told to")
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


def compile_encoder(source: Path, toolchain: Toolchain) -> None:
    """Make mp3-encoder out of mp3-encoder.c and libmp3lame.a."""
    shutil.copy(ENCODER_SOURCE, source)
    compiler = (f"{toolchain.prefix}gcc", "-O2", *GUARDS, *LINKING, "-I.")
    run(*compiler, ENCODER_SOURCE.name, "libmp3lame.a", "-lm", "-s", "-o", "mp3-encoder", cwd=source)


def run(*command: str, cwd: Path) -> None:
    """Run a step of the build in an environment that does not influence the binary. Raises NotPossible."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(cwd), "LC_ALL": "C", "TZ": "UTC", "SOURCE_DATE_EPOCH": "1"}
    pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    done = subprocess.run(command, check=False, cwd=cwd, env=environment, **pipes)
    if done.returncode:
        log = cache() / "failed-build.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_bytes(done.stdout)
        last = done.stdout.decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise NotPossible(f"{Path(command[0]).name} failed: {last[:200]} (all it said is in {log})")


# --- The tarballs ----------------------------------------------------------------------------------------------------


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
    raise Refused(f"{variable}: its SHA-256 {digest} is none of those in recipe.py ({known}).")


def given(place: str) -> Path:
    """The file at a path, or what is at an address (downloaded once)."""
    try:
        if "://" not in place:
            return Path(place).expanduser().resolve(strict=True)
        kept = cache() / "sources" / hashlib.sha256(place.encode()).hexdigest()[:16]
        if not kept.is_file():
            fetch(place, kept)
    except OSError as error:
        raise Refused(f"{place} cannot be read: {error}") from None
    return kept


def download(source: Source) -> Path:
    """The tarball, out of the cache or Debian's archive. Raises NotPossible."""
    kept = cache() / "sources" / source.file
    if not kept.is_file() or sha256_of(kept) != source.sha256:
        try:
            fetch(f"{ARCHIVE}/{source.pool}", kept)
        except OSError as error:
            raise NotPossible(f"the source of {source.name} {source.version} cannot be downloaded: {error}") from None
        if sha256_of(kept) != source.sha256:
            raise NotPossible(f"what {ARCHIVE} has as {source.file} is another file")
    return kept


def fetch(address: str, kept: Path) -> None:
    """Download to `kept`, which is there only once it is whole. Raises OSError."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="get-", dir=kept.parent) as scratch:
        got = Path(scratch) / "file"
        with urllib.request.urlopen(address, timeout=60) as response, got.open("wb") as file:  # noqa: S310
            shutil.copyfileobj(response, file)
        got.replace(kept)
