"""The page as a visitor has it: a real browser, at the width of a desk and of a phone, in light and in dark."""

import base64
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import pytest

from modeling_unet_svs.audio_reading import read_audio

from .browsers import WIDTHS, assert_accessible, opened_page
from .conftest import noise, write_song
from .test_space_api import wait_until

pytest.importorskip("gradio")

RATE = 16_000
SECONDS = 12
OURS = (".unet-svs-header", "#status", ".mixer", "#checkpoint")
# Half of what a gain may be off for the ear to notice nothing.
GAIN = 1e-3
# Takes what both sources give at the same moment, and looks where in their buffers it is.
HEARD = """async () => {
  const { context, stems } = unetSvsMixer.transport;
  const merger = context.createChannelMerger(stems.length);
  stems.forEach((stem, index) => stem.fade.connect(merger, 0, index));
  const tap = context.createScriptProcessor(1024, stems.length, 1);
  const block = await new Promise((resolve) => {
    let count = 0;
    tap.onaudioprocess = ({ inputBuffer }) => {
      count += 1;
      if (count === 20) resolve(stems.map((_, index) => inputBuffer.getChannelData(index).slice()));
    };
    merger.connect(tap).connect(context.destination);
  });
  tap.disconnect();
  return stems.map(({ buffer }, index) => {
    const [left, right] = [buffer.getChannelData(0), buffer.getChannelData(buffer.numberOfChannels - 1)];
    let [best, least] = [-1, Infinity];
    for (let start = 0; start + 64 <= left.length; start++) {
      let error = 0;
      for (let i = 0; i < 64 && error < least; i++) {
        error += Math.abs((left[start + i] + right[start + i]) / 2 - block[index][i]);
      }
      if (error < least) [best, least] = [start, error];
    }
    return { sample: best, error: least / 64 };
  });
}"""
# Width or height below that of a fingertip.
SMALL_TARGETS = """[...document.querySelectorAll('#given > button, .mixer :is(button, select, summary, input)')]
  .filter((element) => element.offsetHeight && Math.min(element.offsetHeight, element.offsetWidth) < 44)
  .map((element) => element.className || element.id)"""


@pytest.fixture(scope="module")
def song(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("songs")
    return write_song(folder / "A song & its name.wav", noise(2, SECONDS * RATE), RATE)


@contextmanager
def opened(browser, demo, width: str = "desktop", theme: str = "light") -> Iterator:
    with opened_page(browser, f"{demo.url}/?__theme={theme}", width, theme) as page:
        page.wait_for_selector("#song input[type=file]", state="attached")
        yield page


def upload(page, song: Path) -> None:
    """Which begins its separation."""
    page.set_input_files("#song input[type=file]", str(song))


def take_apart(page, song: Path) -> None:
    upload(page, song)
    page.wait_for_selector(f".mixer.ready .title:text-is('{song.stem}')")


def start_long_song(page, folder: Path) -> None:
    upload(page, write_song(folder / "long.flac", noise(1, 800 * 8_000), 8_000))
    page.wait_for_selector("#status progress[value]")


@pytest.fixture
def page(browser, demo, song):
    """On which the song has been taken apart."""
    with opened(browser, demo) as page:
        take_apart(page, song)
        yield page


def wait_for_gains(page, vocals: float, accompaniment: float) -> None:
    """Of the audio graph itself, which follows within milliseconds."""
    page.wait_for_function(
        "([expected, off]) => unetSvsMixer.transport.stems.every("
        "(stem, index) => Math.abs(stem.gain.gain.value - expected[index]) < off)",
        arg=[[vocals, accompaniment], GAIN],
    )


def assert_mixer_in_sight(page) -> None:
    top, bottom = page.evaluate(
        "[document.querySelector('.mixer .title').getBoundingClientRect().top,"
        " document.querySelector('.saves').getBoundingClientRect().bottom]"
    )
    assert top > -1 and bottom <= page.viewport_size["height"]
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]


def position(page) -> float:
    return page.evaluate("unetSvsMixer.transport.position()")


