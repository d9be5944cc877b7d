"""`python -m train.draw_training RUN PICTURE.png`: draws loss and validation scores from its TensorBoard log."""

import sys
from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure
from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer

from modeling_unet_svs.separation import refuse_if
from train.exit_codes import run_command

VALIDATION = "validation_sdr"


def read_scalars(run: str | Path) -> dict[str, dict[int, float]]:
    """The values of each curve that a run has logged, by step."""
    logs = EventMultiplexer().AddRunsFromDirectory(str(Path(run) / "logs")).Reload()
    scalars: dict[str, dict[int, float]] = {}
    for name, tags in logs.Runs().items():
        for tag in tags["scalars"]:
            events = sorted(logs.Scalars(name, tag), key=lambda event: event.wall_time)
            scalars.setdefault(tag, {}).update({event.step: event.value for event in events})
    refuse_if("loss" not in scalars, f"{run} has no TensorBoard log of a training in logs/.")
    return {tag: dict(sorted(values.items())) for tag, values in scalars.items()}


def draw_training(scalars: Mapping[str, Mapping[int, float]]) -> Figure:
    """The curves of a training, one above the other."""
    names = {tag: tag.removeprefix(VALIDATION).strip("_") or "mean" for tag in scalars if tag.startswith(VALIDATION)}
    scores = {names[tag]: values for tag, values in scalars.items() if tag in names}
    scores.pop("error", None)
    figure = Figure(figsize=(8, 3 + 2.5 * bool(scores)), layout="constrained")
    first, *others = figure.subplots(1 + bool(scores), sharex=True, squeeze=False)[:, 0]
    first.plot(*zip(*scalars["loss"].items()), color="tab:blue")
    first.set_ylabel("training loss", color="tab:blue")
    if "learning_rate" in scalars:
        rate = first.twinx()
        rate.plot(*zip(*scalars["learning_rate"].items()), color="tab:gray", linestyle="--")
        rate.set_ylabel("learning rate", color="tab:gray")
        rate.set_ylim(bottom=0)
    for axis in others:
        for stem, values in scores.items():
            axis.plot(*zip(*values.items()), marker="o", markersize=4, label=stem)
        axis.set_ylabel("validation SDR (dB)")
        axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize="small")
    for axis in (first, *others):
        axis.grid(alpha=0.3)
    (others or [first])[-1].set_xlabel("step")
    return figure


def draw(run: str, picture: str) -> None:
    draw_training(read_scalars(run)).savefig(picture, dpi=110)


def main() -> int:
    """Draws a run; exits with 2 where it cannot."""
    return run_command("draw_training", draw, "RUN", "PICTURE.png")


if __name__ == "__main__":
    sys.exit(main())
