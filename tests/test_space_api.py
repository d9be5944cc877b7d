"""The demo's API: a whole song in, its stems out, for many at a time, and plain words for what is no song."""

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import urlopen

import httpx
import numpy as np
import pytest

from modeling_unet_svs.audio_reading import read_audio

from .conftest import noise, write_song
from .space_server import Server, running_demo

pytest.importorskip("gradio")
from gradio_client import Client, handle_file  # noqa: E402
from gradio_client.exceptions import AppError  # noqa: E402
from gradio_client.utils import QueueError  # noqa: E402

RATE = 44_100
NUM_CLIENTS = 16
# A song of 30 s, its stems and what they are made of take about 50 MB each where they are held as a whole.
SONG_SECONDS, MAX_MORE_MEMORY = 30, 400e6
WAIT_SECONDS = 60


@pytest.fixture(scope="module")
def demo(checkpoint, tmp_path_factory):
    folder = tmp_path_factory.mktemp("api")
    limits = {"UNET_SVS_MAX_MINUTES": "12", "UNET_SVS_MAX_MEGABYTES": "30"}
    with running_demo(checkpoint, folder, uploaded=True, **limits) as server:
        yield server


def connect(demo: Server, folder: Path) -> Client:
    return Client(demo.url, download_files=str(folder), verbose=False)


def wait_until(condition) -> bool:
    """Polls, because another process has to get there."""
    for _ in range(WAIT_SECONDS * 10):
        if condition():
            return True
        time.sleep(0.1)
    return False


def test_one_name_is_public(demo, tmp_path):
    api = connect(demo, tmp_path).view_api(return_format="dict")
    assert list(api["named_endpoints"]) == ["/separate"] and not api["unnamed_endpoints"]
    endpoint = api["named_endpoints"]["/separate"]
    assert [parameter["parameter_name"] for parameter in endpoint["parameters"]] == ["song", "format"]
    assert [output["label"] for output in endpoint["returns"]] == ["vocals", "accompaniment"]


@pytest.mark.parametrize("format", ["wav", "flac", "mp3"])
def test_a_whole_song_comes_back_as_stems_that_add_up_to_it(demo, tmp_path, format):
    mixture = noise(2, 8 * RATE + 123)
    song = write_song(tmp_path / "My song (live).flac", mixture, RATE)
    arguments = () if format == "wav" else (format,)
    paths = connect(demo, tmp_path).predict(handle_file(song), *arguments, api_name="/separate")
    assert [Path(path).suffix for path in paths] == [f".{format}"] * 2
    assert [Path(path).stem.split(" - ")[-1] for path in paths] == ["vocals", "accompaniment"]
    stems, rates = zip(*map(read_audio, paths))
    assert (rates, [stem.shape for stem in stems]) == ((RATE, RATE), [mixture.shape] * 2)
    error = np.abs(sum(stems) - read_audio(song)[0])
    assert error.max() <= 2.0**-14 if format != "mp3" else error.mean() < 0.02
    assert min(np.abs(stem).max() for stem in stems) > 0.01


def test_what_is_no_song_is_answered_in_one_sentence(demo, tmp_path):
    client = connect(demo, tmp_path)
    text = tmp_path / "notes.txt"
    text.write_text("la la la")
    for path, sentence in {
        text: "notes.txt is not an audio file of a known format",
        write_song(tmp_path / "nothing.wav", np.zeros((1, RATE)), RATE): "nothing.wav is silent",
        write_song(tmp_path / "long.flac", np.zeros((1, 800 * 8_000)), 8_000): "long.flac lasts 13:20",
    }.items():
        with pytest.raises(AppError) as caught:
            client.predict(handle_file(path), api_name="/separate")
        assert str(caught.value).startswith(sentence) and "Traceback" not in str(caught.value)
    with pytest.raises(AppError, match="There is no song yet"):
        client.predict(None, api_name="/separate")
    assert "Traceback" not in demo.log.read_text()
    assert wait_until(lambda: not any(list(folder.iterdir()) == [] for folder in demo.results))


def test_a_file_that_is_too_big_is_not_even_taken(demo):
    """By the server, whatever the client says."""
    with httpx.Client(base_url=demo.url) as client:
        answer = client.post("/gradio_api/upload", files={"files": ("big.wav", bytes(31_000_000))})
    assert answer.status_code == 413
    assert not [path for path in demo.folder.rglob("*") if path.is_file() and path.stat().st_size > 29_000_000]


def test_web_addresses_are_refused_and_never_fetched(demo, tmp_path):
    asked = []

    class Noted(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)

    server = HTTPServer(("127.0.0.1", 0), Noted)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}/song.wav"
    try:
        with pytest.raises(httpx.HTTPStatusError, match="400 Bad Request"):
            connect(demo, tmp_path).predict(
                {"path": address, "url": address, "meta": {"_type": "gradio.FileData"}}, api_name="/separate"
            )
    finally:
        server.shutdown()
        server.server_close()
    log = demo.log.read_text()
    assert asked == [] and "Web addresses are not fetched here" in log and "Traceback" not in log


def test_files_of_the_server_and_of_others_are_out_of_reach(demo, tmp_path):
    song = write_song(tmp_path / "mine.wav", noise(1, RATE), RATE)
    client = connect(demo, tmp_path)
    client.predict(handle_file(song), api_name="/separate")
    foreign = {"path": str(demo.log), "meta": {"_type": "gradio.FileData"}}
    with pytest.raises(AppError):
        client.predict(foreign, api_name="/separate")
    for path in (demo.log, demo.folder, demo.folder / "results", demo.results[-1]):
        with pytest.raises(HTTPError) as caught:
            urlopen(f"{demo.url}/gradio_api/file={quote(str(path))}")
        assert caught.value.code in (403, 404)


