"""The page that separates in the visitor's own browser, where it was built: served beside the demo."""

from __future__ import annotations

from pathlib import Path

from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

BUILT = Path(__file__).parent / "browser" / "dist"
ADDRESS = "browser"
# With these a browser lets the page use more than one thread.
ISOLATED = {"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp"}


class _IsolatedFiles(StaticFiles):
    def file_response(self, *args, **kwargs):
        response = super().file_response(*args, **kwargs)
        response.headers.update(ISOLATED)
        return response


def is_built() -> bool:
    """Says whether the page and its network are there.

    Returns:
        Whether both are.
    """
    return (BUILT / "index.html").is_file() and (BUILT / "model" / "onnx" / "separation.json").is_file()


def browser_page_html() -> str:
    """The way from the demo to the page.

    Returns:
        HTML, empty where there is no page.
    """
    if not is_built():
        return ""
    return (
        f"<p>Or <a href='{ADDRESS}/' target='_blank'>on your own computer</a>: "
        "the song is separated in your browser, and nothing is uploaded.</p>"
    )


def browser_page_routes() -> list[Mount]:
    """What serves the page.

    Returns:
        Routes for Gradio's server, none where there is no page.
    """
    return [Mount(f"/{ADDRESS}", _IsolatedFiles(directory=BUILT, html=True))] if is_built() else []


__all__ = ["browser_page_html", "browser_page_routes", "is_built"]
