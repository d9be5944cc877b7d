"""What a library's error says, in one line."""

from __future__ import annotations

# It may repeat all that the library was given.
LONGEST_REASON = 400


def one_line(error: BaseException | str) -> str:
    """The text of an error, for a line of our own.

    Args:
        error: or what it says, of any number of lines.

    Returns:
        One line of a bearable length; the error's kind where it says nothing.
    """
    line = " ".join(str(error).split()) or type(error).__name__
    return line if len(line) <= LONGEST_REASON else f"{line[:LONGEST_REASON]} ..."


__all__ = ["one_line"]
