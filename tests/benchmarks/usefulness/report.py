"""The tables of docs/usefulness.md and the lines of README.md, made of the results and put between their marks."""

import re
import textwrap
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any

from modeling_unet_svs.audio.whole_files import replace_text

from ...conftest import ROOT
from .picture import draw

PACKAGES = ("librosa", "torchcrepe", "resemblyzer", "pocketsphinx")
DOCUMENT, PICTURE, README = ROOT / "docs" / "usefulness.md", ROOT / "docs" / "usefulness.png", ROOT / "README.md"
TRACKERS = {"pyin": "pYIN", "crepe": "CREPE"}
COLLECTIONS = {"musdb18": "MUSDB18", "mir1k": "MIR-1K"}
MELODY = {
    "pitch": "raw pitch accuracy",
    "chroma": "raw chroma accuracy",
    "recall": "voicing recall",
    "false_alarm": "voicing false alarm",
    "overall": "overall accuracy",
}
KARAOKE = {
    "left": "voice left, dB",
    "voiced": "sung frames where pYIN finds some voice, %",
    "pitched": "sung frames where pYIN finds this voice's pitch, %",
}
WIDTH = 119


def versions() -> dict[str, str]:
    """Versions of what takes part in the figures."""
    return {name: version(name) for name in (*PACKAGES, "mir_eval", "torch", "numpy")}


def percent(figure: Mapping[str, Any]) -> str:
    """A share and its interval, in percent."""
    if figure["value"] is None:
        return "–"
    if figure["low"] == figure["high"]:
        return f"{100 * figure['value']:.1f}"
    return f"{100 * figure['value']:.1f} ({100 * figure['low']:.1f} to {100 * figure['high']:.1f})"


def decibels(figure: Mapping[str, Any]) -> str:
    """A level and its interval."""
    if figure["value"] is None:
        return "–"
    if figure["low"] == figure["high"]:
        return "none" if figure["value"] < -50 else f"{figure['value'] + 0:.1f}"
    return f"{figure['value']:.1f} ({figure['low']:.1f} to {figure['high']:.1f})"


def share_of_the_way(figures: Mapping[str, Mapping[str, Any]]) -> str:
    """How far our stem is from the mixture to the true one, in percent; "none" where it is not on that way."""
    mixture, ours, true = (figures[of]["value"] for of in ("mixture", "ours", "true"))
    if None in (mixture, ours, true):
        return "–"
    share = (ours - mixture) / (true - mixture) if true != mixture else 0.0
    return f"{100 * share:.0f} %" if share > 0 else "none"


def table(head: Iterable[str], rows: Iterable[Iterable[str]], num_words: int = 1) -> str:
    """Markdown; after the first columns, of words, numbers to the right."""
    head = [*head]
    rule = ["---" if index < num_words else "---:" for index in range(len(head))]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *rows))


def melody(summary: Mapping[str, Any]) -> str:
    head = ("songs", "tracker", "%", "mixture", "our vocals", "true vocals", "of the way")
    rows = []
    for collection, title in COLLECTIONS.items():
        for tracker, name in TRACKERS.items():
            for measure, text in MELODY.items():
                figures = summary["melody"][collection][tracker][measure]
                shown = (percent(figures[of]) for of in ("mixture", "ours", "true"))
                rows.append((title, name, text, *shown, share_of_the_way(figures)))
    return table(head, rows, 3)


def singers(summary: Mapping[str, Any]) -> str:
    figures = summary["singers"]
    kinds = {
        "accuracy": f"all {figures['singers']} singers ({figures['clips']} clips of {figures['songs']} songs): "
        "nearest centroid is the singer's, %",
        "error_rate": "the same: equal error rate, %",
        "unseen_accuracy": f"the singer not trained on ({figures['unseen_clips']} clips): nearest centroid, %",
    }
    head = ("", "mixture", "our vocals", "true vocals", "of the way")
    rows = []
    for name, text in kinds.items():
        rows.append((text, *(percent(each) for each in figures[name].values()), share_of_the_way(figures[name])))
    return table(head, rows)


def karaoke(summary: Mapping[str, Any]) -> str:
    head = ("songs", "", "mixture", "our accompaniment", "true accompaniment", "of the way")
    rows = []
    for collection, title in COLLECTIONS.items():
        for measure, text in KARAOKE.items():
            figures = summary["karaoke"][collection][measure]
            show = decibels if measure == "left" else percent
            # Towards no voice at all there is no share of a way in decibels.
            way = "" if measure == "left" else share_of_the_way(figures)
            rows.append((title, text, *(show(each) for each in figures.values()), way))
    return table(head, rows, 2)


