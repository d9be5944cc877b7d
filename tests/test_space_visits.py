"""The demo's visits: what is sent and made stays while it is needed, then goes; when full, no more is taken."""

import time
from pathlib import Path

import pytest

from .conftest import noise, write_song
from .space_server import SPACE  # noqa: F401 -- makes the demo's modules importable

gr = pytest.importorskip("gradio")

from job import SeparatedSong, SeparationJob  # noqa: E402
from page import build_page  # noqa: E402
from page_events import PageEvents, Uploads  # noqa: E402
from settings import Settings  # noqa: E402
from starlette.responses import PlainTextResponse  # noqa: E402
from starlette.testclient import TestClient  # noqa: E402
from sweeping import RefusedWhenFull, TemporaryFolder  # noqa: E402

RATE = 16_000
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def events(model, tmp_path) -> PageEvents:
    (tmp_path / "results").mkdir()
    return PageEvents(SeparationJob(model, Settings()), tmp_path / "results")


def separated_for(events: PageEvents, name: str, song: Path, previous: SeparatedSong | None = None) -> SeparatedSong:
    request = gr.Request(session_hash=name)
    given, *_ = events.given(str(song), request)
    *_, (_, _, _, result) = events.separate_for_page(given, previous, request)
    return result


def test_stems_go_with_their_page_and_with_the_next_song(events, tmp_path):
    song = write_song(tmp_path / "song.wav", noise(1, RATE), RATE)
    first = separated_for(events, "page", song)
    assert first.folder.parent == events.root and len(first.folder.name) == 48
    assert first.folder.stat().st_mode & 0o077 == 0
    other = separated_for(events, "other page", song)
    *_, paths = events.separate_for_api(str(song), "wav", gr.Request(session_hash="program"))
    second = separated_for(events, "page", song, previous=first)
    assert not first.folder.exists() and second.folder.exists()
    for name in ("page", "program"):
        events.leave(gr.Request(session_hash=name))
    assert not second.folder.exists() and other.folder.exists()
    assert all(Path(path).exists() for path in paths)


def test_stems_go_with_time(events, model, checkpoint, tmp_path):
    settings = Settings(keep_minutes=2)
    page = build_page(str(checkpoint), model, events.root, settings)
    (state,) = [block for block in page.blocks.values() if getattr(block, "time_to_live", None) == 120]
    song = separated_for(events, "page", write_song(tmp_path / "song.wav", noise(1, RATE), RATE))
    state.delete_callback(song)
    state.delete_callback(None)
    assert not song.folder.exists()


def test_uploads_stay_while_they_wait_and_go_with_the_last_page_that_has_them(tmp_path):
    uploads = Uploads()
    paths = [str(write_song(tmp_path / f"{name}.wav", noise(1, 99), RATE)) for name in "abc"]

    for path in paths:
        uploads.begin_waiting("program", path)
    assert uploads.needed() == {*paths}
    # The second one's turn: the first has been cancelled.
    uploads.end_waiting("program", paths[1])
    assert uploads.needed() == {paths[2]}
    with uploads.in_use(paths[1], "stems"):
        assert uploads.needed() == {*paths[1:], "stems"}
    for page in ("one", "two"):
        uploads.add(page, paths[0])
    uploads.add("one", paths[2])
    uploads.leave("one")
    assert all(Path(path).exists() for path in paths)
    uploads.leave("program")
    uploads.leave("two")
    assert [Path(path).exists() for path in paths] == [False, True, True]
    uploads.leave("nobody")


def test_what_is_old_goes_and_what_waits_or_is_worked_on_stays(tmp_path, monkeypatch):
    results = tmp_path / "results"
    old = {
        name: tmp_path / name for name in ("hash/waiting.wav", "broken/off.wav", "results/now/vocals.wav", "tmp123")
    }
    for path in old.values():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(1000))
    (results / "left").mkdir()
    folder = TemporaryFolder(results, Settings(keep_minutes=1, max_stored_megabytes=0.0041))
    folder.sweep(set())
    assert all(path.exists() for path in old.values())
    assert not folder.is_full() and folder.is_full(101)
    now = time.time()
    monkeypatch.setattr("sweeping.time.time", lambda: now + 120)

    def sweep(*needed: Path) -> set[str]:
        folder.sweep({*map(str, needed)})
        return {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}

    needed = old["hash/waiting.wav"], results / "now"
    assert sweep(*needed) == {"hash/waiting.wav", "results/now/vocals.wav"}
    assert sweep() == set()
    sweep()
    assert [*tmp_path.iterdir()] == [results] and not [*results.iterdir()]


def test_an_upload_that_does_not_say_how_long_it_is_needs_room_for_the_longest(tmp_path):
    folder = TemporaryFolder(tmp_path / "results", Settings(max_megabytes=1, max_stored_megabytes=1.5))
    page = TestClient(RefusedWhenFull(PlainTextResponse("taken"), folder))

    def answers() -> list[int]:
        return [page.post("/upload", content=content).status_code for content in (b"song", iter([b"so", b"ng"]))]

    assert answers() == [200, 200]
    (tmp_path / "song.wav").write_bytes(bytes(600_000))
    assert answers() == [200, 503]


def test_no_song_begins_when_the_folder_is_full_and_nothing_is_left_of_it(model, tmp_path):
    root = tmp_path / "results"
    root.mkdir()
    song = write_song(tmp_path / "song.wav", noise(1, RATE), RATE)
    events = PageEvents(SeparationJob(model, Settings(max_stored_megabytes=0.01)), root)
    with pytest.raises(gr.Error, match="no room for more songs now: please try again in some minutes"):
        separated_for(events, "page", song)
    assert not [*root.iterdir()] and events.uploads.needed() == set()


def test_a_run_of_which_nothing_was_said_means_that_the_queue_was_full(events):
    assert "There are too many visitors now" in events.end("", gr.Request(session_hash="page"))[0]
    assert events.end("Cancelled.", gr.Request(session_hash="page"))[0] == gr.skip()
