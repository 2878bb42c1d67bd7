"""GET and HEAD /listen: the page behind a recording's link. It works without scripts; listen.js adds to it."""

from __future__ import annotations

import math
import re
from datetime import datetime
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from aws_lambda_powertools.event_handler import Response

from records import api, aws
from records.errors import RecordNotFound, Unavailable, ValidationFailed
from records.http import preferred_language
from records.recordings import FAILED, PENDING, Recording
from records.requests import record_ids
from records.responses import RETRY_AFTER_FAULT, RETRY_AFTER_PENDING, base_url
from records.settings import storage_origins
from records.users import User

PAGE, PLAYER = (
    Template((Path(__file__).parent / name).read_text(encoding="utf-8")) for name in ("page.html", "player.html")
)
BARS = 100  # of the waveform
HEIGHT = 40  # of its picture, in the picture's own units

# Marks that change the direction of text: in a name they could reverse the rest of a line (Unicode UAX 9, 2.8).
_BIDI = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")

WORDS: dict[str, dict[str, str]] = {
    "en": {
        "locale": "en_GB",
        "untitled": "Recording",
        "by": "Recorded by",
        "play": "Play",
        "pause": "Pause",
        "position": "Position",
        "speed": "Speed",
        "download": "Download MP3",
        "waveform": "Waveform of the recording",
        "keys": "Space plays and pauses, the arrow keys skip 5 seconds.",
        "own": "Make your own recording",
        "pending": "Being converted…",
        "pending_why": "The recording has arrived, or is about to. This page turns into the player by itself.",
        "failed": "This recording cannot be played",
        "failed_then": "Ask the person who sent you the link to record it again.",
        "missing": "There is no recording here",
        "missing_why": "The link is incomplete, or the recording was deleted. Check that you copied all of the link.",
        "busy": "The service is busy",
        "busy_why": "Nothing is lost. Load this page again in a few seconds.",
        "unsupported_audio": "The file that was sent is not a WAV recording.",
        "unplayable_audio": "The file that was sent is damaged, or there is no sound in it.",
        "audio_too_large": "The file that was sent is too large.",
        "upload_damaged": "The file was damaged while it was sent.",
        "conversion_timeout": "It is too long to be converted.",
        "daily_limit": "Its author has reached the limit for one day.",
        "storage_full": "Its author has no storage left.",
        "conversion_error": "Something went wrong on our side.",
    },
    "ru": {
        "locale": "ru_RU",
        "untitled": "Запись",
        "by": "Автор:",
        "play": "Слушать",
        "pause": "Пауза",
        "position": "Место в записи",
        "speed": "Скорость",
        "download": "Скачать MP3",
        "waveform": "Форма звука записи",
        "keys": "Пробел — слушать и пауза, стрелки — на 5 секунд назад и вперёд.",
        "own": "Сделать свою запись",
        "pending": "Преобразуем…",
        "pending_why": "Запись уже загружена или загружается. Когда она будет готова, здесь сам появится плеер.",
        "failed": "Эту запись нельзя прослушать",
        "failed_then": "Попросите того, кто прислал ссылку, записать её ещё раз.",
        "missing": "Такой записи нет",
        "missing_why": "Ссылка неполная, или запись удалили. Проверьте, что вы скопировали ссылку целиком.",
        "busy": "Сервис сейчас занят",
        "busy_why": "Ничего не потеряно. Обновите страницу через несколько секунд.",
        "unsupported_audio": "Загруженный файл — не запись в формате WAV.",
        "unplayable_audio": "Загруженный файл повреждён, или в нём нет звука.",
        "audio_too_large": "Загруженный файл слишком большой.",
        "upload_damaged": "Файл повредился при загрузке.",
        "conversion_timeout": "Она слишком длинная, чтобы её преобразовать.",
        "daily_limit": "Автор исчерпал лимит на один день.",
        "storage_full": "У автора закончилось место.",
        "conversion_error": "Произошла ошибка на нашей стороне.",
    },
}
MONTHS = {
    "en": "January,February,March,April,May,June,July,August,September,October,November,December",
    "ru": "января,февраля,марта,апреля,мая,июня,июля,августа,сентября,октября,ноября,декабря",
}

app = api.resolver(validate=False)


@app.get("/listen")
@app.head("/listen")
def listen() -> Response[Any]:
    recording = Recording.find(*record_ids(app.current_event.raw_event))
    user = User.read(int(recording.user))
    author = user.name if user else None
    if recording.status == PENDING:
        return _pending(recording, author)
    if recording.status == FAILED:
        return _failed(recording, author)
    return _ready(recording, author)


def _not_found(_: Exception) -> Response[Any]:
    """A page for a link that leads to no recording, perhaps because it was not copied whole."""
    words = WORDS[_language()]
    return _page(404, words["missing"], _message(words["missing"], words["missing_why"]))


def _unavailable(_: Exception) -> Response[Any]:
    words = WORDS[_language()]
    return _page(503, words["busy"], _message(words["busy"], words["busy_why"]), retry_after=RETRY_AFTER_FAULT)


def _pending(recording: Recording, author: str | None) -> Response[Any]:
    words = WORDS[_language()]
    content = (
        f"{_head(recording, author)}"
        f'<p class="state" role="status"><span class="working" aria-hidden="true"></span>{escape(words["pending"])}</p>'
        f'<p class="quiet">{escape(words["pending_why"])}</p>'
    )
    # listen.js looks again without reloading the page.
    meta = f'<noscript><meta http-equiv="refresh" content="{RETRY_AFTER_PENDING}"></noscript>'
    return _page(202, _name(recording), content, meta, retry_after=RETRY_AFTER_PENDING)


