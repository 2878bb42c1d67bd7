"""What is built: the sources, the options of the compiler and of ffmpeg, and the wheel that stands in for it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Correction:
    """An edit to a source file, in which `before` stands once."""

    file: str
    before: str
    after: str


@dataclass(frozen=True)
class Source:
    """A release's tarball. pool: where Debian's archive has it, whose signed indexes gave the SHA-256."""

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

# The first one that can be downloaded is taken. Debian replaces 7.1 (trixie) by its security updates and 9.0 (sid) by
# newer releases, and then its archive no longer has the old one: README.md tells how to add the new one here.
ARCHIVE = "http://deb.debian.org/debian"
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

# LAME's own configure script takes -O3 -ffast-math too, and on a current machine sets only these of its macros.
# Infinity and NaN are left what they are: LAME tests for them. Without autoconf it is built in half the
# time, and for arm64 with the same short cuts as for x86_64 (they need IEEE 754 and nothing else).
LAME_FLAGS = (
    *("-w", "-O3", "-ffast-math", "-fno-finite-math-only", *GUARDS),
    *("-DSTDC_HEADERS", "-DHAVE_ERRNO_H", "-DHAVE_FCNTL_H", "-DHAVE_INTTYPES_H", "-DHAVE_LIMITS_H", "-DHAVE_STDINT_H"),
    *("-DHAVE_MEMCPY", "-DHAVE_STRCHR", "-Dieee754_float32_t=float", "-Dieee754_float64_t=double"),
    *("-DLAME_LIBRARY_BUILD", "-DNOANALYSIS", "-DTAKEHIRO_IEEE754_HACK", "-DUSE_FAST_LOG"),
    *('-DPACKAGE="lame"', "-Iinclude", "-Ilibmp3lame", "-Impglib"),
)
LAME_FLAGS_OF = {"arm64": (), "x86_64": ("-DHAVE_XMMINTRIN_H", "-DMIN_ARCH_SSE")}

# The encoder is where the time goes, so LAME is compiled for the processors that Lambda has: Graviton2, and x86-64 with
# AVX2. So is a build for this machine, if its processor has the features (by Linux's names) to run the result.
PROCESSOR = {
    "arm64": ("-mcpu=neoverse-n1", {"atomics", "asimdrdm", "asimddp", "asimdhp"}),
    "x86_64": ("-march=x86-64-v3", {"avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe"}),
}

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
