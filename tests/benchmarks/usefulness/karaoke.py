"""Karaoke: how much of the voice is left in the accompaniment.

Spectrograms are cut into blocks of a quarter of a kilohertz by half a second. In each, the accompaniment that is
judged is fitted by least squares as a multiple of the true accompaniment plus a multiple of the true voice, both
complex, all channels together. The second term, over all blocks, is the voice that is left; its level is that of its
energy against the energy of the true voice. The mixture has 0 dB and the true accompaniment none, whatever the song.
"""

import numpy as np
import scipy.signal

from .clips import Stems
from .melody import Melody, pyin

WINDOW_SECONDS = 0.046
BLOCK_HERTZ, BLOCK_SECONDS = 250.0, 0.5
# Level in dB that stands for none.
NONE = -60.0
WITHIN_CENTS = 50


def voice_left(judged: np.ndarray, accompaniment: np.ndarray, voice: np.ndarray, rate: int) -> float:
    """Level in dB under the true voice, of arrays `(num_channels, num_samples)`; NaN without a voice."""
    if not voice.any():
        return float("nan")
    judged, accompaniment, voice = (in_blocks(each, rate) for each in (judged, accompaniment, voice))
    aa, vv = (np.sum(np.abs(each) ** 2, axis=-1) for each in (accompaniment, voice))
    av = np.sum(accompaniment.conj() * voice, axis=-1)
    aj, vj = (np.sum(each.conj() * judged, axis=-1) for each in (accompaniment, voice))
    # The second unknown of the normal equations; the small number keeps silent blocks from dividing by zero.
    small = 1e-9 * (aa + vv) + np.finfo(float).tiny
    aa, vs = aa + small, vv + small
    share = (aa * vj - av.conj() * aj) / np.maximum(aa * vs - np.abs(av) ** 2, np.finfo(float).tiny)
    left = np.sum(np.abs(share) ** 2 * vv) / vv.sum()
    return float(max(10 * np.log10(max(left, np.finfo(float).tiny)), NONE))


def in_blocks(waveform: np.ndarray, rate: int) -> np.ndarray:
    """The spectrogram as `(num_blocks, bins, frames and channels of one)`, filled up with zeros."""
    size = 2 ** round(np.log2(WINDOW_SECONDS * rate))
    hop = size // 4
    _, _, spectrogram = scipy.signal.stft(waveform.astype(float), rate, nperseg=size, noverlap=size - hop)
    channels, bins, frames = spectrogram.shape
    wide, long = round(BLOCK_HERTZ * size / rate), round(BLOCK_SECONDS * rate / hop)
    padded = np.pad(spectrogram, ((0, 0), (0, -bins % wide), (0, -frames % long)))
    blocks = padded.reshape(channels, padded.shape[1] // wide, wide, padded.shape[2] // long, long)
    return blocks.transpose(1, 3, 0, 2, 4).reshape(blocks.shape[1] * blocks.shape[3], -1)


def voicing_left(true: Melody, heard: Melody) -> dict[str, float]:
    """Of the frames with a voice: where pYIN still finds some voice, and where it finds this voice's pitch."""
    length = min(len(true.pitch), len(heard.pitch))
    sung = true.voiced[:length]
    if not sung.any():
        return {"voiced": float("nan"), "pitched": float("nan")}
    voiced = heard.voiced[:length][sung]
    cents = np.abs(1200 * np.log2(heard.pitch[:length][sung] / true.pitch[:length][sung]))
    return {"voiced": float(voiced.mean()), "pitched": float((voiced & (cents <= WITHIN_CENTS)).mean())}


def measure(stems: Stems) -> dict[str, dict[str, float]]:
    """Measures by what is judged: the mixture, our accompaniment, the true one."""
    true = stems.once(pyin, "vocals", "true")
    references = (stems.accompaniment["true"], stems.vocals["true"], stems.rate)
    return {
        of: {"left": voice_left(judged, *references), **voicing_left(true, stems.once(pyin, "accompaniment", of))}
        for of, judged in stems.accompaniment.items()
    }
