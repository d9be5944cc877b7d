"""The page that separates in the visitor's own browser: stems as in Python, and nothing leaves the machine."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from modeling_unet_svs import DEFAULT_CHECKPOINT, UNetSVSModel
from modeling_unet_svs.audio_reading import read_audio
from modeling_unet_svs.command.checkpoint import describe_checkpoint
from modeling_unet_svs.command.torch_runtime import load_checkpoint
from modeling_unet_svs.onnx.runner import OnnxSeparator

from .browsers import WATCH_FRAMES, WIDTHS, assert_accessible, opened_page, served
from .conftest import ROOT, noise, write_song

PAGE = ROOT / "space" / "browser"
EXAMPLE = ROOT / "space" / "examples" / "Synthesised song.ogg"
TOLERANCE = 2e-5
# Of the browser, for a network that has more to do than the page.
PATIENCE_MS = 120_000
RATE = 16_000
FINISHED = ".mixer.ready, #status[role=alert]"


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """The page with the checkpoint that comes along; Python takes no part in it."""
    if "CI" not in os.environ and not (shutil.which("node") and (PAGE / "node_modules").is_dir()):
        pytest.skip("no esbuild and onnxruntime-web: npm ci --prefix space/browser")
    folder = tmp_path_factory.mktemp("page")
    return build_page(folder)


def build_page(*arguments: Path | str) -> Path:
    subprocess.run(["node", "build.mjs", *map(str, arguments)], cwd=PAGE, check=True, timeout=100)
    return arguments[0]


@pytest.fixture(scope="module")
def site(built, checkpoint, tmp_path_factory) -> Iterator[str]:
    """The page with the small network."""
    with served(build_page(tmp_path_factory.mktemp("small page"), checkpoint)) as url:
        yield url


def separate(page, song: Path) -> None:
    page.set_input_files("#song", str(song))
    page.wait_for_selector(FINISHED, timeout=PATIENCE_MS)
    assert page.locator("#status").inner_text() == "Done."


def download(page, stem: str, folder: Path, format: str = "float") -> np.ndarray:
    page.select_option(".format", format)
    with page.expect_download() as saved:
        page.get_by_role("button", name=f"Download {stem}").click()
    path = folder / saved.value.suggested_filename
    saved.value.save_as(path)
    return read_audio(path)[0]


def assert_separated_as_by(page, song: Path, folder: Path, *separators) -> None:
    separate(page, song)
    mixture, rate = read_audio(song)
    stems = {name: download(page, name, folder) for name in separators[0].config.stems}
    for separator in separators:
        for name, expected in separator.separate(mixture, rate).items():
            assert stems[name].shape == expected.shape
            assert np.abs(stems[name] - expected).max() < TOLERANCE
    assert np.abs(sum(stems.values()) - mixture).max() < 1e-6


def test_all_four_runtimes_give_the_same_stems_while_the_page_stays_responsive(browser, built, tmp_path):
    """The checkpoint that comes along: in the browser, in transformers, as a plain module, in ONNX Runtime."""
    model = UNetSVSModel.from_pretrained(DEFAULT_CHECKPOINT).eval()
    # The rate is the network's, so that the browser has nothing to resample.
    excerpt = read_audio(EXAMPLE)[0][:, 200_000:420_000]
    song = write_song(tmp_path / "excerpt.wav", excerpt, model.config.sampling_rate, subtype="float")
    with served(built) as url, opened_page(browser, url) as page:
        page.evaluate(WATCH_FRAMES)
        others = load_checkpoint(DEFAULT_CHECKPOINT), OnnxSeparator(DEFAULT_CHECKPOINT)
        assert_separated_as_by(page, song, tmp_path, model, *others)
        said = page.evaluate("said")
        begin, end = ([each for each in said if each["text"] == text][0] for text in ("Separating…", "Done."))
        # A page that does the work itself does not paint until it is done.
        assert end["frames"] - begin["frames"] > 10, f"longest time without a frame: {end['longest']} ms"


def test_songs_of_any_length_and_channels_are_separated_as_in_python(browser, site, model, tmp_path):
    with opened_page(browser, f"{site}?device=wasm") as page:
        for index, (num_channels, num_samples) in enumerate([(2, 12 * RATE), (1, 50_001), (5, 2_000), (2, 1)]):
            song = write_song(tmp_path / f"{index}.wav", noise(num_channels, num_samples), RATE, subtype="float")
            assert_separated_as_by(page, song, tmp_path, model)


@pytest.mark.parametrize("width, theme", list(zip(WIDTHS, ("light", "dark"))))
def test_a_visitor_separates_and_listens(browser, site, tmp_path, width, theme):
    song = write_song(tmp_path / "A song & its name.flac", noise(2, 3 * RATE), RATE)
    with opened_page(browser, site, width, theme) as page:
        assert page.locator("#cancel").is_hidden()
        separate(page, song)
        assert page.locator(".mixer .title").inner_text() == "A song & its name"
        assert not page.locator(".pictures").is_visible()
        assert "1 thread" in page.locator("#runtime").inner_text()
        assert page.evaluate("document.documentElement.scrollWidth") <= WIDTHS[width][0]
        assert_accessible(page, ("body",))
        page.click(".play")
        page.wait_for_selector(".play.playing")
        page.wait_for_selector(".position:not(:text-is('0:00.0'))")
        page.get_by_role("button", name="Mute vocals").click()
        assert page.evaluate("unetSvsMixer.levels.gain(0)") == 0


def test_the_mix_is_made_in_another_tempo_under_the_page_s_own_security_policy(browser, site, tmp_path):
    song = write_song(tmp_path / "song.flac", noise(2, 3 * RATE), RATE)
    with opened_page(browser, site) as page:
        separate(page, song)
        stems = [download(page, name, tmp_path) for name in ("vocals", "accompaniment")]
        assert np.abs(download(page, "this mix", tmp_path) - sum(stems)).max() < 1e-7
        page.locator(".tempo").fill("75")
        page.evaluate("unetSvsMixer.transport.loading")
        page.click(".play")
        page.wait_for_selector(".play.playing")
        assert page.evaluate("unetSvsMixer.transport.heard.tempo") == 0.75
        assert download(page, "this mix", tmp_path).shape == (2, 4 * RATE)
        assert (tmp_path / "song (mix, tempo 75).wav").exists()


def test_the_first_lines_say_what_becomes_of_a_song_and_for_what_the_model_may_be_used(browser, built, site):
    licence = dict(describe_checkpoint(DEFAULT_CHECKPOINT))["licence"]
    with served(built) as url, opened_page(browser, url) as page:
        said = page.locator("header").inner_text()
        assert "Nothing is uploaded, and nothing is kept when you close this page. At most 15 minutes and" in said
        assert f"Licence of the model: {licence}." in said
    with opened_page(browser, site) as page:
        assert "Licence of the model: not said." in page.locator("header").inner_text()


def test_a_link_to_the_page_shows_what_it_is(built, checkpoint, tmp_path):
    placed = build_page(tmp_path, checkpoint, "https://example.com/songs/")
    for folder, image in ((built, "preview.png"), (placed, "https://example.com/songs/preview.png")):
        page = (folder / "index.html").read_text()
        assert f'<meta property="og:image" content="{image}" />' in page and "<!--" not in page.split("<body>")[1]
        assert '<meta property="og:title" content="Take a song apart on your own computer" />' in page
        assert (folder / "preview.png").stat().st_size < 200_000


def test_the_demo_has_the_stretcher_as_npm_has_it():
    folder = PAGE / "node_modules" / "signalsmith-stretch"
    if "CI" not in os.environ and not folder.is_dir():
        pytest.skip("no signalsmith-stretch: npm ci --prefix space/browser")
    served_by_demo = (ROOT / "space" / "static" / "signalsmith-stretch.js").read_text("utf-8")
    licence, code = served_by_demo.split("*/\n", 1)
    assert code == (folder / "SignalsmithStretch.mjs").read_text("utf-8")
    assert json.loads((folder / "package.json").read_text())["version"] in licence and "MIT License" in licence


def test_sixteen_bits_do_not_clip(browser, site, tmp_path):
    loud = noise(2, RATE, level=1.0)
    song = write_song(tmp_path / "loud.wav", loud, RATE, subtype="float")
    with opened_page(browser, site) as page:
        separate(page, song)
        stems = [download(page, name, tmp_path, "16") for name in ("vocals", "accompaniment")]
        scale = float(page.locator("#status").inner_text().split(" at ")[1].split()[0])
    assert scale < 1 and max(np.abs(stem).max() for stem in stems) == pytest.approx(1, abs=1e-3)
    assert np.abs(sum(stems) - scale * loud).max() < 2e-3


def test_a_separation_is_cancelled_and_the_page_goes_on(browser, site, tmp_path):
    long = write_song(tmp_path / "long.flac", noise(2, 600 * RATE), RATE)
    with opened_page(browser, site) as page:
        page.set_input_files("#song", str(long))
        page.wait_for_selector("#status progress[value]")
        assert "of 10:00, " in page.locator("#status").inner_text()
        page.click("#cancel")
        page.wait_for_selector("#status :text('Cancelled.')")
        separate(page, write_song(tmp_path / "short.wav", noise(1, RATE), RATE))


def test_what_cannot_be_separated_is_said_in_plain_words(browser, site, tmp_path):
    letters = tmp_path / "letters.mp3"
    letters.write_text("la la la")
    endless = write_song(tmp_path / "endless.flac", np.zeros((1, 901 * 8_000), np.float32), 8_000)
    with opened_page(browser, site) as page:
        for song, message in (
            (letters, "letters.mp3 is not an audio file that this browser can read"),
            (endless, "endless.flac lasts 15:01 (minutes:seconds), and 15 minutes are the limit here"),
        ):
            page.set_input_files("#song", str(song))
            page.wait_for_selector(f"#status[role=alert] :text('{message}')")
            assert_accessible(page, ("main",))
        page.click("#example")
        page.wait_for_selector(".mixer.ready", timeout=PATIENCE_MS)
        assert page.locator(".mixer .title").inner_text() == "Synthesised song"


def test_the_demo_serves_the_page_and_links_to_it_where_it_was_built(built, site, tmp_path, monkeypatch):
    pytest.importorskip("gradio")
    from starlette.applications import Starlette
    from starlette.testclient import TestClient

    from . import space_server  # noqa: F401 -- puts the demo's folder on the path

    from page import browser_page_html, browser_page_routes  # isort: skip

    monkeypatch.setattr("page.BROWSER_PAGE", tmp_path)
    assert browser_page_html() == "" and browser_page_routes() == []
    monkeypatch.setattr("page.BROWSER_PAGE", built)
    assert "href='browser/'" in browser_page_html()
    answer = TestClient(Starlette(routes=browser_page_routes())).get("/browser/")
    assert "Take a song apart" in answer.text
    # Without these two a browser gives the network one thread.
    assert answer.headers["cross-origin-opener-policy"] == "same-origin"
    assert answer.headers["cross-origin-embedder-policy"] == "require-corp"
