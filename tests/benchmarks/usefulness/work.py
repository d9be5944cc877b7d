"""Measures clips in several processes, and keeps what is done, so that an interrupted run goes on."""

import json
import multiprocessing
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from modeling_unet_svs.separation import refuse_if
from train.evaluation.results import plain, write_results

from . import karaoke, lyrics, melody, singers
from .clips import Clip, Stems, separate

TASKS: dict[str, Callable[[Stems], dict]] = {
    "melody": melody.measure,
    "karaoke": karaoke.measure,
    "lyrics": lyrics.measure,
    "singers": singers.measure,
}
# What two runs share, for one to go on where the other ended.
IDENTITY = ("model", "data")
# Clips between two writes of the results.
CLIPS_PER_WRITE = 10
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
_estimator = None


def prepare(model: str) -> None:
    """Makes a process ready: one thread, one model."""
    global _estimator
    import torch

    from train.evaluation.separators import load_estimator

    torch.set_num_threads(1)
    _estimator = load_estimator(model)


def measure(clip: Clip) -> tuple[str, dict[str, Any]]:
    """A clip's key, and its measures by task."""
    stems = separate(clip.song, _estimator)
    return clip.key, plain({task: TASKS[task](stems) for task in clip.tasks})


def read_earlier(path: Path, identity: dict[str, Any]) -> dict[str, dict]:
    """The measures of an earlier run by clip."""
    if not path.is_file():
        return {}
    earlier = json.loads(path.read_text(encoding="utf-8"))
    for key in IDENTITY:
        refuse_if(earlier[key] != identity[key], f"{path} has the results of another {key}: give --overwrite.")
    return earlier["songs"]


def measure_all(clips: list[Clip], model: str, num_processes: int, output: Path, head: dict, overwrite: bool) -> dict:
    """Measures by clip, of all clips; those that the output has already are not measured again."""
    done = {} if overwrite else read_earlier(output, head)
    if not all("singers" in done.get(clip.key, ()) for clip in clips if "singers" in clip.tasks):
        # Cosines with the centroids of fewer clips do not count.
        for measures in done.values():
            if "singers" in measures and not isinstance(measures["singers"].get("ours"), list):
                del measures["singers"]
    todo = [clip for clip in clips if not set(clip.tasks) <= set(done.get(clip.key, ()))]
    os.environ.update(dict.fromkeys(THREADS, "1"))
    output.parent.mkdir(parents=True, exist_ok=True)
    # A process that was forked from one with PyTorch's threads may hang.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(num_processes, spawn, prepare, (model,)) as pool:
        futures = [pool.submit(measure, clip) for clip in todo]
        try:
            for count, future in enumerate(tqdm(as_completed(futures), "Measuring", len(todo), unit="clip"), start=1):
                key, measures = future.result()
                done[key] = measures
                if count % CLIPS_PER_WRITE == 0:
                    write_results(output, {**head, "songs": done})
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        finally:
            write_results(output, {**head, "songs": done})
    compare_singers(done, clips)
    return {clip.key: done[clip.key] for clip in clips}


def compare_singers(done: dict[str, dict], clips: Iterable[Clip]) -> None:
    """Once there are the vectors of all clips, the cosines take their place, which need far less room."""
    taking_part = {clip.key: clip.song.name for clip in clips if "singers" in clip.tasks}
    vectors = {key: done[key]["singers"] for key in taking_part if "ours" in done[key]["singers"]}
    vectors = {key: each for key, each in vectors.items() if isinstance(each["ours"], list)}
    if not vectors:
        return
    refuse_if(len(vectors) < len(taking_part), "the vectors of some clips are missing: give --overwrite.")
    cosines = {
        of: singers.compare({taking_part[key]: np.array(each[of]) for key, each in vectors.items()})
        for of in next(iter(vectors.values()))
    }
    for key, name in taking_part.items():
        done[key]["singers"] = {of: each[name] for of, each in cosines.items() if name in each}
