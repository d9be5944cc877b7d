"""Starts the demo as its operator does, for the tests of the API and of the page."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from .conftest import ROOT

SPACE = ROOT / "space"
START_SECONDS = 120
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
# `app.py` runs as a script, so its folder is where its modules are found.
sys.path.insert(0, str(SPACE))


@dataclass(frozen=True)
class Server:
    """A running demo: its page, all its temporary files, what it has printed, and its process."""

    url: str
    folder: Path
    log: Path
    pid: int

    @property
    def peak_memory(self) -> int:
        """Most that the process has held at a time so far, in bytes."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return 1024 * int(status.split("VmHWM:")[1].split()[0])

    @property
    def results(self) -> list[Path]:
        """Folders of stems that are there now."""
        return sorted((self.folder / "results").iterdir())


@contextmanager
def running_demo(checkpoint: Path, folder: Path, uploaded: bool = False, **settings: str) -> Iterator[Server]:
    """The demo, until the context ends; "uploaded", `space/` is alone and the package installed, as in a Space."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url, temporary, log = f"http://127.0.0.1:{port}", folder / "gradio", folder / "log.txt"
    environment = {
        **os.environ,
        "UNET_SVS_MODEL": str(checkpoint),
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_TEMP_DIR": str(temporary),
        # Enough for a small network, and the browser needs the rest of the machine.
        "OMP_NUM_THREADS": "1",
        **settings,
    }
    script, where = "space/app.py", ROOT
    if uploaded:
        script = "app.py"
        where = shutil.copytree(SPACE, folder / "uploaded", ignore=shutil.ignore_patterns("node_modules"))
        environment["PYTHONPATH"] = str(ROOT)
    with open(log, "w") as written:
        command = [sys.executable, script]
        process = subprocess.Popen(command, cwd=where, env=environment, stdout=written, stderr=subprocess.STDOUT)
    server = Server(url, temporary, log, process.pid)
    try:
        _wait(server, process)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
    # Whatever it was doing, the end is quiet.
    assert process.returncode == 0 and "Traceback" not in log.read_text()


def _wait(server: Server, process: subprocess.Popen) -> None:
    for _ in range(START_SECONDS * 4):
        if process.poll() is not None:
            break
        try:
            urlopen(server.url).close()
            return
        except URLError:
            time.sleep(0.25)
    raise RuntimeError(f"the demo did not start: {server.log.read_text()}")