def assert_heard_together(page, earliest: float, latest: float) -> None:
    heard = page.evaluate(HEARD)
    assert max(found["error"] for found in heard) < 1e-5
    samples = [found["sample"] for found in heard]
    assert max(samples) - min(samples) <= 1
    assert earliest * RATE <= samples[0] <= latest * RATE


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_a_visitor_takes_a_song_apart_and_plays_with_it(browser, demo, song, width, theme):
    with opened(browser, demo, width, theme) as page:
        assert page.evaluate("document.body.classList.contains('dark')") == (theme == "dark")
        take_apart(page, song)
        assert page.locator(".mixer .title").inner_text() == "A song & its name"
        page.click(".play")
        page.wait_for_function("unetSvsMixer.transport.position() > 0.2")
        wait_for_gains(page, 1, 1)

        karaoke = page.locator(".karaoke")
        karaoke.focus()
        for key, gains, said in (("Home", (1, 0), "voice only"), ("End", (0, 1), "no voice")):
            page.keyboard.press(key)
            wait_for_gains(page, *gains)
            assert karaoke.get_attribute("aria-valuetext") == said
        for value, gain in (("50", 0.5), ("0", 1)):
            karaoke.fill(value)
            wait_for_gains(page, gain, 1)

        vocals, accompaniment = (page.get_by_role("group", name=name) for name in ("vocals", "accompaniment"))
        mute, solo = vocals.get_by_role("button", name="Mute"), accompaniment.get_by_role("button", name="Solo")
        mute.click()
        wait_for_gains(page, 0, 1)
        mute.click()
        solo.click()
        wait_for_gains(page, 0, 1)
        assert solo.get_attribute("aria-pressed") == "true"
        solo.click()
        accompaniment.get_by_role("slider").fill("25")
        wait_for_gains(page, 1, 0.25)

        page.locator(".strip canvas").first.click(position={"x": 150, "y": 20})
        share = 150 / page.locator(".strip .lane").first.bounding_box()["width"]
        assert_heard_together(page, share * SECONDS, share * SECONDS + 3)
        page.click(".play")
        assert not page.evaluate("unetSvsMixer.transport.playing")

        # Everything is inside the window, the whole mixer without scrolling, and the pictures are there.
        assert page.evaluate("document.documentElement.scrollWidth") <= WIDTHS[width][0]
        assert_mixer_in_sight(page)
        assert page.locator(".mixer img").count() == 4
        assert page.evaluate("[...document.querySelectorAll('.mixer img')].every((image) => image.naturalWidth > 99)")
        page.click("text=About the model")
        # As wide as the names of scores are.
        page.locator("#checkpoint th").first.evaluate("cell => cell.textContent = 'accompaniment NSDR, mean in dB, 1'")
        assert page.evaluate("[...document.querySelectorAll('#checkpoint td')].every((cell) => cell.clientWidth > 99)")
        assert_accessible(page, OURS)


@pytest.mark.parametrize("size", [(1280, 720), (390, 844), (320, 844)])
def test_the_mixer_is_in_sight_and_large_enough_for_fingers_when_a_song_is_done(browser, demo, song, size):
    with opened(browser, demo, "phone" if size[0] < 1000 else "desktop") as page:
        page.set_viewport_size(dict(zip(("width", "height"), size)))
        take_apart(page, song)
        assert_mixer_in_sight(page)
        assert page.evaluate("document.activeElement.className") == "play"
        if size[0] < 1000:
            assert page.evaluate(SMALL_TARGETS) == []


def test_a_link_to_the_page_shows_what_it_is(demo):
    page = urlopen(f"{demo.url}/").read().decode()
    for name, said in (
        ("title", "Take a song apart"),
        ("description", "The voice and the accompaniment of any song, to play with in one mixer and to keep."),
        ("image", f"{demo.url}/mixer/preview.png"),
    ):
        assert re.findall(f'"og:{name}"\\s+content="(.*?)"', page) == [said]
    picture = urlopen(f"{demo.url}/mixer/preview.png")
    assert picture.headers["content-type"] == "image/png" and len(picture.read()) < 200_000


