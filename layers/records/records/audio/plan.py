"""How a WAV file is converted: the MP3 that it becomes, and ffmpeg's command line for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from records.audio import mpeg
from records.audio.codecs import INTEGERS
from records.audio.wav import MAX_DURATION, Wav
from records.errors import ConversionError

PACKET_BYTES = 64 * 1024  # of PCM, that ffmpeg reads and passes on at once: its threads change places less often
ENCODER = "mp3-encoder"
_RESAMPLER_LEAST = 512  # samples: above half the length of ffmpeg's filter from 384 to 44.1 kHz

# Sample rates of MPEG-1 and MPEG-2, and the constant bit rates (kbit/s) of layer III at each (ISO/IEC 11172-3,
# 13818-3). Those of "MPEG 2.5" (8 to 12 kHz) and 16 kHz are left out: the encoder's delay and padding, up to 1727
# samples, are 0.11 to 0.22 s there, by which a player that does not read LAME's tag plays an MP3 too long.
_MPEG1_KBITS = frozenset((32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320))
_MPEG2_KBITS = frozenset((8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160))
_MP3_RATES = {22050: _MPEG2_KBITS, 24000: _MPEG2_KBITS, 32000: _MPEG1_KBITS, 44100: _MPEG1_KBITS, 48000: _MPEG1_KBITS}

# The gain of each speaker to the left and the right, in the order of the bits of dwChannelMask (mmreg.h): ITU-R
# BS.775's 0.7 for the centre and the surrounds, as in ffmpeg's own downmix. Unlike ffmpeg's, this one includes the
# low-frequency channel, so that a recording with sound in that channel alone does not turn into silence.
_HALF, _NEAR = 0.5, 0.7071
_SPEAKERS = (
    (1.0, 0.0),  # front left
    (0.0, 1.0),  # front right
    (_NEAR, _NEAR),  # front centre
    (_HALF, _HALF),  # low frequency
    (_NEAR, 0.0),  # back left
    (0.0, _NEAR),  # back right
    (1.0, 0.0),  # front left of centre
    (0.0, 1.0),  # front right of centre
    (_HALF, _HALF),  # back centre
    (_NEAR, 0.0),  # side left
    (0.0, _NEAR),  # side right
    (_HALF, _HALF),  # top centre
    (_NEAR, 0.0),  # top front left
    (_HALF, _HALF),  # top front centre
    (0.0, _NEAR),  # top front right
    (_NEAR, 0.0),  # top back left
    (_HALF, _HALF),  # top back centre
    (0.0, _NEAR),  # top back right
)
# ffmpeg's layouts for a number of channels that no mask explains: 2.1, 4.0, 5.0, 5.1, 6.1, 7.1.
_DEFAULT_SPEAKERS = {3: 0x00B, 4: 0x107, 5: 0x037, 6: 0x03F, 7: 0x70F, 8: 0x63F}


@dataclass(frozen=True, slots=True)
class Plan:
    """The MP3 that a WAV file becomes.

    rate: Hz. kbits: kbit/s in all. filters: ffmpeg's, up to the encoder. max_duration: s, the most that the MP3 can
    have. flow: bytes for a second of sound, in or out, whichever is more. header: of the WAV file that ffmpeg gets.
    direct: the encoder gets the file's own samples, so these can be measured. program: the path of ffmpeg or, where
    `direct`, of one that makes the same MP3 in less time (layers/ffmpeg/mp3-encoder.c). divisible: the samples that the
    encoder gets for a part of the data depend on nothing before that part.
    """

    codec: str
    rate: int
    channels: int
    kbits: int
    filters: str
    max_duration: int
    flow: float
    header: bytes = field(repr=False)
    program: Path
    direct: bool
    divisible: bool

    @classmethod
    def of(cls, wav: Wav, bitrate: int, ffmpeg: str = "ffmpeg") -> Plan:
        """bitrate: kbit/s a channel. ffmpeg: the path of the program."""
        channels = min(wav.channels, 2)
        kbits = bitrate * channels
        rate = mp3_rate(wav.sample_rate, kbits)
        mixed = [*([_downmix(wav)] if wav.channels > 2 else []), *_resample(wav, rate)]
        filters = [
            *_trim(wav),
            # Floats above full scale are clipped first; and 16 bits are too few for mixing and resampling.
            *(["aformat=sample_fmts=s32|s32p"] if mixed or wav.codec not in INTEGERS else []),
            *mixed,
            f"aformat=sample_fmts=fltp:channel_layouts={'mono' if channels == 1 else 'stereo'}",
        ]
        most = wav.duration if wav.duration is not None else wav.data_bytes * mpeg.MOST_SAMPLES / wav.sample_rate
        # A second more is more than any delay or rounding.
        duration = int(min(most, MAX_DURATION)) + 2
        flow = max(wav.data_bytes / wav.duration if wav.duration else 0, 2 * channels * rate)
        direct = wav.codec == "pcm_s16le" and not mixed
        encoder = Path(ffmpeg).parent / ENCODER  # which is there if ffmpeg was built from source
        program, header = (encoder, b"") if direct and encoder.is_file() else (Path(ffmpeg), wav.header)
        return cls(
            *(wav.codec, rate, channels, kbits, ",".join(filters), duration, flow, header, program),
            direct=direct,
            # In floats, `feed` counts the NaNs of the whole recording.
            divisible=not compressed(wav) and not wav.codec.startswith("pcm_f") and rate == wav.sample_rate,
        )

    @property
    def stream(self) -> mpeg.Stream:
        return mpeg.Stream(self.rate, self.channels, self.kbits)

    def command(self, path: Path) -> list[str]:
        """The program's command line. ffmpeg is told what it reads, and may open nothing but its pipes and the MP3."""
        if self.program.name == ENCODER:
            return [str(self.program), str(self.rate), str(self.channels), str(self.kbits), str(path)]
        packets = ["-max_size", str(PACKET_BYTES)] if self.codec.startswith("pcm_") else []
        copy = [] if self.direct else ["-map", "[pcm]", "-c:a", "pcm_s16le", "-f", "s16le", "pipe:1"]
        return [
            *(str(self.program), "-nostdin", "-hide_banner", "-loglevel", "error", "-y"),
            *("-protocol_whitelist", "file,pipe"),
            *("-f", "wav", "-ignore_length", "1", *packets, "-c:a", self.codec, "-i", "pipe:0"),
            *("-filter_complex", f"[0:a]{self.filters}{',asplit[mp3][pcm]' if copy else '[mp3]'}"),
            *("-map", "[mp3]", "-c:a", "libmp3lame", "-b:a", f"{self.kbits}k", "-map_metadata", "-1"),
            *("-fflags", "+bitexact", "-flags:a", "+bitexact", "-f", "mp3", f"file:{path}"),
            *copy,
        ]


