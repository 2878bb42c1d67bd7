"""The page behind a link, over moto: every state, both languages, and the worst text that a name can be."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from records import http
from records.recordings import Recording
from records.users import User
from tests.support.client import Account, EventClient, Reply, send, sign_up
from tests.support.wavs import sample

HOSTILE = '"><script>alert(1)</script>${x}{y}\u202e&amp; \u2068evil'


class Tags(HTMLParser):
    """What a page has: its tags with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def meta(self) -> dict[str, str | None]:
        return {str(found.get("property")): found.get("content") for tag, found in self.tags if tag == "meta"}


def look(client: EventClient, target: str, language: str = "en-US,en;q=0.9", method: str = "GET") -> Reply:
    return client.request(method, target, {"Accept": "text/html", "Accept-Language": language})


@pytest.fixture
def account(client: EventClient) -> Account:
    return sign_up(client, name="Anna B.")


def test_ready(client: EventClient, account: Account) -> None:
    record = send(client, account, sample(2), "Field notes.wav").json
    reply = look(client, record["page"])
    assert reply.status == 200
    del reply.headers["x-request-id"]
    storage = "https://records-test.s3.eu-central-1.amazonaws.com https://records-test.s3.amazonaws.com"
    assert reply.headers == {
        **{name.lower(): value for name, value in http.CROSS_ORIGIN.items()},
        "content-type": "text/html; charset=utf-8",
        "cache-control": "no-store",
        "content-language": "en",
        "content-security-policy": (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; "
            f"connect-src 'self'; media-src 'self' {storage}; base-uri 'none'; form-action 'none'; "
            "frame-ancestors 'none'"
        ),
        "referrer-policy": "no-referrer",
        "vary": "Accept-Language",
        "x-content-type-options": "nosniff",
        "x-robots-tag": "noindex",
    }
    page = Tags(reply.body.decode())
    day = record["created_at"][:4]
    assert re.search(rf"Field notes.*Recorded by Anna B\..*\d{{1,2}} [A-Z][a-z]+ {day} · 0:0\d", page.text, re.DOTALL)
    base = "http://127.0.0.1:8000"
    query = f"id={record['id']}&user={record['user']}"
    meta = page.meta()
    assert meta["og:title"] == "Field notes"
    assert meta["og:url"] == f"{base}/listen?{query}" == record["page"]
    assert (meta["og:audio"], meta["og:audio:type"]) == (record["url"], "audio/mpeg")
    [audio] = [found for tag, found in page.tags if tag == "audio"]
    assert audio == {"id": "audio", "controls": None, "preload": "metadata", "src": f"/record?{query}"}
    [bars] = [found["d"] for tag, found in page.tags if tag == "path" and found.get("class") == "all"]
    assert len(re.findall("M", bars or "")) == 100
    head = look(client, record["page"], method="HEAD")
    assert (head.status, head.body) == (200, b"")


def test_pending_failed_and_missing(client: EventClient, account: Account) -> None:
    row = Recording.reserve(User.get(f"user#{account.id}"), "lecture.wav", None, None)
    target = f"/listen?id={row.id}&user={account.id}"
    pending = look(client, target)
    assert (pending.status, pending.headers["retry-after"]) == (202, "2")
    assert b'<noscript><meta http-equiv="refresh" content="2"></noscript>' in pending.body
    assert "Being converted" in Tags(pending.body.decode()).text
    row.update([Recording.status.set("failed"), Recording.error_code.set("unsupported_audio")])
    failed = look(client, target)
    assert failed.status == 410
    assert "The file that was sent is not a WAV recording." in Tags(failed.body.decode()).text
    assert b"refresh" not in failed.body
    row.delete()
    missing = look(client, target)
    assert missing.status == 404
    assert "There is no recording here" in Tags(missing.body.decode()).text
    for broken in ("/listen", "/listen?id=1&user=2", f"/listen?id={row.id}", f"/listen?id={row.id}&user=x"):
        assert look(client, broken).status == 404


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("ru-RU,ru;q=0.9,en;q=0.8", "ru"),
        ("en;q=0.5, ru;q=0.6", "ru"),
        ("ru;q=0.5, en-GB", "en"),
        ("ru,en", "ru"),
        ("de, fr", "en"),
        ("", "en"),
        ("ru;q=x", "en"),
        ("rude", "en"),
    ],
)
def test_language(client: EventClient, cloud: None, header: str, language: str) -> None:
    reply = look(client, "/listen", header)
    assert (reply.status, reply.headers["content-language"]) == (404, language)
    assert f'<html lang="{language}">' in reply.body.decode()
    assert ("Такой записи нет" in reply.body.decode()) is (language == "ru")


def test_hostile_names_are_text(client: EventClient, account: Account) -> None:
    record = send(client, account, sample(1)).json
    User.get(f"user#{account.id}").update([User.name.set(HOSTILE)])
    Recording.get(account.id, record["id"]).update([Recording.name.set(f"{HOSTILE}.WAV")])
    page = look(client, record["page"]).body.decode()
    found = Tags(page)
    assert [tag for tag, _ in found.tags if tag == "script"] == ["script"]
    shown = '"><script>alert(1)</script>${x}{y}&amp; evil'  # without the marks that turn the direction of text
    assert found.meta()["og:title"] == shown
    assert found.text.count(shown) == 3  # title, heading, author
    assert not re.search("[\u202e\u2068]", page)


def test_a_name_of_which_nothing_is_seen(client: EventClient, account: Account) -> None:
    page = look(client, send(client, account, sample(1), "\u2067.wav").json["page"], "ru").body.decode()
    assert "<h1><bdi>Запись</bdi></h1>" in page


@pytest.mark.parametrize("table", [Recording, User])
def test_when_aws_fails(client: EventClient, account: Account, table: type[Recording | User]) -> None:
    target = send(client, account, sample(1)).json["page"]
    table.delete_table()
    reply = look(client, target)
    assert (reply.status, reply.headers["retry-after"]) == (503, "5")
    assert "The service is busy" in Tags(reply.body.decode()).text
