"""`python -m tests.benchmarks.browser_separation SONG [device=wasm&precision=fp32]`: the built page in Chromium."""

import subprocess
import sys
import threading

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
        page.evaluate(WATCH_FRAMES)
        held, done = [renderers_bytes()], threading.Event()
        watching = threading.Thread(target=watch, args=(held, done))
        watching.start()
        page.set_input_files("#song", song)
        page.wait_for_selector(".mixer.ready, #status[role=alert]", timeout=LONGEST_MS)
        done.set()
        watching.join()
        said = page.evaluate("said")
        begin = next(each for each in said if each["text"] == "Separating…")
        took = (said[-1]["now"] - begin["now"]) / 1000
        print(f"{song} ({seconds:.0f} s): {said[-1]['text']} {page.inner_text('#runtime')}")
        print(f"separated in {took:.1f} s ({seconds / took:.1f} times as fast as it plays)")
        print(f"loaded and decoded in {(begin['now'] - said[0]['now']) / 1000:.1f} s")
        print(f"longest time without a frame while separating: {said[-1]['longest']:.0f} ms")
        print(f"memory of the page at most: {(max(held) - held[0]) / 1e6:.0f} MB more than before")


def renderers_bytes() -> int:
    """Memory of all pages that are open now."""
    lines = subprocess.run(["ps", "-eo", "rss,args"], capture_output=True, text=True, check=True).stdout.splitlines()
    return 1024 * sum(int(line.split()[0]) for line in lines if "--type=renderer" in line)


def watch(held: list[int], done: threading.Event) -> None:
    while not done.wait(0.1):
        held.append(renderers_bytes())


if __name__ == "__main__":
    main()