def test_a_song_that_is_dropped_takes_the_place_of_the_one_before_it(browser, demo, song, tmp_path):
    with opened(browser, demo) as page:
        start_long_song(page, tmp_path)
        data = page.evaluate_handle(
            "async ([bytes, name]) => { const files = new DataTransfer();"
            "files.items.add(new File([Uint8Array.from(atob(bytes), (c) => c.charCodeAt(0))], name)); return files; }",
            [base64.b64encode(song.read_bytes()).decode(), song.name],
        )
        page.dispatch_event("#status", "drop", {"dataTransfer": data})
        page.wait_for_selector(f".mixer.ready .title:text-is('{song.stem}')")
        # Of the first song nothing is left.
        assert wait_until(lambda: len(demo.results) == 1)


def test_seek_loop_and_end_keep_the_stems_together_within_one_sample(page):
    page.click(".play")
    for seconds in (7.3, 0.0, 3.00001):
        page.evaluate("seconds => unetSvsMixer.transport.seek(seconds)", seconds)
        assert_heard_together(page, seconds, seconds + 3)
    # A region of a quarter of a second is repeated many times while it is listened to.
    page.evaluate("unetSvsMixer.transport.setLoop(true, 5, 5.25)")
    assert_heard_together(page, 4.9, 5.25)
    assert 5 <= position(page) < 5.25
    page.evaluate("unetSvsMixer.transport.setLoop(false)")
    page.evaluate("seconds => unetSvsMixer.transport.seek(seconds)", SECONDS - 0.3)
    page.wait_for_function("!unetSvsMixer.transport.playing")
    assert position(page) == pytest.approx(SECONDS)
    page.click(".play")
    assert_heard_together(page, 0, 3)


def test_a_region_is_dragged_and_repeated(page):
    page.locator(".strip .lane").first.scroll_into_view_if_needed()
    box = page.locator(".strip .lane").first.bounding_box()
    page.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 20, steps=4)
    page.mouse.up()
    loop = page.evaluate("unetSvsMixer.transport.loop")
    assert loop["on"] and [loop["start"], loop["end"]] == pytest.approx([3, 6], abs=0.05)
    assert page.locator(".loop").get_attribute("aria-pressed") == "true"
    assert position(page) == pytest.approx(3, abs=0.05)
    page.click(".loop")
    assert not page.evaluate("unetSvsMixer.transport.loop.on")


def test_the_keyboard_does_what_the_mouse_does(page):
    page.locator(".seek").focus()
    page.keyboard.press("Space")
    page.wait_for_function("unetSvsMixer.transport.playing")
    page.keyboard.press("1")
    wait_for_gains(page, 0, 1)
    page.keyboard.press("1")
    page.keyboard.press("Shift+1")
    wait_for_gains(page, 1, 0)
    page.keyboard.press("k")
    assert not page.evaluate("unetSvsMixer.transport.playing")
    page.keyboard.press("0")
    assert position(page) == 0
    page.keyboard.press("l")
    assert position(page) == 5
    page.keyboard.press("[")
    page.keyboard.press("l")
    page.keyboard.press("]")
    assert page.evaluate("unetSvsMixer.transport.loop") == {"on": True, "start": 5, "end": 10}
    page.keyboard.press("r")
    page.keyboard.press("j")
    assert position(page) == 5 and not page.evaluate("unetSvsMixer.transport.loop.on")
    page.keyboard.press("End")
    assert position(page) == pytest.approx(SECONDS)


def test_downloads_are_what_was_asked_for(page, song, tmp_path):
    for which, format, name in (
        ("vocals", "flac", "A song & its name - vocals.flac"),
        ("accompaniment", "mp3", "A song & its name - accompaniment.mp3"),
        ("all stems as a zip", "wav", "A song & its name - stems (wav).zip"),
        ("all stems as a zip", "wav", "A song & its name - stems (wav).zip"),
    ):
        page.select_option(".format", format)
        with page.expect_download() as download:
            page.get_by_role("button", name=f"Download {which}").click()
        assert download.value.suggested_filename == name
        download.value.save_as(tmp_path / name)
    assert read_audio(tmp_path / "A song & its name - vocals.flac")[0].shape == (2, SECONDS * RATE)
    with zipfile.ZipFile(tmp_path / name) as archive:
        archive.extractall(tmp_path)
    stems = [read_audio(tmp_path / f"A song & its name - {stem}.wav")[0] for stem in ("vocals", "accompaniment")]
    assert np.abs(sum(stems) - read_audio(song)[0]).max() <= 2.0**-14


