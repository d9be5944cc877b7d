"""A model's validation while it trains: scores on songs and remixes, and examples to see and hear in the trackers."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.tracking import GeneralTracker, get_available_trackers
from matplotlib.backends.backend_agg import FigureCanvasAgg

from modeling_unet_svs import UNetSVSModel
from modeling_unet_svs.audio.writing import AudioWriter
from modeling_unet_svs.separation import refuse_if

from .data.cache import DecodedSong
from .draw_separation import draw_separation
from .evaluation.scores import sdr

TRACKERS = ("tensorboard", "wandb", "trackio")
# Examples to see and hear, and how much of each: a validation writes 10 MB of them.
NUM_SHOWN, MAX_SECONDS = 3, 6
NUM_REMIXES, REMIX_SECONDS, REMIX_SEED = 120, 6, 14
# Levels of the voice against the accompaniment in dB, in turn.
REMIX_LEVELS = (-9.0, -6.0, -3.0, 0.0, 3.0)
# The loudest of so many random stretches is taken, since one alone may be silent.
REMIX_TRIES = 8
# Songs longer than this many seconds are scored in windows.
LONGEST_WHOLE, WINDOW_SECONDS, MAX_WINDOWS = 60, 10, 16
# Stems this many dB under the mixture, and softer ones, are not scored.
SILENT_LEVEL = -30.0

# The part that an example belongs to, and a function that reads its stems.
Example = tuple[str, Callable[[], dict[str, np.ndarray]]]


def song_stems(song: DecodedSong, start: int = 0, length: int | None = None) -> dict[str, np.ndarray]:
    """A stretch of a song's stems, its `accompaniment` and its `mixture`, each float32 `(num_channels, num_samples)`.

    A song that is a voice alone has no `accompaniment`."""
    end = song.num_samples if length is None else start + length
    stems = {name: np.asarray(song.stem(name)[:, start:end], dtype=np.float32) for name in song.stems}
    others = [stem for name, stem in stems.items() if name != "vocals"]
    stems["mixture"] = sum(stems.values())
    return {**stems, "accompaniment": sum(others)} if others else stems


def validate(model: UNetSVSModel, songs: Sequence[DecodedSong], accelerator: Accelerator) -> dict[str, float]:
    """Mean SDR over songs and remixes in dB, alike in all processes.

    `validation_sdr_<stem>_<part>` is the mean over the songs of a source or the remixes, `validation_sdr_<stem>` the
    mean of the parts, `validation_sdr` the mean of the stems, and `validation_sdr_error` its standard error."""
    rate, names = model.config.sampling_rate, model.config.stems
    examples = validation_examples(songs, rate)
    scores = np.zeros((len(examples), len(names)))
    for index in range(accelerator.process_index, len(examples), accelerator.num_processes):
        references = examples[index][1]()
        estimates = model.separate(references["mixture"], rate)
        softest = np.square(references["mixture"]).sum() * 10 ** (SILENT_LEVEL / 10)
        for column, name in enumerate(names):
            is_heard = name in references and np.square(references[name]).sum() > softest
            score = sdr(references[name], estimates[name]) if is_heard else np.nan
            scores[index, column] = score if np.isfinite(score) else np.nan
    scores = accelerator.reduce(torch.tensor(scores, dtype=torch.float32, device=accelerator.device), "sum")
    return _summary(scores.cpu().numpy(), np.array([part for part, _ in examples]), names)


def validation_examples(songs: Sequence[DecodedSong], rate: int) -> list[Example]:
    """Songs and remixes; voices or instrumentals as they are if there is nothing else."""
    whole = [song for song in songs if len(song.stems) > 1]
    return [*_whole_songs(whole, rate), *_remixes(songs, rate)] or [*_whole_songs(songs, rate)]


def _summary(scores: np.ndarray, parts: np.ndarray, names: Sequence[str]) -> dict[str, float]:
    """Means of `(examples, stems)` scores, NaN where an example lacks one, and the standard error of the last mean."""
    values: dict[str, float] = {}
    variances = []
    by_stem: dict[str, list[float]] = {name: [] for name in names}
    for part in dict.fromkeys(parts):
        chosen = scores[parts == part]
        chosen = chosen[np.isfinite(chosen).any(axis=1)]
        if len(chosen):
            variances.append(np.nanmean(chosen, axis=1).var() / len(chosen))
        for name, column in zip(names, chosen.T):
            if np.isfinite(column).any():
                values[f"validation_sdr_{name}_{part}"] = float(np.nanmean(column))
                by_stem[name].append(values[f"validation_sdr_{name}_{part}"])
    means = {f"validation_sdr_{name}": float(np.mean(found)) for name, found in by_stem.items() if found}
    if not means:
        return {}
    error = float(np.sqrt(np.sum(variances)) / len(variances))
    return {**values, **means, "validation_sdr": float(np.mean([*means.values()])), "validation_sdr_error": error}


def _whole_songs(songs: Sequence[DecodedSong], rate: int) -> Iterator[Example]:
    """Songs as they are, long ones in windows; MIR-1K's clips only if there are no others."""
    for song in [song for song in songs if song.source != "mir1k"] or songs:
        length, starts = song.num_samples, np.zeros(1, int)
        if length > LONGEST_WHOLE * rate:
            length = WINDOW_SECONDS * rate
            starts = np.linspace(0, song.num_samples - length, MAX_WINDOWS).astype(int)
        for start in starts:
            yield song.source, partial(song_stems, song, start, length)