def test_a_cancelled_song_leaves_nothing_and_the_next_one_is_separated(demo, tmp_path):
    client = connect(demo, tmp_path)
    before = set(demo.results)
    long = write_song(tmp_path / "long.flac", noise(1, 700 * 8_000), 8_000)
    job = client.submit(handle_file(long), api_name="/separate")
    assert wait_until(lambda: job.outputs())
    assert not job.done() and set(demo.results) > before
    job.cancel()
    assert wait_until(lambda: set(demo.results) == before)
    short = write_song(tmp_path / "short.wav", noise(1, 8_000), 8_000)
    assert len(client.predict(handle_file(short), api_name="/separate")) == 2


@pytest.fixture
def busy_demo(checkpoint, tmp_path_factory):
    """Two may wait, and what is two seconds old is deleted."""
    limits = {"UNET_SVS_QUEUE_SIZE": "2", "UNET_SVS_KEEP_MINUTES": "0.034", "UNET_SVS_MAX_MINUTES": "60"}
    with running_demo(checkpoint, tmp_path_factory.mktemp("busy"), **limits) as server:
        yield server


def test_songs_wait_in_order_for_longer_than_uploads_are_kept_and_one_too_many_is_refused(busy_demo, tmp_path):
    hour = np.zeros((1, 59 * 60 * 8_000), np.float32)
    hour[:, :8_000] = noise(1, 8_000)
    long = handle_file(write_song(tmp_path / "long.flac", hour, 8_000))
    short = [handle_file(write_song(tmp_path / f"{name}.wav", noise(1, 8_000), 8_000)) for name in "abc"]
    # A client each: Gradio cancels all songs of one.
    clients = [connect(busy_demo, tmp_path) for _ in range(3)]
    running = clients[0].submit(long, api_name="/separate")
    assert wait_until(lambda: running.outputs())
    first = clients[1].submit(short[0], api_name="/separate")
    assert wait_until(lambda: first.status().rank == 0)
    second = clients[2].submit(short[1], api_name="/separate")
    assert wait_until(lambda: second.status().rank == 1)
    with pytest.raises(QueueError, match="Queue is full"):
        connect(busy_demo, tmp_path).predict(short[2], api_name="/separate")

    def uploads() -> set[str]:
        return {path.name for path in busy_demo.folder.rglob("*.wav") if path.parent.parent == busy_demo.folder}

    # The one that was refused is not needed any more.
    assert wait_until(lambda: "c.wav" not in uploads()) and uploads() == {"a.wav", "b.wav"}
    assert not running.done()
    first.cancel()
    assert wait_until(lambda: second.status().rank == 0)
    running.cancel()
    assert [Path(path).name for path in second.result(WAIT_SECONDS)] == ["b - vocals.wav", "b - accompaniment.wav"]
    break_off_an_upload(busy_demo)
    # The name that Gradio writes to until all is there.
    assert wait_until(lambda: list(busy_demo.folder.glob("tmp*")))
    assert wait_until(lambda: uploads() == set() and not list(busy_demo.folder.rglob("b - *")))
    assert wait_until(lambda: list(busy_demo.folder.iterdir()) == [busy_demo.folder / "results"])


def break_off_an_upload(demo: Server) -> None:
    head = 'Content-Disposition: form-data; name="files"; filename="half.wav"\r\nContent-Type: audio/wav\r\n\r\n'
    with socket.create_connection(("127.0.0.1", int(demo.url.rsplit(":", 1)[1]))) as connection:
        connection.sendall(
            b"POST /gradio_api/upload HTTP/1.1\r\nHost: demo\r\nContent-Length: 1000000\r\n"
            b"Content-Type: multipart/form-data; boundary=half\r\n\r\n--half\r\n" + head.encode() + bytes(200_000)
        )
        time.sleep(0.5)


def test_uploads_are_refused_before_they_are_read_while_there_is_no_room(checkpoint, tmp_path):
    with running_demo(checkpoint, tmp_path, UNET_SVS_MAX_STORED_MEGABYTES="1") as demo:
        with httpx.Client(base_url=demo.url) as client:
            sizes = (600_000, 600_000)
            answers = [
                client.post("/gradio_api/upload", files={"files": (f"{i}.wav", bytes([i]) * size)})
                for i, size in enumerate(sizes)
            ]
        assert [answer.status_code for answer in answers] == [200, 503]
        assert "no room for more songs now: please try again in some minutes" in answers[1].text
        assert [path.name for path in demo.folder.rglob("*.wav")] == ["0.wav"]


def test_sixteen_clients_at_once_are_served_in_turn_each_with_its_own_song_and_memory_is_bounded(demo, tmp_path):
    songs = [noise(2, SONG_SECONDS * RATE + 1000 * index, seed=index) for index in range(NUM_CLIENTS)]
    memory_before = demo.peak_memory
    together = threading.Barrier(NUM_CLIENTS)

    def separate(index: int) -> float:
        folder = tmp_path / str(index)
        path = write_song(folder / "song.wav", songs[index], RATE, subtype="24")
        client = connect(demo, folder)
        together.wait()
        stems = [read_audio(stem)[0] for stem in client.predict(handle_file(path), api_name="/separate")]
        assert {stem.shape for stem in stems} == {songs[index].shape}
        return float(np.abs(sum(stems) - songs[index]).max())

    with ThreadPoolExecutor(NUM_CLIENTS) as pool:
        errors = list(pool.map(separate, range(NUM_CLIENTS)))
    assert max(errors) < 2.0**-21
    assert demo.peak_memory - memory_before < MAX_MORE_MEMORY