def save_mix(page, folder: Path) -> np.ndarray:
    with page.expect_download() as download:
        page.get_by_role("button", name="Download this mix").click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    page.wait_for_selector(f".saved:text-is('{path.name} is saved.')")
    return read_audio(path)[0]


def test_the_mix_is_saved_as_it_sounds_to_the_last_bit(page, song, tmp_path):
    bits = 2.0**-23
    # The browser decodes positive samples of 16 bits as if 1 were 2 ** 15 - 1.
    mix = save_mix(page, tmp_path)
    assert np.abs(mix - read_audio(song)[0]).max() <= 2.0**-14
    stems = {}
    for stem, key in (("vocals", "Home"), ("accompaniment", "End")):
        page.locator(".karaoke").focus()
        page.keyboard.press(key)
        stems[stem] = save_mix(page, tmp_path)
    assert np.abs(sum(stems.values()) - mix).max() <= bits
    page.locator(".karaoke").fill("-40")
    page.get_by_role("group", name="vocals").get_by_role("slider").fill("50")
    page.evaluate("unetSvsMixer.transport.setLoop(true, 3, 5.5)")
    region = save_mix(page, tmp_path)
    expected = 0.5 * stems["vocals"] + 0.6 * stems["accompaniment"]
    assert np.abs(region - expected[:, 3 * RATE : 5 * RATE + RATE // 2]).max() <= bits
    assert (tmp_path / "A song & its name (mix, loop).wav").exists()


def test_what_is_no_song_is_said_in_plain_words_and_the_page_goes_on(browser, demo, song, tmp_path):
    text = tmp_path / "letters.mp3"
    text.write_text("la la la")
    with opened(browser, demo) as page:
        upload(page, text)
        page.wait_for_selector("#status [role=alert]:has-text('letters.mp3 is not an audio file')")
        # In one place, and nothing is left to cancel.
        page.wait_for_selector("#cancel", state="hidden")
        assert page.locator("[data-testid=toast-body]").count() == 0
        assert_accessible(page, ("#status",))
        take_apart(page, song)


def test_a_separation_is_cancelled_and_the_page_goes_on(browser, demo, song, tmp_path):
    with opened(browser, demo) as page:
        start_long_song(page, tmp_path)
        assert "of 13:20, " in page.locator("#status").inner_text()
        assert_accessible(page, ("#status",))
        with opened(browser, demo) as other:
            upload(other, song)
            other.wait_for_selector("#status :text('queue: 1/1')")
            assert other.locator("#status p").inner_text() == "Waiting for its turn…"
            assert_accessible(other, ("#status",))
            other.click("#cancel")
            other.wait_for_selector("#status :text('Cancelled.')")
            other.wait_for_selector("#cancel", state="hidden")
        page.click("#cancel")
        page.wait_for_selector("#status :text('Cancelled.')")
        assert wait_until(lambda: demo.results == [])
        take_apart(page, song)


def test_the_example_is_one_click_away(browser, demo):
    with opened(browser, demo) as page:
        page.click("#example")
        page.wait_for_selector(".mixer.ready .title:text-is('Synthesised song')")


def test_what_is_recorded_is_taken_apart(browser, demo):
    with opened(browser, demo) as page:
        page.click("#record")
        page.get_by_role("button", name="Record", exact=True).nth(1).click()
        page.wait_for_timeout(2_000)
        page.get_by_role("button", name="Stop", exact=True).click()
        page.wait_for_selector(".mixer.ready")
        assert page.evaluate("unetSvsMixer.transport.duration") > 1


def test_song_and_stems_go_when_the_page_is_closed(page, demo, song):
    assert len(demo.results) >= 1 and list(demo.folder.rglob(song.name))
    page.close()
    assert wait_until(lambda: demo.results == [] and not list(demo.folder.rglob(song.name)))


def test_a_page_that_is_closed_stops_its_separation(browser, demo, song, tmp_path):
    with opened(browser, demo) as page:
        start_long_song(page, tmp_path)
        page.close()
        assert wait_until(lambda: demo.results == [])
    with opened(browser, demo) as page:
        take_apart(page, song)
