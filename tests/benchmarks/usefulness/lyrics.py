"""Lyrics: the words that a small recogniser of read English hears, against what it hears in the true voice.

What it hears in the true voice is not what is sung. The figures say how much the recogniser agrees with itself.
"""

from collections.abc import Sequence

import numpy as np

from .clips import RATE, VOICES, Stems

PEAK = 0.9


def transcribe(voice: np.ndarray) -> str:
    """What pocketsphinx hears, with the model in its package; a new decoder knows nothing of earlier songs."""
    from pocketsphinx import Decoder

    peak = np.abs(voice).max()
    if not peak:
        return ""
    samples = np.round(voice * (PEAK * 32767 / peak)).astype(np.int16)
    decoder = Decoder(samprate=RATE, loglevel="FATAL")
    decoder.start_utt()
    decoder.process_raw(samples.tobytes(), full_utt=True)
    decoder.end_utt()
    heard = decoder.hyp()
    return heard.hypstr if heard else ""


def measure(stems: Stems) -> dict[str, str]:
    """Texts by what was heard."""
    return {of: transcribe(stems.heard("vocals", of)) for of in VOICES}


def words_in_common(first: Sequence[str], second: Sequence[str]) -> int:
    """The length of the longest sequence of words that both have in this order, with others between."""
    row = [0] * (len(second) + 1)
    for word in first:
        above = row
        row = [0]
        for index, other in enumerate(second):
            row.append(above[index] + 1 if word == other else max(above[index + 1], row[-1]))
    return row[-1]


def found_of(pairs: Sequence[tuple[str, str]]) -> float:
    """The share of all words of the first texts that the second texts have, in order."""
    words = [(first.split(), second.split()) for first, second in pairs]
    total = sum(len(first) for first, _ in words)
    return sum(words_in_common(*pair) for pair in words) / total if total else float("nan")
