"""The melody: what a pitch tracker finds, against what the same tracker finds in the true voice."""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .clips import RATE, Stems

HOP = 256
LOWEST, HIGHEST = 65.0, 1000.0
# For pYIN: 64 ms, four periods of the lowest note.
FRAME = 1024
# For CREPE, the values that its package recommends: of periodicity, and the level in dB(A) below which is silence.
VOICED_FROM, SILENT_BELOW = 0.21, -60.0
MEASURES = ("pitch", "chroma", "recall", "false_alarm", "overall")


@dataclass(frozen=True)
class Melody:
    """Frames of pitch in Hz, a guess where there is no voice, and whether there is one."""

    pitch: np.ndarray
    voiced: np.ndarray


def pyin(voice: np.ndarray) -> Melody:
    """librosa's pYIN."""
    import librosa

    frames = {"sr": RATE, "frame_length": FRAME, "hop_length": HOP}
    pitch, voiced, _ = librosa.pyin(voice, fmin=LOWEST, fmax=HIGHEST, fill_na=None, **frames)
    return Melody(pitch, voiced)


def crepe(voice: np.ndarray) -> Melody:
    """CREPE's tiny network: the full one takes twenty times as long."""
    import torch
    import torchcrepe

    audio, frames = torch.from_numpy(voice)[None], {"sample_rate": RATE, "hop_length": HOP}
    limits = {"fmin": LOWEST, "fmax": HIGHEST, "model": "tiny", "return_periodicity": True}
    # One batch, since the path of the melody is sought batch by batch.
    pitch, periodicity = torchcrepe.predict(audio, **frames, **limits, batch_size=1 + len(voice) // HOP)
    periodicity = torchcrepe.threshold.Silence(SILENT_BELOW)(periodicity, audio, RATE, HOP)
    return Melody(pitch[0].double().numpy(), periodicity[0].numpy() >= VOICED_FROM)


TRACKERS: dict[str, Callable[[np.ndarray], Melody]] = {"pyin": pyin, "crepe": crepe}


def compare(reference: Melody, found: Melody) -> dict[str, float]:
    """mir_eval's measures; NaN where the reference has no frame to count."""
    from mir_eval import melody

    length = min(len(reference.pitch), len(found.pitch))
    cents = [melody.hz2cents(each.pitch[:length]) for each in (reference, found)]
    voiced, heard = (each.voiced[:length].astype(float) for each in (reference, found))
    arguments = (voiced, cents[0], heard, cents[1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of frames without voice, which are counted below
        recall, false_alarm = melody.voicing_measures(voiced, heard)
        measures = (melody.raw_pitch_accuracy, melody.raw_chroma_accuracy)
        pitch, chroma = (measure(*arguments) for measure in measures)
        overall = melody.overall_accuracy(*arguments)
    if not voiced.any():
        pitch = chroma = recall = overall = math.nan
    if voiced.all():
        false_alarm = math.nan
    return dict(zip(MEASURES, map(float, (pitch, chroma, recall, false_alarm, overall))))


def measure(stems: Stems) -> dict[str, dict[str, dict[str, float]]]:
    """Measures by tracker and by what it heard."""
    found: dict[str, dict] = {}
    for name, track in TRACKERS.items():
        true = stems.once(track, "vocals", "true")
        found[name] = {of: compare(true, stems.once(track, "vocals", of)) for of in ("mixture", "ours")}
        found[name]["true"] = compare(true, true)
    return found