def mp3_rate(source: int, kbits: int) -> int:
    """The sample rate of the MP3 in Hz: the WAV file's own if MP3 has it, else a higher one, else one of the two
    highest.

    A multiple or a divisor of the source's rate is resampled best and fastest, so it is preferred.
    """
    legal = [rate for rate, allowed in _MP3_RATES.items() if kbits in allowed]
    if not legal:
        raise ConversionError(
            f"No MP3 has {kbits} kbit/s: choose a BITRATE of which it and twice it are MP3 bit rates."
        )
    above = [rate for rate in legal if rate >= source]
    if above:
        return min([rate for rate in above if rate % source == 0] or above)
    highest = sorted(legal)[-2:]
    return max([rate for rate in highest if source % rate == 0] or highest)


def _trim(wav: Wav) -> list[str]:
    """Cut off the padding of a compressed file's last block."""
    return [f"atrim=end_sample={wav.frames}"] if compressed(wav) and wav.frames is not None else []


def compressed(wav: Wav) -> bool:
    """Whether the data is compressed, so that decoding it may fail."""
    return not wav.codec.startswith("pcm_")


def _resample(wav: Wav, rate: int) -> list[str]:
    """To the MP3's rate. A sound shorter than the resampler's filter is padded, or nothing would come out."""
    if wav.sample_rate == rate:
        return []
    if wav.frames is None or wav.frames >= _RESAMPLER_LEAST:
        return [f"aresample={rate}"]
    frames = -(-wav.frames * rate // wav.sample_rate)
    return [f"apad=whole_len={_RESAMPLER_LEAST}", f"aresample={rate}", f"atrim=end_sample={frames}"]


def _downmix(wav: Wav) -> str:
    """The `pan` filter from 3 to 8 channels to stereo, whose gains add up to 1 at most, so that nothing clips."""
    if wav.b_format:
        # Two cardioids, facing half left and half right, out of W (3 dB down by convention), X (front), Y (left).
        gains = [(_NEAR, _NEAR), (_NEAR / 2, _NEAR / 2), (_NEAR / 2, -_NEAR / 2)]
    else:
        mask = wav.speakers or _DEFAULT_SPEAKERS[wav.channels]
        gains = [gain for bit, gain in enumerate(_SPEAKERS) if mask >> bit & 1]
    loudest = max(sum(abs(gain[side]) for gain in gains) for side in (0, 1))
    sides = []
    for side in (0, 1):
        terms = [f"{gain[side] / loudest:+.6f}*c{channel}" for channel, gain in enumerate(gains) if gain[side]]
        sides.append(f"c{side}={''.join(terms).lstrip('+') or '0*c0'}")
    return "pan=stereo|" + "|".join(sides)
