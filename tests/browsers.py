"""A real browser for the tests of pages: headless, offline, and strict about what a page complains of."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def running_browser(*switches: str) -> Iterator:
    """Chromium, until the context ends; without it the test is skipped, but not in CI.

    Args:
        switches: more of them.
    """
    if not CHROMIUM.exists() and "CI" not in os.environ:
        pytest.skip(f"no {CHROMIUM}: apt-get install chromium")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=[*SWITCHES, *switches])
        yield browser
        browser.close()


@contextmanager
def opened_page(browser, url: str, width: str = "desktop", theme: str = "light") -> Iterator:
    """A page in a new profile; what it complains of in the console or asks of another machine is an error.

    Args:
        browser: that is running.
        url: of the page, on this machine.
        width: one of `WIDTHS`.
        theme: "light" or "dark", what the visitor's system prefers.
    """
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


def assert_accessible(page, places: tuple[str, ...]) -> None:
    """Fails where axe-core finds something serious.

    Args:
        page: that is open.
        places: selectors of what is looked at.
    """
    if not AXE.exists() and "CI" not in os.environ:
        pytest.skip("no axe-core: npm ci --prefix tests")
    page.evaluate(AXE.read_text("utf-8"))
    found = page.evaluate("places => axe.run({ include: places.map((place) => [place]) })", list(places))
    assert len(found["passes"]) > 10
    serious = [each for each in found["violations"] if each["impact"] in ("serious", "critical")]
    assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in serious] == []


__all__ = ["PATIENCE_MS", "WIDTHS", "assert_accessible", "opened_page", "running_browser"]