def _remixes(songs: Sequence[DecodedSong], rate: int) -> Iterator[Example]:
    """Voices of each source in turn, over accompaniments of other songs; the same ones in every run."""
    accompaniments = [song for song in songs if song.source not in ("mir1k", "voices")]
    voices: dict[str, list[DecodedSong]] = {}
    for song in songs:
        # A voice needs the accompaniment of another song.
        if "vocals" in song.stems and any(other.name != song.name for other in accompaniments):
            voices.setdefault(song.source, []).append(song)
    for index in range(NUM_REMIXES if voices else 0):
        rng = np.random.default_rng([REMIX_SEED, index])
        candidates = [*voices.values()][index % len(voices)]
        voice = candidates[rng.integers(len(candidates))]
        others = [song for song in accompaniments if song.name != voice.name]
        backing = others[rng.integers(len(others))]
        level = REMIX_LEVELS[index // len(voices) % len(REMIX_LEVELS)]
        yield "remixes", partial(_remix, voice, backing, level, rate, int(rng.integers(1 << 31)))


def _remix(voice: DecodedSong, backing: DecodedSong, level: float, rate: int, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    length = min(REMIX_SECONDS * rate, voice.num_samples, backing.num_samples)
    vocals, accompaniment = (
        _loud_stretch(song, stem, length, rng) for song, stem in ((voice, "vocals"), (backing, "accompaniment"))
    )
    if voice.bandwidth < rate / 2:  # above it nobody knows what the voice would be
        spectrum = np.fft.rfft(accompaniment)
        spectrum[:, int(voice.bandwidth * length / rate) :] = 0
        accompaniment = np.fft.irfft(spectrum, length).astype(np.float32)
    energies = [float(np.square(stem).sum()) for stem in (vocals, accompaniment)]
    if min(energies):
        vocals = vocals * np.float32((energies[1] / energies[0]) ** 0.5 * 10 ** (level / 20))
    return {"vocals": vocals, "accompaniment": accompaniment, "mixture": vocals + accompaniment}


def _loud_stretch(song: DecodedSong, stem: str, length: int, rng: np.random.Generator) -> np.ndarray:
    starts = rng.integers(0, song.num_samples - length + 1, REMIX_TRIES)
    stretches = (song_stems(song, start, length)[stem] for start in starts)
    return max(stretches, key=lambda stretch: np.square(stretch).sum())


def available_trackers(report_to: str) -> list[str]:
    """Names of the installed trackers that `--report_to` asks for."""
    installed = [name for name in TRACKERS if name in map(str, get_available_trackers())]
    if report_to in ("all", "none"):
        return installed if report_to == "all" else []
    refuse_if(report_to not in installed, f"--report_to {report_to} needs it installed: pip install {report_to}.")
    return [report_to]


def log_examples(accelerator: Accelerator, model: UNetSVSModel, songs: Sequence[DecodedSong], step: int) -> None:
    """Separates a few examples, the same at each validation, and hands their pictures and sounds to the trackers."""
    rate = model.config.sampling_rate
    examples = validation_examples(songs, rate) if accelerator.trackers else []
    chosen = np.unique(np.linspace(0, len(examples) - 1, NUM_SHOWN).astype(int)) if examples else ()
    with TemporaryDirectory() as folder:
        for number, index in enumerate(chosen, 1):
            part, read = examples[index]
            mixture = read()["mixture"][:, : MAX_SECONDS * rate]
            stems = model.separate(mixture, rate)
            canvas = FigureCanvasAgg(draw_separation(mixture, stems, rate))
            canvas.draw()
            picture = np.asarray(canvas.buffer_rgba())[..., :3]
            sounds = {}
            for name, waveform in {"mixture": mixture, **stems}.items():
                sounds[name] = Path(folder, f"{name}.wav")
                with AudioWriter(sounds[name], rate, len(waveform)) as writer:
                    writer.write(waveform)
            for tracker in accelerator.trackers:
                _show(tracker, f"{part} {number}", picture, sounds, step)


def _show(tracker: GeneralTracker, title: str, picture: np.ndarray, sounds: Mapping[str, Path], step: int) -> None:
    if tracker.name != "tensorboard":
        library = import_module(tracker.name)  # wandb and trackio are alike in this
        heard = {f"{title}/{name}": library.Audio(str(path)) for name, path in sounds.items()}
        tracker.run.log({f"{title}/separation": library.Image(picture), **heard}, step=step)
        return
    from tensorboard.compat.proto.summary_pb2 import Summary

    tracker.writer.add_image(f"{title}/separation", picture, step, dataformats="HWC")
    for name, path in sounds.items():
        # Not `add_audio`, which takes one channel only.
        sound = Summary.Audio(encoded_audio_string=path.read_bytes(), content_type="audio/wav")
        tracker.writer.file_writer.add_summary(
            Summary(value=[Summary.Value(tag=f"{title}/{name}", audio=sound)]), step
        )
