"""Key and tempo in the mixer: heard by a real browser, in a song whose tone says where in the song one is."""

from pathlib import Path

import numpy as np
import pytest

from .conftest import write_song
from .test_space_browser import RATE, SECONDS, assert_heard_together, opened, position, save_mix, take_apart

pytest.importorskip("gradio")

LOWEST_HZ, HZ_PER_SECOND = 300, 100
# A block is that long, and the stretcher's a little shorter.
NEAR_SECONDS = 0.35
LIBRARY = "signalsmith-stretch.js"
# Takes what both stems give together, and where the transport is meanwhile.
LISTEN = """async () => {
  const { transport } = unetSvsMixer;
  const tap = transport.context.createScriptProcessor(4096, 1, 1);
  for (const { gain } of transport.stems) gain.connect(tap);
  const heard = await new Promise((resolve) => {
    let count = 0;
    tap.onaudioprocess = ({ inputBuffer }) => {
      count += 1;
      if (count === 4) resolve({ position: transport.position(), samples: [...inputBuffer.getChannelData(0)] });
    };
    tap.connect(transport.context.destination);
  });
  for (const { gain } of transport.stems) gain.disconnect(tap);
  tap.disconnect();
  return heard;
}"""


@pytest.fixture(scope="module")
def song(tmp_path_factory) -> Path:
    seconds = np.arange(SECONDS * RATE) / RATE
    tone = 0.3 * np.sin(2 * np.pi * (LOWEST_HZ + HZ_PER_SECOND * seconds / 2) * seconds)
    return write_song(tmp_path_factory.mktemp("songs") / "rising.wav", np.stack([tone, tone]), RATE)


@pytest.fixture
def page(browser, demo, song):
    with opened(browser, demo) as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        take_apart(page, song)
        page.click(".play")
        page.wait_for_function("unetSvsMixer.transport.position() > 0.1")
        # Who changes neither has nothing to load.
        assert not [url for url in asked if LIBRARY in url]
        yield page


def seconds_of(samples: np.ndarray, semitones: int) -> float:
    """Where in the song its tone is heard."""
    windowed = np.asarray(samples) * np.hanning(len(samples))
    loudest = np.abs(np.fft.rfft(windowed, 8 * len(samples))).argmax() * RATE / (8 * len(samples))
    return (loudest / 2 ** (semitones / 12) - LOWEST_HZ) / HZ_PER_SECOND


def change(page, semitones: int, percent: int) -> None:
    page.locator(".key").fill(str(semitones))
    page.locator(".tempo").fill(str(percent))
    page.wait_for_function(
        "([semitones, tempo]) => unetSvsMixer.transport.heard.semitones === semitones"
        " && unetSvsMixer.transport.heard.tempo === tempo",
        arg=[semitones, percent / 100],
    )


def assert_heard(page, semitones: int, earliest: float, latest: float, near: float = NEAR_SECONDS) -> None:
    heard = page.evaluate(LISTEN)
    assert earliest <= heard["position"] <= latest
    assert seconds_of(heard["samples"], semitones) == pytest.approx(heard["position"], abs=near)


def pace(page) -> float:
    """Seconds of the song in a second."""
    times = "[unetSvsMixer.transport.position(), unetSvsMixer.transport.context.currentTime]"
    before = page.evaluate(times)
    page.wait_for_timeout(700)
    after = page.evaluate(times)
    return (after[0] - before[0]) / (after[1] - before[1])


def test_key_and_tempo_are_heard_where_the_mixer_says(page):
    for semitones, percent in ((6, 100), (0, 50), (-6, 150), (3, 80)):
        page.evaluate("unetSvsMixer.transport.seek(3)")
        change(page, semitones, percent)
        assert_heard(page, semitones, 3, 7)
        assert pace(page) == pytest.approx(percent / 100, abs=0.02)
    page.evaluate("unetSvsMixer.transport.seek(8.5)")
    assert_heard(page, 3, 8.5, 11)
    page.evaluate("unetSvsMixer.transport.setLoop(true, 5, 5.5)")
    for _ in range(3):
        # What is heard may be of the time before, where the region ended.
        assert_heard(page, 3, 5, 5.5, near=0.55)
    page.evaluate("unetSvsMixer.transport.setLoop(false)")
    page.evaluate("seconds => unetSvsMixer.transport.seek(seconds)", SECONDS - 0.3)
    page.wait_for_function("!unetSvsMixer.transport.playing")
    assert position(page) == pytest.approx(SECONDS)
    # And again from the beginning, in the same key.
    page.click(".play")
    assert_heard(page, 3, 0.3, 3)


def test_without_change_every_sample_is_as_it_is_again(page):
    change(page, 2, 90)
    assert page.locator(".key").get_attribute("aria-valuetext") == "2 semitones up"
    assert page.locator(".tempo").get_attribute("aria-valuetext") == "90 percent"
    for slider in (".key", ".tempo"):
        page.locator(slider).dblclick()
    page.wait_for_function("unetSvsMixer.transport.heard.tempo === 1 && !unetSvsMixer.transport.heard.semitones")
    page.evaluate("unetSvsMixer.transport.seek(4)")
    assert_heard_together(page, 4, 7)


def test_the_mix_has_the_key_and_the_tempo_that_are_heard(page, tmp_path):
    change(page, -3, 150)
    page.evaluate("unetSvsMixer.transport.setLoop(true, 2, 11)")
    mix = save_mix(page, tmp_path)
    assert (tmp_path / "rising (mix, loop, key -3, tempo 150).wav").exists()
    assert mix.shape == (2, 6 * RATE)
    for start in range(0, mix.shape[1] - 2048, 4096):
        middle = (start + 1024) / RATE
        assert seconds_of(mix[0, start : start + 2048], -3) == pytest.approx(2 + 1.5 * middle, abs=0.1)


def test_what_cannot_be_loaded_is_said_and_the_song_goes_on(page):
    page.context.route(f"**/{LIBRARY}", lambda route: route.fulfill(body="", content_type="text/javascript"))
    page.locator(".tempo").fill("70")
    page.wait_for_selector(".saved:has-text('Key and tempo cannot be changed.')")
    assert page.locator(".tempo").input_value() == "100"
    page.evaluate("unetSvsMixer.transport.seek(4)")
    assert_heard_together(page, 4, 7)
