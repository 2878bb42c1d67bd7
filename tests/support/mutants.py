"""Take out each guard, one by one, and see a test go red: `make mutants` (python -m tests.support.mutants [word ...]).

Each mutant is made in a copy of the project, so that nothing here changes. First every test that is to go red is seen
green on a copy without a mutant. Exit status 1 where a guard's absence is noticed by no test.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 600  # that one selection of tests may take
LAYER = "layers/records/records"


@dataclass(frozen=True, slots=True)
class Mutant:
    """A guard, and how it is taken out: in `file`, `old` becomes `new`. `tests`: those of which one must go red."""

    guard: str
    file: str
    old: str
    new: str
    tests: str


CONTRACT = "tests/integration/test_contract.py"
HOSTILE = "tests/integration/test_hostile_http.py"
FAULTS = "tests/integration/test_faults.py"
CRASHES = "tests/integration/test_crashes.py"
UPLOADS = "tests/integration/test_uploads.py"
REMOVAL = "tests/integration/test_removal.py"
RECORDINGS = "tests/integration/test_recordings.py"
INTERLEAVINGS = "tests/integration/test_interleavings.py"
WAV = "tests/unit/test_wav.py"
MP3 = "tests/unit/test_mp3.py"
TEMPLATE = "tests/unit/test_template.py"
LIMITS, PARTS, RETENTION, SIGNUPS, WAIT = (
    f"tests/integration/test_{name}.py" for name in ("limits", "parts", "retention", "signups", "wait")
)
PARTS_PY = f"{LAYER}/parts.py"

API, AWS, CONVERSION, FIELDS, FORMS, HTTP, RECORDINGS_PY, REQUESTS, RESPONSES, STORAGE, USERS = (
    f"{LAYER}/{name}.py"
    for name in (
        *("api", "aws", "conversion", "fields", "forms", "http", "recordings", "requests", "responses", "storage"),
        "users",
    )
)
CODECS, FEED, FFMPEG, LEVELS, MP3_PY, PLAN, RIFF, WAV_PY = (
    f"{LAYER}/audio/{name}.py" for name in ("codecs", "feed", "ffmpeg", "levels", "mp3", "plan", "riff", "wav")
)
COUNTERS, ERASURE, LIMITS_PY, SIGNUPS_PY = (
    f"{LAYER}/{name}.py" for name in ("counters", "erasure", "limits", "signups")
)
GET, CREATE, CONVERT, REMOVE = (
    f"functions/{name}/app.py" for name in ("get_record", "create_record", "convert_upload", "remove_audio")
)

MUTANTS = (
    # --- who may, and whose it is
    Mutant(
        "the token is compared",
        USERS,
        'if user is None or not hmac.compare_digest(user.token_sha256 or "", hashed):',
        "if user is None:",
        f"{CONTRACT} -k credentials",
    ),
    Mutant(
        "a token is a UUID4 in its canonical form",
        USERS,
        "if str(parsed) != token.lower() or parsed.version != 4:",
        "if False:",
        f"{CONTRACT} -k token",
    ),
    Mutant(
        "only CloudFront reaches an API behind it",
        API,
        "if cdn.refuses(event):",
        "if False:",
        "tests/integration/test_cdn.py -k closed",
    ),
    Mutant("a media type in any case", API, '| {"content-type": requests.JSON}', "", f"{CONTRACT} -k any_case"),
    Mutant("a number of any size", REQUESTS, ", parse_int=_int", "", f"{CONTRACT} -k any_size"),
    Mutant(
        "HTML may be preferred to JSON",
        "functions/get_record/app.py",
        "    elif prefers_json(accept):",
        "    if prefers_json(accept):",
        f"{CONTRACT} -k 'browser or audio'",
    ),
    Mutant(
        "the address of the page is not longer than an id",
        "functions/get_record/app.py",
        "[name][:40]",
        "[name]",
        f"{CONTRACT} -k browser",
    ),
    Mutant("only Bearer is a scheme", REQUESTS, 'if scheme.lower() != "bearer":', "if False:", f"{CONTRACT} -k token"),
    Mutant(
        "the owner is in the key",
        RECORDINGS_PY,
        "return get_row(cls, user, record_id)",
        "return next((r for r in cls.scan() if r.id == record_id), None)",
        f"{CONTRACT} -k unknown",
    ),
    Mutant(
        "an e-mail is unique whatever its case",
        USERS,
        "return f\"email#{unicodedata.normalize('NFKC', folded)}\"",
        'return f"email#{email}"',
        f"{CONTRACT} -k email",
    ),
    Mutant(
        "an e-mail's place is taken on a condition",
        USERS,
        "transaction.save(place, condition=new)",
        "transaction.save(place)",
        f"{CONTRACT} -k email",
    ),
    Mutant(
        "a sign-up that meets another is tried again",
        USERS,
        "if not _in_conflict(error) or",
        "if True or",
        f"{FAULTS} -k sign_up",
    ),
    Mutant(
        "a link cannot be guessed from a key",
        USERS,
        'hmac.digest(self.secret, text.encode(), "sha256")',
        'hmac.digest(b"", text.encode(), "sha256")',
        f"{HOSTILE} -k another",
    ),
    # --- what is taken
    Mutant("the size of the audio", FORMS, "if len(audio) > MAX_DIRECT_BYTES:", "if False:", f"{CONTRACT} -k large"),
    Mutant("audio that is empty", FORMS, "    if not audio:\n", "    if False:\n", f"{CONTRACT} -k empty"),
    Mutant("the number of a form's parts", FORMS, "max_segment_count=MAX_PARTS, ", "", f"{HOSTILE} -k parts"),
    Mutant(
        "a form is read to the letter",
        FORMS,
        'header_charset="latin-1", strict=True',
        'header_charset="latin-1"',
        f"{HOSTILE} -k part",
    ),
    Mutant(
        "nothing after a form's end",
        FORMS,
        "if delimiter[2:] in body[end:]:",
        "if False:",
        f"{HOSTILE} -k inside",
    ),
    Mutant("a part is given once", FORMS, "    if seen:\n", "    if False:\n", f"{CONTRACT} -k twice"),
    Mutant("an answer is UTF-8", RESPONSES, '.encode("utf-8", "replace").decode()', "", f"{HOSTILE} -k names"),
    Mutant("an error names a few fields", REQUESTS, " if count > 1][:10]", " if count > 1]", f"{HOSTILE} -k names"),
    Mutant(
        "a JSON name is given once", REQUESTS, "if len(unique) < len(pairs):", "if False:", f"{CONTRACT} -k invalid"
    ),
    Mutant("JSON has no NaN", REQUESTS, "parse_constant=_no_constant", "parse_constant=float", CONTRACT),
    Mutant("base64 by the letter", REQUESTS, "strict_mode=True", "strict_mode=False", f"{HOSTILE} -k base64"),
    Mutant(
        "the media type", API, "if requests.media_type(event) not in taken:", "if False:", f"{CONTRACT} -k media_type"
    ),
    Mutant(
        "a user's id is an integer",
        FIELDS,
        "Field(strict=True, ge=1, le=MAX_USER_ID)",
        "Field(ge=1, le=MAX_USER_ID)",
        CONTRACT,
    ),
    Mutant(
        "no control characters in names",
        FIELDS,
        "if any(unicodedata.category(character) in _REFUSED_CATEGORIES for character in text):",
        "if False:",
        f"{CONTRACT} -k invalid",
    ),
    Mutant(
        "the form of an Idempotency-Key",
        REQUESTS,
        'if key is not None and not re.fullmatch(r"[!-~]{1,128}", key):',
        "if False:",
        f"{CONTRACT} -k key",
    ),
    Mutant(
        "a file's name has no folders",
        FIELDS,
        'value.replace("\\\\", "/").rsplit("/", 1)[-1]',
        "value",
        f"{CONTRACT} -k form",
    ),
    Mutant(
        "the largest upload",
        STORAGE,
        'Conditions=[["content-length-range", 1, max_bytes]], ',
        "",
        f"{UPLOADS} -k ticket",
    ),
    # --- which audio
    Mutant("the list of codecs", WAV_PY, "    codecs.check(fmt)\n", "", f"{WAV} -k refused"),
    Mutant("rate and channels are bounded", WAV_PY, "    codecs.check_numbers(fmt)\n", "", f"{WAV} -k refused"),
    Mutant(
        "the duration is bounded",
        WAV_PY,
        "if duration is not None and duration > MAX_DURATION:",
        "if False:",
        f"{WAV} -k 'refused or longest'",
    ),
    Mutant(
        "the duration of MPEG audio is bounded",
        FEED,
        "if found.samples > MAX_DURATION * self._wav.sample_rate:",
        "if False:",
        f"{MP3} -k day",
    ),
    Mutant("the reads of a walk are bounded", RIFF, "if self._reads > _MAX_READS:", "if False:", f"{WAV} -k reads"),
    Mutant(
        "the chunks of a walk are bounded",
        RIFF,
        "found = Chunks()\n    for _ in range(_MAX_CHUNKS):",
        "found = Chunks()\n    while True:",
        f"{WAV} -k refused",
    ),
    Mutant(
        "24 bits in 32 are refused",
        CODECS,
        "if by_bits < by_block <= 8 and fmt.byte_rate != fmt.rate * fmt.channels * by_bits:",
        "if False:",
        f"{WAV} -k refused",
    ),
    Mutant(
        "samples in the low bits are refused",
        CODECS,
        "if width > 1 and 0 < bits < 8 * width and _right_justified(",
        "if False and _right_justified(",
        f"{WAV} -k refused",
    ),
    Mutant(
        "RIFX floats are refused",
        CODECS,
        'if order == "big" and not codec.big_endian:',
        "if False:",
        f"{WAV} -k refused",
    ),
    Mutant("ADPCM's form is looked at", CODECS, "if fmt.bits != 4:", "if False:", f"{WAV} -k refused"),
    Mutant(
        "a data chunk cut short is said", RIFF, "truncated=size > available", "truncated=False", f"{WAV} -k accepted"
    ),
    Mutant(
        "as many samples come out as went in",
        MP3_PY,
        "    _check_samples(wav, plan, expected, meter.frames)\n",
        "",
        f"{MP3} -k 'fault or damaged'",
    ),
    Mutant(
        "the MP3's own frames are counted",
        MP3_PY,
        "if info is None or meter.frames == 0 or not info.holds(meter.frames):",
        "if False:",
        f"{MP3} -k fault",
    ),
    Mutant(
        "ffmpeg's status is looked at",
        MP3_PY,
        "    run.check(compressed=compressed(wav))\n",
        "",
        f"{MP3} -k 'fault or log'",
    ),
    Mutant(
        "all of the data is asked for", FEED, "if self._bytes != self._wav.data_bytes:", "if False:", f"{MP3} -k data"
    ),
    Mutant("numbers that are no sound become 0", FEED, "if wild > min(", "if False and min(", f"{MP3} -k numbers"),
    Mutant(
        "the conversion's deadline",
        FFMPEG,
        "if time.monotonic() >= self._deadline:",
        "if False:",
        f"{MP3} -k 'hang or deadline'",
    ),
    Mutant(
        "the deadline of a feed that gives nothing",
        FFMPEG,
        "                self._check_deadline()  #",
        "                #",
        f"{MP3} -k deadline",
    ),
    Mutant(
        "what follows the last frame was sound",
        FEED,
        "0 if found.after.startswith(_TAGS) else found.gap",
        "0",
        f"{MP3} -k mpeg",
    ),
    Mutant(
        "an output without end is stopped",
        FFMPEG,
        "if written > self._max_bytes or meter.frames > self._max_frames:",
        "if False:",
        f"{MP3} -k fault",
    ),
    Mutant(
        "no child process is left",
        FFMPEG,
        "        os.killpg(process.pid, signal.SIGKILL)",
        "        process.kill()",
        f"{MP3} -k 'fault or hang'",
    ),
    Mutant(
        "ffmpeg sees none of our environment", FFMPEG, 'env={"PATH": os.defpath}', "env=None", f"{MP3} -k environment"
    ),
    Mutant(
        "ffmpeg is told the container",
        PLAN,
        '*("-f", "wav", "-ignore_length", "1",',
        '*("-ignore_length", "1",',
        f"{MP3} -k command",
    ),
    Mutant(
        "ffmpeg may open files and pipes only",
        PLAN,
        '            *("-protocol_whitelist", "file,pipe"),\n',
        "",
        f"{MP3} -k command",
    ),
    Mutant(
        "the working directory is removed",
        CONVERSION,
        "with TemporaryDirectory(prefix=_DIRECTORY) as directory:",
        "with __import__('contextlib').nullcontext(__import__('tempfile').mkdtemp(prefix=_DIRECTORY)) as directory:",
        f"{CRASHES} -k given_up",
    ),
    Mutant(
        "what a killed conversion left is removed",
        CONVERSION,
        "    _remove_stale_workdirs()\n    with",
        "    with",
        f"{CRASHES} -k leaves",
    ),
    Mutant(
        "a conversion that goes on keeps its directory",
        CONVERSION,
        "time.time() - MAX_LIFETIME",
        "time.time() + 9",
        f"{CRASHES} -k leaves",
    ),
    # --- nothing lost
    # --- what attempts at once must not do to each other
    Mutant(
        "an MP3's key is of one attempt",
        CONVERSION,
        "attempt = str(uuid.uuid4())",
        "attempt = conversion.sha256",
        INTERLEAVINGS,
    ),
    Mutant(
        "a row is adopted in the state that was read",
        RECORDINGS_PY,
        "if changes and not self._write(condition, **changes):",
        "if changes and not self._write(Recording.id.exists(), **changes):",
        INTERLEAVINGS,
    ),
    Mutant(
        "a row that has just failed is not claimed",
        RECORDINGS_PY,
        "        condition = Recording.status == PENDING\n        if audio is not None and claim:",
        "        condition = Recording.id.exists()\n        if audio is not None and claim:",
        f"{RECORDINGS} -k failed",
    ),
    Mutant(
        "a row past its time is left to its removal",
        CONVERSION,
        "if row is None or row.generation != removed.generation:",
        "if row is None or row.expired or row.generation != removed.generation:",
        INTERLEAVINGS,
    ),
    Mutant(
        "a verdict is on the version that was read",
        CONVERSION,
        "audio = _audio_of(row, source)",
        "audio = _audio_of(row, storage.S3Source(upload.key))",
        INTERLEAVINGS,
    ),
    Mutant(
        "the attempts are counted",
        RECORDINGS_PY,
        "if begun >= MAX_ATTEMPTS:",
        "if False:",
        f"{RECORDINGS} -k attempts",
    ),
    Mutant(
        "an attempt that may be alive is waited for",
        RECORDINGS_PY,
        "if time.time() <= last_begun + MAX_LIFETIME:",
        "if False:",
        f"{RECORDINGS} -k attempts",
    ),
    Mutant(
        "audio that a ready row names stays",
        REMOVE,
        "if row is None or row.status != READY or row.mp3_key() != key:",
        "if True:",
        REMOVAL,
    ),
    Mutant(
        "a ready record without its MP3 is noticed",
        GET,
        "raise recording.object_missing() from None",
        "raise Unavailable from None",
        f"{UPLOADS} -k without_its",
    ),
    Mutant(
        "a row is reserved on a condition",
        RECORDINGS_PY,
        "fresh.save(condition=Recording.id.does_not_exist())",
        "fresh.save()",
        f"{CONTRACT} -k key",
    ),
    Mutant(
        "other audio under a key is refused",
        RECORDINGS_PY,
        "if audio is not None and self.wav_sha256 != audio.sha256 and not (claim and self.status == PENDING):",
        "if False:",
        f"{RECORDINGS} -k 'reserve or claimed'",
    ),
    Mutant(
        "the first audio claims a ticket's row",
        RECORDINGS_PY,
        "            condition &= Recording.wav_sha256.does_not_exist()\n        if announced",
        "        if announced",
        f"{RECORDINGS} -k claims",
    ),
    Mutant(
        "a write is conditional on the generation",
        RECORDINGS_PY,
        "actions=actions, condition=(Recording.generation == self.generation) & condition",
        "actions=actions, condition=condition",
        f"{RECORDINGS}",
    ),
    Mutant(
        "a lost answer is read back (reserve)",
        RECORDINGS_PY,
        "                found = cls._read_back(fresh, error)\n",
        "                raise Unavailable from error\n",
        f"{FAULTS} -k 'lost and Send'",
    ),
    Mutant(
        "a lost answer is read back (commit)",
        RECORDINGS_PY,
        "            found = self._read_back(self, error)\n",
        "            raise Unavailable from error\n",
        f"{FAULTS} -k 'lost and Send'",
    ),
    Mutant(
        "a lost answer is read back (user)",
        USERS,
        "                stored = cls._read(user.pk)\n",
        "                stored = None\n",
        f"{FAULTS} -k 'lost and SignUp'",
    ),
    Mutant(
        "what is read back is compared",
        RECORDINGS_PY,
        "if any(getattr(self, name) != value for name, value in changes.items()):",
        "if False:",
        f"{FAULTS} -k 'Send or Upload'",
    ),
    Mutant(
        "a refused condition is told from a fault",
        AWS,
        'return aws_code(error) == "ConditionalCheckFailedException"',
        'return error.cause_response_code == "ConditionalCheckFailedException"',
        f"{FAULTS} -k 'lost and (Send or Upload)'",
    ),
    Mutant(
        "reads are consistent",
        AWS,
        "return model.get(hash_key, range_key, consistent_read=True)",
        "return model.get(hash_key, range_key)",
        f"{FAULTS} -k consistent",
    ),
    Mutant(
        "only a row that may be converted turns ready",
        RECORDINGS_PY,
        "            (Recording.status == PENDING) & same_audio,\n",
        "            same_audio,\n",
        f"{RECORDINGS}",
    ),
    Mutant(
        "only the row's own audio turns it ready",
        RECORDINGS_PY,
        "            (Recording.status == PENDING) & same_audio,\n",
        "            Recording.status == PENDING,\n",
        f"{RECORDINGS}",
    ),
    Mutant(
        "an upload does not fail another audio's row",
        RECORDINGS_PY,
        "            condition &= Recording.wav_sha256.does_not_exist() | (Recording.wav_sha256 == audio.sha256)\n",
        "",
        RECORDINGS,
    ),
    Mutant(
        "a row past its time is gone",
        RECORDINGS_PY,
        "if row is None or row.expired:",
        "if row is None:",
        f"{RECORDINGS} -k find",
    ),
    Mutant(
        "a row is not removed before its time",
        RECORDINGS_PY,
        "found._remove(Recording.expires_at <= int(time.time()))",
        "found._remove(Recording.id.exists())",
        f"{REMOVAL}",
    ),
    Mutant(
        "a row that goes meanwhile makes way",
        RECORDINGS_PY,
        "            except RecordNotFound:\n                continue",
        "            except ZeroDivisionError:\n                continue",
        REMOVAL,
    ),
    Mutant(
        "a row lives as long as its event may wait",
        RECORDINGS_PY,
        '"expires_at": max(self.expires_at, _in(UPLOAD_SECONDS))}',
        '"expires_at": _in(PENDING_SECONDS)}',
        f"{UPLOADS} {RECORDINGS} -k 'survives or begin'",
    ),
    Mutant(
        "a row waits for its upload's event",
        RECORDINGS_PY,
        "expires_at=_in(PENDING_SECONDS if audio else UPLOAD_SECONDS)",
        "expires_at=_in(PENDING_SECONDS)",
        f"{UPLOADS} -k fortnight",
    ),
    Mutant(
        "asking again does not put off the end of the attempts",
        RECORDINGS_PY,
        "PENDING_SECONDS if audio or self.attempts else",
        "PENDING_SECONDS if audio else",
        f"{UPLOADS} -k killed",
    ),
    Mutant(
        "the MP3 belongs to its generation",
        RECORDINGS_PY,
        'return f"records/{int(self.user)}/{self.id}/{self.generation}/"',
        'return f"records/{int(self.user)}/{self.id}/"',
        REMOVAL,
    ),
    Mutant(
        "a late attempt's MP3 goes with its row",
        CONVERSION,
        "    if row.status != PENDING:\n        _delete_other_attempts(row)\n",
        "",
        f"{CRASHES} -k gone",
    ),
    Mutant(
        "an upload of other audio is dropped",
        CONVERSION,
        "    except IdempotencyConflict:\n        row.reject_upload()\n",
        "",
        f"{UPLOADS} -k audio",
    ),
    Mutant(
        "an event is for its generation",
        CONVERSION,
        "if row is None or row.generation != removed.generation:",
        "if row is None:",
        f"{UPLOADS} -k earlier",
    ),
    Mutant(
        "a final row is not converted again",
        CONVERSION,
        "            if row.status == PENDING:\n                _attempt",
        "            if True:\n                _attempt",
        f"{UPLOADS} -k 'second or after'",
    ),
    Mutant(
        "an MP3 whose row went is taken back",
        CONVERSION,
        "    except RecordNotFound:\n        storage.delete(key)\n        raise",
        "    except RecordNotFound:\n        raise",
        f"{UPLOADS} -k removed",
    ),
    Mutant(
        "who lost takes its MP3 back",
        CONVERSION,
        "    storage.delete(key)\n    if row.status == FAILED:",
        "    if row.status == FAILED:",
        f"{UPLOADS} -k 'different or requests'",
    ),
    Mutant(
        "the WAV goes when it is converted",
        CONVERSION,
        "    storage.delete(upload.key)\n",
        "",
        f"{UPLOADS} -k ready",
    ),
    Mutant(
        "a fault of ours is said in the row",
        CONVERSION,
        "            row.fail(ConversionError())\n",
        "            pass\n",
        f"{UPLOADS} -k used_up",
    ),
    Mutant(
        "a fault of ours has the event sent again",
        CONVERSION,
        "        if isinstance(error, ServerError):\n            raise\n"
        "        _log_why(error)\n        raise ConversionError from error\n",
        "",
        f"{UPLOADS} -k fault",
    ),
    Mutant(
        "a timeout keeps the WAV",
        CONVERSION,
        'extra={"record": row.id})\n            return\n',
        'extra={"record": row.id})\n',
        f"{UPLOADS} {REMOVAL} -k time",
    ),
    Mutant(
        "only the first failure of an upload is retried soon",
        CONVERT,
        'if not queue or item["attributes"]["ApproximateReceiveCount"] != "1":',
        "if not queue:",
        f"{UPLOADS} -k tried_again",
    ),
    Mutant(
        "the converter stops before Lambda does",
        CONVERT,
        "CONVERSION_SHARE = 0.9",
        "CONVERSION_SHARE = 9",
        f"{UPLOADS} -k lambda",
    ),
    Mutant(
        "a request stops before Lambda does", CREATE, "STORE_SECONDS = 5", "STORE_SECONDS = -9", f"{UPLOADS} -k lambda"
    ),
    Mutant(
        "an object that is not there is no upload",
        CONVERSION,
        "        except storage.ObjectNotFound:\n            return  #",
        "        except storage.ObjectNotFound:\n            pass  #",
        f"{UPLOADS}",
    ),
    Mutant(
        "S3 compares the SHA-256",
        STORAGE,
        "                    ChecksumSHA256=base64.b64encode(bytes.fromhex(sha256)).decode(),\n",
        "",
        f"{FAULTS} -k told",
    ),
    Mutant(
        "a body that stops midway is resumed",
        STORAGE,
        "                log_fault(error)\n                if first",
        "                raise Unavailable from error\n                if first",
        f"{FAULTS} -k body",
    ),
    Mutant(
        "a body that is wrong at its end is a fault",
        STORAGE,
        "                if first > last:\n",
        "                if False:\n",
        f"{FAULTS} -k body",
    ),
    Mutant(
        "another range than was asked for is not served",
        STORAGE,
        'if not range_given.startswith(f"bytes {first}-{last}/") or',
        "if",
        f"{FAULTS} -k body",
    ),
    Mutant("a short answer of S3 is not served", STORAGE, " or length != last - first + 1:", ":", f"{FAULTS} -k body"),
    Mutant(
        "an upload is read as one version",
        STORAGE,
        ", IfMatch=self._etag)",
        ")",
        f"{UPLOADS} -k replaced",
    ),
    Mutant(
        "a damaged answer of DynamoDB is noticed",
        AWS,
        '    register("needs-retry.dynamodb", _check_whole)\n',
        "",
        f"{FAULTS} -k garbled",
    ),
    Mutant(
        "silence is not waited out at each call",
        AWS,
        '    register("needs-retry", budget.check)\n',
        "",
        f"{FAULTS} -k 'timeout and outage'",
    ),
    Mutant(
        "AWS's clients wait shortly",
        AWS,
        "CONNECT_TIMEOUT, READ_TIMEOUT, ATTEMPTS = 1, 5, 3",
        "CONNECT_TIMEOUT, READ_TIMEOUT, ATTEMPTS = 15, 30, 4",
        f"{FAULTS} -k 'timeout and Get'",
    ),
    Mutant(
        "DynamoDB is called three times at most",
        AWS,
        "max_retry_attempts = ATTEMPTS - 1",
        "max_retry_attempts = ATTEMPTS",
        f"{FAULTS} -k 'http_500 and always'",
    ),
    Mutant(
        "what AWS's parsers raise is a fault",
        AWS,
        "ClientError, ResponseParserError, PynamoDB",
        "ClientError, PynamoDB",
        f"{FAULTS} -k 'Upload and garbled'",
    ),
    # --- nothing left
    Mutant("a removed row takes its MP3 along", REMOVE, "    storage.delete_prefix(row.mp3_prefix)\n", "", REMOVAL),
    Mutant("a removed row takes its upload along", REMOVE, "    storage.delete(row.upload_key)\n", "", REMOVAL),
    Mutant("a changed row takes nothing along", REMOVE, 'if item["eventName"] == "REMOVE":', "if True:", REMOVAL),
    Mutant(
        "an item that fails does not keep the rest of its batch from being tried",
        REMOVE,
        '            failures.append({"itemIdentifier": number})\n',
        "            raise\n",
        REMOVAL,
    ),
    # --- uploads in parts
    Mutant("what is joined already", PARTS_PY, "if any(storage.stored(row.upload_key)):", "if False:", PARTS),
    Mutant("what is not joined", PARTS_PY, "if any(storage.stored(row.upload_key)):", "if True:", PARTS),
    Mutant("the loser of two aborts its own", PARTS_PY, "if row.upload_id != upload_id:", "if False:", PARTS),
    Mutant(
        "one upload a row",
        RECORDINGS_PY,
        "unchanged = _is(Recording.upload_id, self.upload_id) & _is",
        "unchanged = _is",
        PARTS,
    ),
    Mutant(
        "joined parts are not begun again",
        RECORDINGS_PY,
        " & _is(Recording.attempts, self.attempts)",
        "",
        PARTS,
    ),
    Mutant(
        "a SHA-256 that is announced later",
        RECORDINGS_PY,
        'changes["announced_sha256"] = announced.sha256',
        "pass",
        f"{PARTS} -k later",
    ),
    Mutant(
        "a refused request leaves the row to the upload with its key",
        RECORDINGS_PY,
        " & (Recording.expires_at == self.expires_at)",
        "",
        f"{LIMITS} -k asked_for",
    ),
    Mutant(
        "a conversion that hung is tried again",
        CONVERSION,
        "return wav.duration is not None and",
        "return False and",
        f"{UPLOADS} -k hung",
    ),
    Mutant("a part that changes meanwhile", STORAGE, 'aws_code(error.__cause__) == "InvalidPart"', "False", PARTS),
    Mutant("the length of a part is signed", STORAGE, ", ContentLength=size", "", PARTS),
    Mutant(
        "the size that was announced",
        CONVERSION,
        "if row.announced_bytes not in (None, source.size):",
        "if False:",
        f"{PARTS} -k another_size",
    ),
    Mutant(
        "the SHA-256 that was announced",
        CONVERSION,
        "if row.announced_sha256 not in (None, digest.hexdigest()):",
        "if False:",
        f"{PARTS} -k damaged",
    ),
    Mutant("a row takes its parts along", REMOVE, "if row.upload_id is not None:", "if False:", f"{PARTS} -k deleted"),
    # --- what is served
    Mutant("who waits is told within a second", GET, "time.sleep(min(1.0, left))", "time.sleep(left)", WAIT),
    Mutant(
        "a wait leaves time for its response",
        GET,
        "until = min(until, app.context",
        "until = max(until, app.context",
        WAIT,
    ),
    Mutant(
        "a large MP3 goes by a signed address",
        GET,
        "inline = size <= MAX_INLINE_BYTES",
        "inline = True",
        f"{FAULTS} -k GetLarge",
    ),
    Mutant(
        "If-Range",
        GET,
        'if headers.get("if-range", etag) == etag else ""',
        'if True else ""',
        f"{CONTRACT} -k if_range",
    ),
    Mutant(
        "a range past the end",
        GET,
        "if first > last:",
        "if False:",
        f"{CONTRACT} -k satisfiable",
    ),
    Mutant(
        "a header's plain name is ASCII",
        HTTP,
        """if " " <= c <= "~" and c not in '"\\\\%/'""",
        'if c >= " "',
        f"{CONTRACT} {HOSTILE} -k 'download or injection'",
    ),
    Mutant(
        "an id is in its canonical form",
        REQUESTS,
        'if record_id != query["id"].lower() or',
        "if",
        f"{CONTRACT} -k unknown",
    ),
    # --- how much one user may have
    Mutant(
        "the day's count is asked as it is raised",
        LIMITS_PY,
        "((Day.seconds, most), (Day.kept, most_kept))",
        "((Day.kept, most_kept),)",
        f"{LIMITS} -k 'one_user and daily'",
    ),
    Mutant(
        "what is kept is asked as it is raised",
        LIMITS_PY,
        "((Day.seconds, most), (Day.kept, most_kept))",
        "((Day.seconds, most),)",
        f"{LIMITS} -k 'one_user and storage'",
    ),
    Mutant(
        "a repeated count is known by its mark",
        COUNTERS,
        "new = Counter.last.does_not_exist() | (Counter.last != name)",
        "new = Counter.pk.exists() | Counter.pk.does_not_exist()",
        f"{LIMITS} -k made_good",
    ),
    Mutant(
        "whoever made the row counts it",
        LIMITS_PY,
        "    if not row.counts:\n",
        "    if row.counted_on is None:\n",
        f"{LIMITS} -k second_attempt",
    ),
    Mutant(
        "it is added up again before a refusal",
        LIMITS_PY,
        "            _sum(user)\n            day = Day",
        "            day = Day",
        f"{LIMITS} -k 'deletion_frees or whatever'",
    ),
    Mutant(
        "a deletion of today frees space while others are converted",
        LIMITS_PY,
        "    if row.status == READY and row.counted_on == utc_date():\n",
        "    if False:\n",
        f"{LIMITS} -k another_is_converted",
    ),
    Mutant(
        "what is being converted is not taken for deleted",
        LIMITS_PY,
        "                under_way = True\n",
        "                pass\n",
        f"{LIMITS} -k another_is_converted",
    ),
    Mutant(
        "it is added up once more when yesterday's conversions have ended",
        LIMITS_PY,
        "user.summed_at < (settled if now >= settled else midnight)",
        "user.summed_at < midnight",
        f"{LIMITS} -k 'once_a_day or interrupted'",
    ),
    Mutant(
        "a sum is not written on what is left of an erased user",
        LIMITS_PY,
        "User.token_sha256.exists())",
        "User.pk.exists())",
        f"{LIMITS} -k erased",
    ),
    Mutant("an erased user's counts go", ERASURE, "    limits.forget(user)\n", "", f"{LIMITS} -k erased"),
    Mutant(
        "a repetition is answered at the limit",
        LIMITS_PY,
        "        if row is not None and row.needs_no_count:\n",
        "        if False:\n",
        f"{LIMITS} -k answered_again",
    ),
    Mutant(
        "a ticket takes no more than is left",
        LIMITS_PY,
        "return most if left is None else",
        "return most if True else",
        f"{LIMITS} -k ticket_takes",
    ),
    # --- who may sign up, and how long a recording stays
    Mutant(
        "sign-ups from an address are limited",
        SIGNUPS_PY,
        "(SignUps.attempts < most)",
        "SignUps.attempts.exists()",
        f"{SIGNUPS} -k too_many",
    ),
    Mutant(
        "an IPv6 address is its /64",
        SIGNUPS_PY,
        "(int(found), 64), strict=False",
        "(int(found), 128), strict=False",
        f"{SIGNUPS} -k subscriber",
    ),
    Mutant(
        "an invitation is compared",
        SIGNUPS_PY,
        'if hashes and _hash(invite or "") not in hashes:',
        "if False:",
        f"{SIGNUPS} -k invitation",
    ),
    Mutant(
        "a recording is kept for its days",
        RECORDINGS_PY,
        "expires_at=_in(keep) if (keep := settings().keep_seconds) is not None else None,",
        "expires_at=None,",
        RETENTION,
    ),
    # --- nothing leaked
    Mutant(
        "what nobody foresaw is a 503 without its text",
        API,
        "    app.exception_handler(Exception)(_unexpected)\n",
        "",
        f"{FAULTS} -k nobody",
    ),
    Mutant(
        "an error's text is not logged",
        AWS,
        'extra={"error": type(error).__name__, "aws_code": aws_code(error)}',
        'extra={"error": str(error), "aws_code": aws_code(error)}',
        f"{FAULTS} -k SignUp",
    ),
    Mutant(
        "the bucket is not public",
        "template.yaml",
        "RestrictPublicBuckets: true",
        "RestrictPublicBuckets: false",
        f"{TEMPLATE} -k bucket",
    ),
    Mutant(
        "the bucket takes TLS only",
        "template.yaml",
        'Condition: {Bool: {"aws:SecureTransport": "false"}}',
        'Condition: {Bool: {"aws:SecureTransport": "true"}}',
        f"{TEMPLATE} -k bucket",
    ),
    Mutant(
        "a function may do what it does and no more",
        "template.yaml",
        "            - Sid: ReadAudio\n              Effect: Allow\n              Action: s3:GetObject",
        "            - Sid: ReadAudio\n              Effect: Allow\n              Action: s3:*",
        f"{TEMPLATE} -k more",
    ),
    Mutant(
        "access logs hold no link",
        "template.yaml",
        '"route":"$context.routeKey"',
        '"route":"$context.path"',
        f"{TEMPLATE} -k access",
    ),
)


def run(mutant: Mutant | None, tests: str) -> str:
    """What becomes of tests in a copy of the project with the mutant in it: caught, SURVIVED, HANGS or NOT RUN."""
    with tempfile.TemporaryDirectory(prefix="records-mutant-") as folder:
        copy = Path(folder) / "records"
        left_out = shutil.ignore_patterns(
            ".git", ".venv", ".sam", ".lint", ".local", ".aws-sam", "*_cache", "__pycache__", ".hypothesis"
        )
        shutil.copytree(ROOT, copy, ignore=left_out)
        for tools in (".venv", ".sam", ".local"):  # nothing of these is written to
            if (ROOT / tools).exists():
                (copy / tools).symlink_to(ROOT / tools)
        if mutant:
            path = copy / mutant.file
            path.write_text(path.read_text(encoding="utf-8").replace(mutant.old, mutant.new), encoding="utf-8")
        ffmpeg = os.environ.get("FFMPEG") or str(ROOT / ".local/build/sam/FfmpegLayer/bin/ffmpeg")
        own = Path(folder) / "tmp"
        own.mkdir()
        command = [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "-p", "no:cacheprovider"]
        environment = {**os.environ, "FFMPEG": ffmpeg, "TMPDIR": str(own), "PYTHONDONTWRITEBYTECODE": "1"}
        try:
            status = subprocess.run(
                [*command, *shlex.split(tests)],
                cwd=copy,
                env=environment,
                capture_output=True,
                timeout=SECONDS,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            return "HANGS"
        # Above 1: interrupted, a usage error, or no test of that name; nothing was seen to go red.
        return {0: "SURVIVED", 1: "caught"}.get(status, "NOT RUN")


def timed(mutant: Mutant) -> tuple[str, float]:
    started = time.monotonic()
    return run(mutant, mutant.tests), time.monotonic() - started


def main() -> int:
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("words", nargs="*", help="only the guards whose name has one of these words")
    words = parser.parse_args().words
    chosen = [mutant for mutant in MUTANTS if not words or any(word in mutant.guard for word in words)]
    for mutant in chosen:
        found = (ROOT / mutant.file).read_text(encoding="utf-8").count(mutant.old)
        if found != 1:
            sys.exit(f"{mutant.guard}: found {found} times in {mutant.file}, not once; fix tests/support/mutants.py")
    files = sorted({word for mutant in chosen for word in mutant.tests.split() if word.endswith(".py")})
    caught = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for file, result in zip(files, pool.map(lambda file: run(None, file), files), strict=True):
            if result != "SURVIVED":
                sys.exit(f"{file} is red with every guard in its place")
        print(f"{len(files)} files of tests are green with every guard in its place", flush=True)
        for mutant, (result, seconds) in zip(chosen, pool.map(timed, chosen), strict=True):
            caught += result == "caught"
            print(f"{result:8}  {mutant.guard:50}  {seconds:4.0f} s", flush=True)
    print(f"{len(chosen)} guards taken out, {caught} caught")
    return 0 if caught == len(chosen) else 1


if __name__ == "__main__":
    sys.exit(main())
