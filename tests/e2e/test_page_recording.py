"""Recording from the microphone, and choosing files."""

from __future__ import annotations

import itertools
import re
import statistics
from pathlib import Path
from typing import Any

import numpy
import pytest
import soundfile
from playwright.sync_api import Dialog, Page, expect

from tests.e2e.browser import Line
from tests.e2e.page import (
    HERTZ,
    LIGHT,
    NEEDS_CHROMIUM,
    PHONE,
    Open,
    become,
    choose,
    items,
    named,
    put,
    ready,
    record,
    record_of,
    recorded,
    seconds_shown,
    sign_up,
    wait_until,
)
from tests.support.client import HttpClient
from tests.support.decoding import decoded

pytestmark = NEEDS_CHROMIUM


# ---- recording


def test_a_recording_becomes_a_link_that_plays(
    open_page: Open, base_url: str, ffmpeg: str, tmp_path: Path, wavs: Path
) -> None:
    visit = sign_up(open_page(reduced_motion="reduce"))
    page = visit.page
    tape = page.locator("#tape")
    idle = tape.screenshot()
    page.locator("#record").click()
    expect(page.get_by_role("button", name="Stop")).to_be_focused()
    recorded(page, 1)
    first = tape.screenshot()
    recorded(page, 3)
    assert len({idle, first, tape.screenshot()}) == 3, "the waveform does not move"
    assert re.fullmatch(r"● 0:\d\d · Records", page.title())
    page.get_by_role("button", name="Stop").click()

    item = items(visit).first
    expect(item.get_by_role("button", name="Send")).to_be_focused()
    expect(item.locator(".note")).to_have_text("Not sent yet. Saved in this browser.")
    expect(page).to_have_title("Records")
    # It can be heard before it is sent.
    item.get_by_role("button", name="Play").click()
    wait_until(page, lambda: seconds_shown(item) > 0.3)
    item.get_by_role("button", name="Pause").click()
    assert visit.answers("GET", "/record") == []
    item.get_by_label("Name of the recording").fill("")
    item.get_by_label("Name of the recording").press("Enter")
    expect(item.get_by_label("Name of the recording")).to_have_value(re.compile("^Recording "))
    item.get_by_label("Name of the recording").fill("Голос <b>1</b>")
    item.get_by_role("button", name="Send").click()
    ready(item)

    expect(item.get_by_role("heading")).to_have_text("Голос <b>1</b>")
    expect(item.get_by_role("button", name="Copy link")).to_be_focused()
    assert visit.answers("POST", "/records") == [201]
    assert visit.answers("POST", "/uploads") == []
    found = record_of(item, base_url)
    assert found["name"] == "Голос <b>1<-b>.wav", "a slash would be taken for a folder's"
    assert 3 <= found["duration"] < 6
    assert (found["channels"], found["truncated"], found["levels"]["silent"]) == (1, False, False)

    item.get_by_role("button", name="Copy link").click()
    expect(item.locator(".copy")).to_have_text("Copied")
    link = found["url"]
    assert page.evaluate("navigator.clipboard.readText()") == found["page"]
    expect(page.locator("#live")).to_have_text("The link to Голос <b>1</b> is copied.")
    # What it plays is what the microphone heard.
    mp3 = tmp_path / "heard.mp3"
    mp3.write_bytes(HttpClient(base_url).request("GET", link).body)
    played = decoded(mp3.read_bytes(), ffmpeg)
    samples = played.rows[0]
    # From well below zero to well above: in the pauses the encoder's noise goes up and down, too.
    swings = [(i, sample > 0) for i, sample in enumerate(samples) if abs(sample) > 300]
    upwards = [i for (_, before), (i, after) in itertools.pairwise(swings) if after and not before]
    period = statistics.median(b - a for a, b in itertools.pairwise(upwards))
    peaks = [max(map(abs, samples[i : i + 2205])) for i in range(0, len(samples), 2205)]
    assert played.rate / period == pytest.approx(HERTZ, rel=0.03), peaks

    with page.expect_download() as download:
        item.get_by_role("link", name="Download MP3").click()
    assert re.fullmatch(r"Голос .b.1.-b.\.mp3", download.value.suggested_filename)
    assert download.value.path().read_bytes() == mp3.read_bytes()