def lyrics(summary: Mapping[str, Any]) -> str:
    figures = summary["lyrics"]
    head = ("", "another song's vocals", "mixture", "our vocals", "true vocals", "of the way")
    texts = {
        "found": "words of the true vocals that are heard, %",
        "right": "words heard that are the true vocals', %",
    }
    rows = [("words heard", "", *(str(words) for words in figures["words"].values()), "")]
    for name, text in texts.items():
        shown = (percent(each) for each in figures[name].values())
        rows.append((text, f"{100 * figures['chance'][name]:.1f}", *shown, share_of_the_way(figures[name])))
    return table(head, rows)


def extent(results: Mapping[str, Any]) -> str:
    """What was measured, in a sentence."""
    return f"Measured on {len(results['songs'])} of {results['num_clips']} songs and clips."


TABLES = {"melody": melody, "singers": singers, "karaoke": karaoke, "lyrics": lyrics}


def shares(figures: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Whole percents by what was heard."""
    return {of: "–" if each["value"] is None else f"{100 * each['value']:.0f} %" for of, each in figures.items()}


def readme_lines(summary: Mapping[str, Any]) -> str:
    """A line for each task."""
    pitch = shares(summary["melody"]["musdb18"]["pyin"]["pitch"])
    left = summary["karaoke"]["musdb18"]["left"]["ours"]
    singer, words = summary["singers"], summary["lyrics"]
    nearest, heard = shares(singer["accuracy"]), shares(words["found"])
    lines = (
        f"[Melody](docs/usefulness.md#melody): pYIN finds the true voice's pitch in {pitch['ours']} of the frames of "
        f"our vocals, and in {pitch['mixture']} of those of the mixture.",
        f"[Who sings](docs/usefulness.md#who-sings): of {singer['singers']} singers, the right one is nearest for "
        f"{nearest['ours']} of our vocals, {nearest['mixture']} of the mixtures, {nearest['true']} of the true ones.",
        "[Karaoke](docs/usefulness.md#karaoke): the voice that is left in the accompaniment is "
        f"{decibels({**left, 'low': left['value'], 'high': left['value']}).lstrip('-')} dB below the true voice.",
        "[Lyrics](docs/usefulness.md#lyrics): of the words that a small recogniser hears in the true voice, it hears "
        f"{heard['ours']} in our vocals, {heard['mixture']} in the mixture and "
        f"{100 * words['chance']['found']:.0f} % in another song.",
    )
    # What is not measured yet is not told.
    lines = [line for line in lines if "–" not in line]
    # No line begins with a percent sign.
    kept = (line.replace(" %", "\N{NO-BREAK SPACE}%") for line in lines)
    filled = (textwrap.fill(line, WIDTH, initial_indent="- ", subsequent_indent="  ") for line in kept)
    return "\n".join(filled).replace("\N{NO-BREAK SPACE}", " ")


def between_marks(text: str, mark: str, content: str) -> str:
    """A document whose part between two marks is replaced."""
    pattern = rf"(<!-- {mark} -->\n).*?(<!-- /{mark} -->)"
    return re.sub(pattern, lambda found: f"{found[1]}{content}\n{found[2]}", text, flags=re.DOTALL)


def document(text: str, results: Mapping[str, Any]) -> str:
    """docs/usefulness.md with the tables of these results."""
    for mark, make in TABLES.items():
        text = between_marks(text, mark, f"\n{make(results['summary'])}\n")
    return between_marks(text, "extent", f"\n{extent(results)}\n")


def write_report(results: Mapping[str, Any]) -> None:
    """Writes the document, its picture and the lines of README.md."""
    summary = results["summary"]
    for path, change in ((DOCUMENT, document), (README, with_lines)):
        replace_text(path, change(path.read_text(encoding="utf-8"), results))
    draw(summary).savefig(PICTURE, dpi=110)
    print("\n\n".join(make(summary) for make in TABLES.values()))


def with_lines(text: str, results: Mapping[str, Any]) -> str:
    """README.md with the lines of these results."""
    so_far = f"{extent(results)}\n\n" if len(results["songs"]) < results["num_clips"] else ""
    return between_marks(text, "usefulness", f"\n{so_far}{readme_lines(results['summary'])}\n")
