"""Take out each guard, one by one, and see a test go red: `make mutants` (python -m tests.mutants [name ...]).

Each mutant is made in a copy of the project, so that nothing here changes. Exit status 1 where one survives.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LAYER = "layers/records/records"


@dataclass(frozen=True, slots=True)
class Mutant:
    """A guard, and how it is taken out: in `file`, `old` becomes `new`. `tests`: where a test must go red."""

    guard: str
    file: str
    old: str
    new: str
    tests: str


CONTRACT = "tests/integration/test_contract.py"
HOSTILE = "tests/integration/test_hostile_http.py"
FAULTS = "tests/integration/test_faults.py"
UPLOADS = "tests/integration/test_uploads.py"
REMOVAL = "tests/integration/test_removal.py"
RECORDINGS = "tests/integration/test_recordings.py"
WAV = "tests/unit/test_wav.py"
MP3 = "tests/unit/test_mp3.py"
TEMPLATE = "tests/unit/test_template.py"

MUTANTS = (
    # --- who may, and whose it is
    Mutant(
        "the token is compared",
        f"{LAYER}/users.py",
        'not hmac.compare_digest(user.token_sha256 or "", _hash(canonical))',
        "False",
        CONTRACT,
    ),
    Mutant(
        "a token is a UUID4 in its canonical form",
        f"{LAYER}/users.py",
        "if canonical != token.lower() or uuid.UUID(token).version != 4:",
        "if False:",
        CONTRACT,
    ),
    Mutant("only Bearer is a scheme", f"{LAYER}/api.py", 'if scheme.lower() != "bearer":', "if False:", CONTRACT),
    Mutant(
        "the owner is in the key",
        f"{LAYER}/recordings.py",
        "row = cls.get(user, record_id, consistent_read=True)",
        "row = next((r for r in cls.scan() if r.id == record_id), None)",
        CONTRACT,
    ),
    Mutant(
        "an e-mail is unique whatever its case",
        f"{LAYER}/users.py",
        'return f"email#{email.lower()}"',
        'return f"email#{email}"',
        CONTRACT,
    ),
    Mutant(
        "an e-mail's place is taken on a condition",
        f"{LAYER}/users.py",
        "transaction.save(place, condition=User.pk.does_not_exist())",
        "transaction.save(place)",
        CONTRACT,
    ),
    Mutant(
        "a link cannot be guessed from a key",
        f"{LAYER}/users.py",
        "hmac.digest(self.idempotency_secret, idempotency_key",
        'hmac.digest(b"", idempotency_key',
        HOSTILE,
    ),
    # --- what is taken
    Mutant("the size of the audio", f"{LAYER}/bodies.py", "if len(audio) > MAX_DIRECT_BYTES:", "if False:", CONTRACT),
    Mutant("the number of a form's parts", f"{LAYER}/bodies.py", "max_segment_count=MAX_PARTS, ", "", HOSTILE),
    Mutant(
        "nothing after a form's end",
        f"{LAYER}/bodies.py",
        "if found >= 0 and body[found + len(end) :].strip():",
        "if False:",
        HOSTILE,
    ),
    Mutant("a part is given once", f"{LAYER}/bodies.py", "    if seen:\n", "    if False:\n", CONTRACT),
    Mutant("a JSON name is given once", f"{LAYER}/api.py", "if len(unique) < len(pairs):", "if False:", CONTRACT),
    Mutant("the media type", f"{LAYER}/api.py", "if media_type(event) not in taken:", "if False:", CONTRACT),
    Mutant(
        "no control characters in names",
        f"{LAYER}/fields.py",
        "if any(unicodedata.category(character) in _REFUSED_CATEGORIES for character in text):",
        "if False:",
        CONTRACT,
    ),
    Mutant(
        "the form of an Idempotency-Key",
        f"{LAYER}/api.py",
        'if key is not None and not re.fullmatch(r"[!-~]{1,128}", key):',
        "if False:",
        CONTRACT,
    ),
    # --- which audio
    Mutant("the list of codecs", f"{LAYER}/wav.py", "    _check_tag(fmt)\n", "", WAV),
    Mutant("rate, channels and duration are bounded", f"{LAYER}/wav.py", "    _check_numbers(fmt)\n", "", WAV),
    Mutant("the reads are bounded", f"{LAYER}/wav.py", "if self._reads > _MAX_READS:", "if False:", WAV),
    Mutant("as many samples come out as went in", f"{LAYER}/mp3.py", "    _check_samples(", "    print(", MP3),
    Mutant("the MP3's own frames are counted", f"{LAYER}/mp3.py", "    _check_mp3(path", "    print(path", MP3),
    Mutant("ffmpeg's status is looked at", f"{LAYER}/mp3.py", "    run.check(compressed=_compressed(wav))\n", "", MP3),
    Mutant("the conversion's deadline", f"{LAYER}/mp3.py", "if now >= self._deadline:", "if False:", MP3),
    Mutant(
        "no child process is left",
        f"{LAYER}/mp3.py",
        "        os.killpg(process.pid, signal.SIGKILL)",
        "        pass",
        MP3,
    ),
    # --- nothing lost
    Mutant(
        "a row is reserved on a condition",
        f"{LAYER}/recordings.py",
        "fresh.save(condition=Recording.id.does_not_exist())",
        "fresh.save()",
        CONTRACT,
    ),
    Mutant(
        "other audio under a key is refused",
        f"{LAYER}/recordings.py",
        "if audio is not None and self.wav_sha256 not in (audio.sha256, None):",
        "if False:",
        CONTRACT,
    ),
    Mutant(
        "a write is conditional on the generation",
        f"{LAYER}/recordings.py",
        "condition=(Recording.generation == self.generation) & condition",
        "condition=condition",
        RECORDINGS,
    ),
    Mutant(
        "a lost answer is read back (row)",
        f"{LAYER}/recordings.py",
        "                found = cls._read_back(fresh, error)\n",
        "                raise Unavailable from error\n",
        FAULTS,
    ),
    Mutant(
        "a lost answer is read back (user)",
        f"{LAYER}/users.py",
        "            stored = cls._find(user.pk)\n",
        "            stored = None\n",
        FAULTS,
    ),
    Mutant(
        "only a pending row turns ready",
        f"{LAYER}/recordings.py",
        "            _convertible() & same_audio,\n            status=READY",
        "            same_audio,\n            status=READY",
        RECORDINGS,
    ),
    Mutant(
        "a row past its time is gone",
        f"{LAYER}/recordings.py",
        "if row is None or row.expired:",
        "if row is None:",
        RECORDINGS,
    ),
    Mutant(
        "the MP3 belongs to its generation",
        f"{LAYER}/recordings.py",
        'return f"records/{int(self.user)}/{self.id}/{self.generation}/"',
        'return f"records/{int(self.user)}/{self.id}/"',
        REMOVAL,
    ),
    Mutant(
        "S3 compares the SHA-256",
        f"{LAYER}/storage.py",
        "                    ChecksumSHA256=base64.b64encode(bytes.fromhex(sha256)).decode(),\n",
        "",
        FAULTS,
    ),
    Mutant(
        "a short answer of S3 is not served",
        f"{LAYER}/storage.py",
        "or length != last - first + 1:",
        "or False:",
        FAULTS,
    ),
    Mutant("an upload is read as one version", f"{LAYER}/storage.py", ", IfMatch=self._etag", "", UPLOADS),
    Mutant(
        "one bad item holds nothing up",
        "functions/remove_audio/app.py",
        '            failures.append({"itemIdentifier": number})\n',
        "            raise\n",
        REMOVAL,
    ),
    Mutant(
        "AWS's clients wait shortly",
        f"{LAYER}/aws.py",
        "CONNECT_TIMEOUT, READ_TIMEOUT, ATTEMPTS = 1, 5, 3",
        "CONNECT_TIMEOUT, READ_TIMEOUT, ATTEMPTS = 15, 30, 4",
        FAULTS,
    ),
    # --- nothing leaked
    Mutant(
        "what nobody foresaw is a 503 without its text",
        f"{LAYER}/api.py",
        "    app.exception_handler(Exception)(_unexpected)\n",
        "",
        FAULTS,
    ),
    Mutant(
        "a link's storage is not public",
        "template.yaml",
        "RestrictPublicBuckets: true",
        "RestrictPublicBuckets: false",
        TEMPLATE,
    ),
)


def survives(mutant: Mutant) -> bool:
    """Whether every test stays green without the guard."""
    with tempfile.TemporaryDirectory(prefix="records-mutant-") as folder:
        copy = Path(folder) / "records"
        left_out = shutil.ignore_patterns(
            ".git", ".venv", ".sam", ".local", ".aws-sam", "*_cache", "__pycache__", ".hypothesis"
        )
        shutil.copytree(ROOT, copy, ignore=left_out)
        for tools in (".venv", ".sam", ".local"):  # nothing of these is written to
            if (ROOT / tools).exists():
                (copy / tools).symlink_to(ROOT / tools)
        path = copy / mutant.file
        text = path.read_text(encoding="utf-8")
        if text.count(mutant.old) < 1:
            sys.exit(f"{mutant.guard}: not found in {mutant.file} any more; mend tests/mutants.py")
        path.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
        ffmpeg = os.environ.get("FFMPEG") or str(ROOT / ".local/build/sam/FfmpegLayer/bin/ffmpeg")
        command = [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "-p", "no:cacheprovider", mutant.tests]
        done = subprocess.run(
            command, cwd=copy, env={**os.environ, "FFMPEG": ffmpeg}, capture_output=True, timeout=900, check=False
        )
        return done.returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("words", nargs="*", help="only the guards whose name has one of these words")
    words = parser.parse_args().words
    chosen = [mutant for mutant in MUTANTS if not words or any(word in mutant.guard for word in words)]
    survivors = 0
    for mutant in chosen:
        started = time.monotonic()
        alive = survives(mutant)
        survivors += alive
        print(
            f"{'SURVIVED' if alive else 'caught':8}  {mutant.guard:48}  {time.monotonic() - started:4.0f} s", flush=True
        )
    print(f"{len(chosen)} guards taken out, {len(chosen) - survivors} caught")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