def test_a_recording_can_be_thrown_away(open_page: Open) -> None:
    visit = sign_up(open_page())
    page = visit.page
    page.locator("#record").click()
    recorded(page, 1)
    page.get_by_role("button", name="Discard").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    expect(page.locator("#booth")).to_have_attribute("data-state", "on")
    page.get_by_role("button", name="Discard").click()
    page.get_by_role("dialog").get_by_role("button", name="Discard").click()
    expect(page.locator("#record")).to_be_focused()
    expect(items(visit)).to_have_count(0)
    page.reload()
    expect(page.locator("#booth")).to_be_visible()
    expect(items(visit)).to_have_count(0)


def test_a_closed_page_loses_no_recording(open_page: Open, base_url: str) -> None:
    first = sign_up(open_page())
    first.page.locator("#record").click()
    recorded(first.page, 3)
    # Another tab sees that this one is still recording, and leaves it alone.
    second = open_page(same=first)
    expect(second.page.locator("#booth")).to_be_visible()
    expect(items(second)).to_have_count(0)
    first.page.close()  # no "stop", no question: as when the browser is killed
    item = items(second).first
    become(item, "send")
    expect(item.locator(".note")).to_have_text(
        "The page was closed during this recording. Everything up to that moment is here."
    )
    second.page.wait_for_timeout(600)
    item.get_by_role("button", name="Send").click()
    ready(item)
    assert record_of(item, base_url)["duration"] >= 2


