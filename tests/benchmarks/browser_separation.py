"""`python -m tests.benchmarks.browser_separation SONG [device=wasm&precision=fp32]`: the built page in Chromium."""

import sys
import threading
import time
from pathlib import Path

from modeling_unet_svs.audio_reading import AudioReader

from ..browsers import WATCH_FRAMES, opened_page, running_browser, served
from ..conftest import ROOT

DIST = ROOT / "space" / "browser" / "dist"
LONGEST_MS = 3_600_000


def main() -> None:
    song, query = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else ""
    with AudioReader(song) as reader:
        seconds = reader.info.num_samples / reader.info.sampling_rate
    with running_browser() as browser, served(DIST) as url, opened_page(browser, f"{url}?{query}") as page:
        page.set_input_files("#song", song)
        page.evaluate(WATCH_FRAMES)
        peak = _Peak()
        page.click("#start")
        page.wait_for_selector(".mixer.ready, #status[role=alert]", timeout=LONGEST_MS)
        said = page.evaluate("said")
        begin = next(each for each in said if each["text"] == "Separating…")
        took = (said[-1]["now"] - begin["now"]) / 1000
        print(f"{song} ({seconds:.0f} s): {said[-1]['text']} {page.inner_text('#runtime')}")
        print(f"separated in {took:.1f} s ({seconds / took:.1f} times as fast as it plays)")
        print(f"loaded and decoded in {(begin['now'] - said[0]['now']) / 1000:.1f} s")
        print(f"longest time without a frame while separating: {said[-1]['longest']:.0f} ms")
        print(f"memory of the page at most: {peak.stop() / 1e6:.0f} MB more than before")


class _Peak:
    """What the browser's renderers hold at most from now on, above what they hold now."""

    def __init__(self):
        self.before = self.most = _renderers_bytes()
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()

    def _watch(self) -> None:
        while not self.done.is_set():
            self.most = max(self.most, _renderers_bytes())
            time.sleep(0.1)

    def stop(self) -> int:
        self.done.set()
        self.thread.join()
        return self.most - self.before


def _renderers_bytes() -> int:
    total = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if b"--type=renderer" in (process / "cmdline").read_bytes():
                status = (process / "status").read_text()
                total += 1024 * int(status.split("VmRSS:")[1].split()[0])
        except (OSError, IndexError):
            continue
    return total


if __name__ == "__main__":
    main()
