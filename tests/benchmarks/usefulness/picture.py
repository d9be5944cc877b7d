"""The picture of docs/usefulness.md: each task from the mixture to the true stems, with intervals."""

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

COLOURS = {"mixture": "#8a8a8a", "ours": "#1f6fb4", "true": "#2c9c5a"}
LABELS = {"mixture": "mixture", "ours": "our stem", "true": "true stem"}
SONGS = {"musdb18": "MUSDB18", "mir1k": "MIR-1K"}
TRACKERS = {"pyin": "pYIN", "crepe": "CREPE"}


def panels(summary: Mapping[str, Any]) -> dict[str, tuple[str, float, dict[str, Mapping]]]:
    """By title: the axis, the factor of the figures, and the figures by row."""
    melody, karaoke = summary["melody"], summary["karaoke"]
    rows = [(songs, tracker) for songs in SONGS for tracker in TRACKERS]
    singers, lyrics = summary["singers"], summary["lyrics"]
    return {
        "Melody": (
            "frames with the true voice's pitch, %",
            100,
            {f"{SONGS[songs]}\n{TRACKERS[tracker]}": melody[songs][tracker]["pitch"] for songs, tracker in rows},
        ),
        "Who sings": (
            "%",
            100,
            {"nearest is\nthe singer": singers["accuracy"], "equal\nerror rate": singers["error_rate"]},
        ),
        "Karaoke": (
            "voice left in the accompaniment, dB",
            1,
            {
                name: {of: each for of, each in karaoke[songs]["left"].items() if of != "true"}
                for songs, name in SONGS.items()
            },
        ),
        "Lyrics": (
            "words in common with the true voice's, %",
            100,
            {"of those in\nthe true voice": lyrics["found"], "of those\nheard": lyrics["right"]},
        ),
    }


def draw(summary: Mapping[str, Any]) -> Figure:
    """A panel for each task, a row for each figure, a dot for each stem."""
    figure = Figure(figsize=(10, 5.6), layout="constrained")
    for axis, (title, (label, factor, rows)) in zip(figure.subplots(2, 2).flat, panels(summary).items()):
        for position, figures in enumerate(rows.values()):
            for shift, (of, each) in zip((-0.18, 0, 0.18), figures.items()):
                if each["value"] is None:
                    continue
                value, low, high = (factor * each[name] for name in ("value", "low", "high"))
                style = {"color": COLOURS[of], "markersize": 6, "capsize": 3}
                axis.errorbar(value, position + shift, xerr=[[value - low], [high - value]], fmt="o", **style)
        axis.set_yticks(range(len(rows)), [*rows], fontsize="small")
        axis.set_ylim(len(rows) - 0.5, -0.5)
        axis.set_xlabel(label, fontsize="small")
        axis.set_title(title, loc="left", fontsize="medium")
        axis.grid(axis="x", alpha=0.3)
        if factor == 100:
            axis.set_xlim(-3, 103)
    handles = [axis.plot([], [], "o", color=colour)[0] for colour in COLOURS.values()]
    figure.legend(handles, [*LABELS.values()], loc="outside upper right", ncols=3, frameon=False, fontsize="small")
    return figure