def test_leaving_while_recording_is_asked_about(open_page: Open) -> None:
    visit = sign_up(open_page())
    page = visit.page
    page.locator("#record").click()
    recorded(page, 1)
    asked: list[str] = []

    def answer(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.accept()

    page.on("dialog", answer)
    page.reload()
    assert asked == ["beforeunload"]
    become(items(visit).first, "send")


def test_no_permission_for_the_microphone_is_explained(open_page: Open) -> None:
    visit = sign_up(open_page())
    page = visit.page
    # Chromium's fake device always says yes; a page that may not ask at all gets the same refusal from the browser.
    page.evaluate(
        "() => { navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('', 'NotAllowedError') } }"
    )
    page.locator("#record").click()
    expect(page.locator("#booth-problem")).to_contain_text("The browser may not use the microphone.")
    expect(page.locator("#record")).to_be_focused()
    expect(items(visit)).to_have_count(0)


def fake_microphone(page: Page, gain: float) -> None:
    """A microphone that hears a tone of that strength; 0 is silence."""
    page.evaluate(
        """gain => {
          navigator.mediaDevices.getUserMedia = async () => {
            const context = new AudioContext();
            const tone = new OscillatorNode(context);
            const volume = new GainNode(context, { gain });
            const end = context.createMediaStreamDestination();
            tone.connect(volume).connect(end);
            tone.start();
            return end.stream;
          };
        }""",
        gain,
    )


@pytest.mark.parametrize(
    ("gain", "hint"),
    [
        (0, "No sound. Is the microphone muted, or is another one selected?"),
        (3, "Too loud: the sound is distorted. Move away from the microphone."),
    ],
)
def test_silence_and_distortion_are_said(open_page: Open, *, gain: float, hint: str) -> None:
    page = open_page().page
    fake_microphone(page, gain)
    page.locator("#record").click()
    expect(page.locator("#booth-hint")).to_have_text(hint)
    page.locator("#record").click()


def test_a_pause_is_no_part_of_the_recording(open_page: Open, base_url: str) -> None:
    visit = sign_up(open_page())
    page = visit.page
    page.locator("#record").click()
    recorded(page, 1)
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#booth-hint")).to_have_text("Paused.")
    paused = page.locator("#timer").inner_text()
    page.wait_for_timeout(6000)
    expect(page.locator("#timer")).to_have_text(paused)
    page.get_by_role("button", name="Resume").click()
    recorded(page, 2)
    page.get_by_role("button", name="Stop").click()
    page.wait_for_timeout(600)
    items(visit).first.get_by_role("button", name="Send").click()
    ready(items(visit).first)
    assert 2 <= record_of(items(visit).first, base_url)["duration"] < 6


def test_another_microphone_is_chosen(open_page: Open) -> None:
    page = open_page().page
    page.evaluate(
        """() => {
          const { getUserMedia } = navigator.mediaDevices;
          navigator.mediaDevices.getUserMedia = function (asked) {
            window.asked = asked.audio.deviceId?.exact ?? '';
            return getUserMedia.call(this, asked);
          };
        }"""
    )
    microphones = page.get_by_label("Microphone")
    expect(microphones).to_be_visible()
    last = microphones.locator("option").last.get_attribute("value")
    assert last
    microphones.select_option(last)
    page.locator("#record").click()
    recorded(page, 1)
    assert page.evaluate("asked") == last
    expect(microphones).to_be_disabled()
    page.locator("#record").click()
    expect(microphones).to_have_value(last)
    page.evaluate(
        "() => { navigator.mediaDevices.getUserMedia = async () => { throw new OverconstrainedError('deviceId') } }"
    )
    page.locator("#record").click()
    expect(page.locator("#booth-problem")).to_have_text("The selected microphone is not connected. Choose another one.")


def test_audio_that_never_starts(open_page: Open) -> None:
    """As in a browser without an output device."""
    visit = open_page()
    page = visit.page
    page.evaluate("() => { AudioContext.prototype.resume = () => new Promise(() => {}) }")
    page.locator("#record").click()
    expect(page.locator("#booth-problem")).to_contain_text("The browser’s audio does not start.")
    expect(page.locator("#booth")).to_have_attribute("data-state", "idle")
    # One that keeps the person waiting for the microphone can be given up.
    page.evaluate("() => { navigator.mediaDevices.getUserMedia = () => new Promise(() => {}) }")
    page.locator("#record").click()
    expect(page.locator("#booth-hint")).to_contain_text("Waiting for the microphone.")
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#booth")).to_have_attribute("data-state", "idle")
    expect(items(visit)).to_have_count(0)


def test_a_database_that_never_answers(open_page: Open, base_url: str) -> None:
    visit = sign_up(open_page())
    visit.page.add_init_script("indexedDB.open = () => ({})")
    visit.page.reload()
    item = record(visit, 1)
    expect(item.locator(".note")).to_have_text(
        "The browser has no room to save it: leave this page open until it is sent."
    )
    visit.page.wait_for_timeout(600)
    item.get_by_role("button", name="Send").click()
    ready(item)
    assert record_of(item, base_url)["duration"] >= 1


def test_nothing_plays_while_recording(open_page: Open, wavs: Path) -> None:
    visit = sign_up(open_page())
    page = visit.page
    choose(visit, wavs / "long.wav")
    item = items(visit).first
    ready(item)
    item.locator(".play").click()
    wait_until(page, lambda: seconds_shown(item) > 0.3)
    page.locator("#record").click()
    recorded(page, 1)
    now = seconds_shown(item)
    item.locator(".play").click()
    recorded(page, 2)
    assert seconds_shown(item) == now
    page.locator("#record").click()


@pytest.mark.parametrize("look", [LIGHT, PHONE], ids=["desktop", "phone"])
def test_nothing_jumps(open_page: Open, wavs: Path, look: dict[str, Any]) -> None:
    visit = sign_up(open_page(**look))
    page = visit.page
    choose(visit, wavs / "long.wav")
    item = items(visit).first
    ready(item)

    def places() -> list[Any]:
        page.evaluate("scrollTo(0, 0)")
        return [each.bounding_box() for each in (page.locator(".deck"), page.locator("#choose"), item)]

    before = places()
    item.locator(".play").click()
    wait_until(page, lambda: seconds_shown(item) > 0.3)
    assert places() == before
    item.locator(".play").click()
    page.locator("#record").click()
    recorded(page, 1)
    assert places() == before
    page.locator("#pause").click()
    assert places() == before


# ---- files


def test_other_audio_is_decoded_and_sent_as_wav(open_page: Open, wavs: Path, base_url: str, tmp_path: Path) -> None:
    visit = sign_up(open_page())
    sound, rate = soundfile.read(wavs / "short.wav", dtype="int16")
    soundfile.write(tmp_path / "a.flac", sound, rate)
    soundfile.write(tmp_path / "b.ogg", sound, rate)
    soundfile.write(tmp_path / "c.mp3", sound, rate)
    webm = visit.page.evaluate(
        """async () => {
          const context = new AudioContext();
          const tone = new OscillatorNode(context);
          const end = context.createMediaStreamDestination();
          tone.connect(end);
          tone.start();
          const recorder = new MediaRecorder(end.stream);
          const data = new Promise(resolve => { recorder.ondataavailable = resolve; });
          recorder.start();
          await new Promise(resolve => setTimeout(resolve, 3000));
          recorder.stop();
          return [...new Uint8Array(await (await data).data.arrayBuffer())];
        }"""
    )
    (tmp_path / "d.webm").write_bytes(bytes(webm))
    choose(visit, *(tmp_path / name for name in ("a.flac", "b.ogg", "c.mp3", "d.webm")))
    for name in "abcd":
        ready(named(visit, name))
        found = record_of(named(visit, name), base_url)
        assert (found["name"], found["sample_rate"]) == (f"{name}.wav", 44100)
        assert found["duration"] == pytest.approx(3, abs=0.3), name
        assert found["levels"]["peak_dbfs"] > -10, name
    soundfile.write(tmp_path / "sermon.flac", numpy.zeros(46 * 60 * 8000, "int16"), 8000)
    put(visit, tmp_path / "sermon.flac")
    expect(visit.page.get_by_role("alert")).to_contain_text(
        "“sermon” is longer than 45 minutes. Convert it to WAV first, or cut it into parts.".replace(
            "sermon", "sermon.flac"
        )
    )


def test_a_file_that_is_dropped_does_not_open_in_place_of_the_page(open_page: Open) -> None:
    page = open_page().page
    taken = page.evaluate(
        """() => ['dragover', 'drop'].map(kind => {
          const files = new DataTransfer();
          files.items.add(new File(['x'], 'x.txt'));
          const event = new DragEvent(kind, { dataTransfer: files, bubbles: true, cancelable: true });
          return !document.querySelector('#hero').dispatchEvent(event);
        })"""
    )
    assert taken == [True, True]


def test_leaving_while_sending_is_asked_about(open_page: Open, line: Line, wavs: Path) -> None:
    visit = sign_up(open_page(proxy=line.proxy))
    line.slow(20_000)
    choose(visit, wavs / "short.wav")
    expect(items(visit).first.locator(".amount")).to_be_visible()
    asked: list[str] = []

    def answer(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.accept()

    visit.page.on("dialog", answer)
    line.restore()
    visit.page.reload()
    assert asked == ["beforeunload"]
    ready(items(visit).first)


def test_what_waits_is_sent_when_the_network_is_back(open_page: Open, wavs: Path) -> None:
    visit = sign_up(open_page())
    page = visit.page
    page.evaluate(
        "() => { const set = setTimeout; window.setTimeout = (work, time) => set(work, time > 2500 ? 1e8 : time); }"
    )
    page.context.set_offline(True)
    choose(visit, wavs / "short.wav")
    become(items(visit).first, "retry")
    page.context.set_offline(False)
    ready(items(visit).first)
