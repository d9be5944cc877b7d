"""A real browser for the tests of pages: headless, offline, and strict about what a page complains of."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

CHROMIUM = Path("/usr/bin/chromium")
AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
SWITCHES = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
    # A microphone that beeps.
    *("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"),
)
WIDTHS = {"desktop": (1280, 900), "phone": (390, 844)}
PATIENCE_MS = 30_000
# Counts what the page paints, and notes how many frames there were at each thing that it said.
WATCH_FRAMES = """() => {
  const said = (window.said = []);
  const status = document.querySelector("#status");
  let [frames, last, longest] = [0, 0, 0];
  const paint = (now) => {
    if (last) longest = Math.max(longest, now - last);
    [frames, last] = [frames + 1, now];
    requestAnimationFrame(paint);
  };
  requestAnimationFrame(paint);
  new MutationObserver(() => {
    const text = status.querySelector("p").textContent;
    if (text === "Separating…") longest = 0;
    said.push({ text, frames, longest, now: performance.now() });
  }).observe(status, { subtree: true, childList: true, characterData: true });
}"""


@contextmanager
def running_browser(*switches: str) -> Iterator:
    """Chromium, the system's or Playwright's, until the context ends; without it tests are skipped, but not in CI."""
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        chromium = CHROMIUM if CHROMIUM.exists() else Path(playwright.chromium.executable_path)
        if not chromium.exists() and "CI" not in os.environ:
            pytest.skip(f"no {CHROMIUM} and no {chromium}: apt-get install chromium, or playwright install chromium")
        browser = playwright.chromium.launch(executable_path=str(chromium), args=[*SWITCHES, *switches])
        yield browser
        browser.close()


@contextmanager
def opened_page(browser, url: str, width: str = "desktop", theme: str = "light") -> Iterator:
    """A page in a new profile; what it complains of in the console or asks of another machine is an error."""
    size = dict(zip(("width", "height"), WIDTHS[width]))
    context = browser.new_context(viewport=size, has_touch=width == "phone", accept_downloads=True, color_scheme=theme)
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    complaints: list[str] = []
    own = url[: url.index("/", len("http://"))]
    page.on("console", lambda message: message.type == "error" and complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    context.on("request", lambda request: _is_outside(request.url, own) and complaints.append(request.url))
    try:
        page.goto(url)
        yield page
    finally:
        context.close()
    assert complaints == []


def _is_outside(url: str, own: str) -> bool:
    return not url.startswith((f"{own}/", own.replace("http", "ws"), "blob:", "data:"))


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Files as any static host gives them, until the context ends; the value is their address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


def assert_accessible(page, places: tuple[str, ...]) -> None:
    """Fails where axe-core finds something serious in places, which are selectors."""
    if not AXE.exists() and "CI" not in os.environ:
        pytest.skip("no axe-core: npm ci --prefix tests")
    page.evaluate(AXE.read_text("utf-8"))
    found = page.evaluate("places => axe.run({ include: places.map((place) => [place]) })", list(places))
    assert len(found["passes"]) > 10
    serious = [each for each in found["violations"] if each["impact"] in ("serious", "critical")]
    assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in serious] == []