def _failed(recording: Recording, author: str | None) -> Response[Any]:
    words = WORDS[_language()]
    reason = words.get(recording.error.code, words["conversion_error"])
    content = _head(recording, author) + _message(words["failed"], f"{reason} {words['failed_then']}", level=2)
    return _page(410, _name(recording), content)


def _ready(recording: Recording, author: str | None) -> Response[Any]:
    language = _language()
    words = WORDS[language]
    name, duration = _name(recording), float(recording.duration)
    event = app.current_event.raw_event
    query = f"id={recording.id}&user={int(recording.user)}"
    audio = f"/record?{query}"
    facts = [f"{words['by']} {_plain(author)}"] if author and _plain(author) else []
    facts += [_date(recording.created_at, language), _clock(duration)]
    base = base_url(event)
    tags = {
        "og:type": "music.song",
        "og:title": name,
        "og:description": " · ".join(facts),
        "og:site_name": "Records",
        "og:locale": words["locale"],
        "og:url": f"{base}/listen?{query}",
        "og:audio": f"{base}{audio}",
        "og:audio:type": "audio/mpeg",
        "og:image": f"{base}/assets/card.png",
        "og:image:type": "image/png",
        "og:image:width": "1200",
        "og:image:height": "630",
        "music:duration": str(max(1, round(duration))),
        "twitter:card": "summary_large_image",
    }
    meta = "\n  ".join(f'<meta property="{key}" content="{escape(value)}">' for key, value in tags.items())
    player = PLAYER.substitute(
        {word: escape(text) for word, text in words.items()},
        name=escape(name),
        author=escape(_plain(author or "")),
        audio=escape(audio),
        duration=duration,
        length=_clock(duration),
        waveform=_waveform(bytes(recording.waveform or b""), words["waveform"]),
    )
    return _page(200, name, _head(recording, author) + player, meta)


def _page(status: int, title: str, content: str, meta: str = "", retry_after: str = "") -> Response[str]:
    language = _language()
    media = " ".join(["'self'", *storage_origins()])
    policy = (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; "
        f"media-src {media}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    headers = {
        "Cache-Control": "no-store",  # a deleted recording is gone at once
        "Content-Language": language,
        "Content-Security-Policy": policy,
        "Referrer-Policy": "no-referrer",  # the address is the permission to listen
        "Vary": "Accept-Language",
        "X-Content-Type-Options": "nosniff",
        "X-Robots-Tag": "noindex",
    }
    if retry_after:
        headers["Retry-After"] = retry_after
    body = PAGE.substitute(
        lang=language,
        title=escape(f"{title} · Records"),
        meta=meta,
        content=content,
        own=escape(WORDS[language]["own"]),
    )
    return Response(status, "text/html; charset=utf-8", body, headers=headers)


def _language() -> str:
    """'en' or 'ru', as the browser prefers."""
    return preferred_language(app.current_event.raw_event["headers"].get("accept-language", ""), ("en", "ru"))


def _plain(text: str) -> str:
    return _BIDI.sub("", text).strip()


def _name(recording: Recording) -> str:
    """The name without its ending, or a word for a recording where nothing of it can be seen."""
    return _plain(re.sub(r"\.wave?$", "", recording.name, flags=re.IGNORECASE)) or WORDS[_language()]["untitled"]


def _head(recording: Recording, author: str | None) -> str:
    language = _language()
    facts = []
    if author and _plain(author):
        facts.append(f'<span class="author">{WORDS[language]["by"]} <bdi>{escape(_plain(author))}</bdi></span>')
    facts.append(f'<time datetime="{escape(recording.created_at)}">{_date(recording.created_at, language)}</time>')
    if recording.duration is not None:
        facts.append(f"<span>{_clock(float(recording.duration))}</span>")
    # A name of one script may begin with another's: <bdi> finds the direction by its letters.
    return f'<h1><bdi>{escape(_name(recording))}</bdi></h1><p class="facts quiet">{" · ".join(facts)}</p>'


def _message(title: str, text: str, level: int = 1) -> str:
    return f'<h{level} class="state">{escape(title)}</h{level}><p class="quiet">{escape(text)}</p>'


def _date(created_at: str, language: str) -> str:
    """RFC 3339 as '25 November 2026': the day in UTC."""
    day = datetime.strptime(created_at, "%Y-%m-%dT%H:%M:%SZ")  # noqa: DTZ007 only its day is read
    return f"{day.day} {MONTHS[language].split(',')[day.month - 1]} {day.year}"


def _clock(seconds: float) -> str:
    """Seconds as '1:03' or '1:00:07'."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def _waveform(peaks: bytes, label: str) -> str:
    """The peaks (0 to 255) as an SVG picture of bars; `#heard` is cut off where listen.js says."""
    bars = [max(peaks[len(peaks) * i // BARS : math.ceil(len(peaks) * (i + 1) / BARS)], default=0) for i in range(BARS)]
    lines = []
    for i, peak in enumerate(bars):
        half = max(0.6, (peak / 255) ** 0.65 * (HEIGHT / 2 - 2))  # quiet speech is to be seen too
        lines.append(f"M{i + 0.5:g} {HEIGHT / 2 - half:.1f}V{HEIGHT / 2 + half:.1f}")
    path = "".join(lines)
    return (
        f'<svg class="waveform" viewBox="0 0 {BARS} {HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(label)}">'
        f'<clipPath id="part"><rect id="played" width="0" height="{HEIGHT}"/></clipPath>'
        f'<path class="all" d="{path}"/><path class="heard" d="{path}" clip-path="url(#part)"/></svg>'
    )


app.exception_handler([RecordNotFound, ValidationFailed])(_not_found)
app.exception_handler(Unavailable)(_unavailable)
lambda_handler = api.handler(app, accepts={})
aws.warm(Recording, User, storage=False)
