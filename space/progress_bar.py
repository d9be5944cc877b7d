"""What the page says while it works, as HTML."""

from __future__ import annotations

from html import escape

from separation_job import Progress, Waiting
from song_check import clock

# From here on the end is too near for an estimate to mean anything.
SOON_SECONDS = 2


def progress_html(progress: Waiting | Progress) -> str:
    """A bar with the time that is left, or how many come before.

    Args:
        progress: of a separation.

    Returns:
        HTML.
    """
    if isinstance(progress, Waiting):
        others = "one song is" if progress.num_ahead == 1 else f"{progress.num_ahead} songs are"
        return message_html(f"In the queue: {others} before yours.")
    done, total = progress.done_seconds, progress.total_seconds
    if not done:
        return _status("Listening to the song&hellip;", _bar(""))
    if total is None:
        return _status(f"Separating: {clock(done)} done.", _bar(""))
    bar = _bar(f" max='{total:.2f}' value='{done:.2f}'")
    if done >= total:
        return _status("Writing the stems&hellip;", bar)
    return _status(f"Separating: {clock(done)} of {clock(total)}, {_left(progress.left_seconds)}.", bar)


def message_html(text: str, error: bool = False) -> str:
    """A sentence in the bar's place.

    Args:
        text: plain text.
        error: whether it tells of something that went wrong.

    Returns:
        HTML.
    """
    return _status(escape(text), "", "alert" if error else "status")


def _status(text: str, bar: str, role: str = "status") -> str:
    live = "assertive" if role == "alert" else "off" if bar else "polite"
    return f"<div class='unet-svs-status' role='{role}' aria-live='{live}'><p>{text}</p>{bar}</div>"


def _bar(attributes: str) -> str:
    return f"<progress aria-label='Progress of the separation'{attributes}></progress>"


def _left(seconds: float | None) -> str:
    if seconds is None:
        return "time left unknown yet"
    if seconds < SOON_SECONDS:
        return "a moment left"
    if seconds < 90:
        return f"about {round(seconds)} s left"
    return f"about {round(seconds / 60)} min left"


__all__ = ["message_html", "progress_html"]
