"""`python -m tests.screenshots`: makes the pictures of both pages that the READMEs and links to the pages show."""

import subprocess
import tempfile
from pathlib import Path

from modeling_unet_svs import DEFAULT_CHECKPOINT

from .browsers import opened_page, running_browser, served
from .conftest import ROOT
from .space_server import SPACE, running_demo

PAGE = (1280, 800)
# What sites that show links ask for.
PREVIEW = (1200, 630)
LOOP = "unetSvsMixer.transport.setLoop(true, 7, 13); unetSvsMixer.transport.seek(9)"
AT_THE_MIXER = """(from) => {
  scrollTo(0, scrollY + document.querySelector(from).getBoundingClientRect().top - 12);
  document.activeElement.blur();
}"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, running_browser() as browser:
        with running_demo(Path(DEFAULT_CHECKPOINT), Path(folder)) as demo:
            take(browser, f"{demo.url}/", SPACE / "screenshot.png", PAGE, ".unet-svs-header")
            take(browser, f"{demo.url}/", SPACE / "static" / "preview.png", PREVIEW, ".mixer")
        page = Path(folder) / "page"
        subprocess.run(["node", "build.mjs", str(page)], cwd=SPACE / "browser", check=True)
        with served(page) as url:
            take(browser, url, SPACE / "browser" / "screenshot.png", PAGE, "main")
    for path in subprocess.check_output(["git", "status", "--short", "*.png"], cwd=ROOT, text=True).splitlines():
        print(path)


def take(browser, url: str, path: Path, size: tuple[int, int], top: str) -> None:
    """The example in the mixer, with a region of it repeated and the voice half gone."""
    with opened_page(browser, url) as page:
        page.set_viewport_size(dict(zip(("width", "height"), size)))
        page.click("#example")
        page.wait_for_selector(".mixer.ready", timeout=120_000)
        page.evaluate(LOOP)
        page.locator(".karaoke").fill("50")
        page.evaluate(AT_THE_MIXER, top)
        page.mouse.move(0, 0)
        page.wait_for_timeout(500)
        page.screenshot(path=path)


if __name__ == "__main__":
    main()
