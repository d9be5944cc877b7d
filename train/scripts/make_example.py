"""`python -m train.make_example`: writes the example song of `space/`, whose singer is a synthesiser."""

from pathlib import Path

import av
import numpy as np

RATE = 48_000
BEAT = 60 / 96
NUM_BEATS = 32
BIT_RATE = 96_000
# A minor, F, C, G: each for four beats, twice.
CHORDS = ((57, 60, 64), (53, 57, 60), (55, 60, 64), (55, 59, 62))
# (beat, length in beats, note, vowel)
MELODY = (
    *((1, 1, 69, "a"), (2, 1, 72, "o"), (3, 1.8, 76, "a"), (5, 1, 77, "i"), (6, 2.5, 76, "e"), (9, 1, 72, "o")),
    *((10, 1, 74, "a"), (11, 1.8, 76, "e"), (13, 1, 74, "i"), (14, 2.5, 71, "a"), (17, 1, 69, "o"), (18, 1, 72, "a")),
    *((19, 1.8, 81, "i"), (21, 1, 79, "e"), (22, 2.5, 77, "a"), (25, 1, 76, "o"), (26, 1, 74, "e"), (27, 4, 72, "a")),
)
# Formants of the vowels: (Hz, level, width in Hz).
VOWELS = {
    "a": ((800, 1, 80), (1150, 0.5, 90), (2900, 0.25, 120), (3900, 0.08, 130)),
    "e": ((400, 1, 70), (1700, 0.3, 80), (2600, 0.25, 120), (3200, 0.08, 120)),
    "i": ((350, 1, 50), (2000, 0.2, 100), (2800, 0.2, 120), (3600, 0.06, 150)),
    "o": ((450, 1, 70), (800, 0.4, 80), (2830, 0.15, 100), (3800, 0.05, 130)),
}


def hertz(note: float | np.ndarray) -> float | np.ndarray:
    return 440 * 2 ** ((note - 69) / 12)


def envelope(num_samples: int, attack: float, release: float) -> np.ndarray:
    time = np.arange(num_samples) / RATE
    return np.minimum(1, time / attack) * np.minimum(1, (num_samples / RATE - time) / release)


def sung(note: float, seconds: float, vowel: str, rng: np.random.Generator) -> np.ndarray:
    """A vowel: partials under its formants, with a glide into the note, vibrato and breath."""
    time = np.arange(round(seconds * RATE)) / RATE
    vibrato = 0.3 * np.clip((time - 0.25) / 0.3, 0, 1) * np.sin(2 * np.pi * 5.5 * time)
    pitch = hertz(note + vibrato - 0.8 * np.exp(-time / 0.04))
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    voice = np.zeros_like(time)
    for partial in range(1, int(9000 / hertz(note))):
        frequency = partial * pitch
        level = sum(a / (1 + ((frequency - f) / w) ** 2) for f, a, w in VOWELS[vowel])
        voice += level / partial**0.4 * np.sin(partial * phase + rng.uniform(0, 0.3))
    voice += 0.02 * rng.standard_normal(len(time))
    return voice * envelope(len(time), 0.05, 0.09)


def plucked(note: float, seconds: float, brightness: float) -> np.ndarray:
    time, partials = np.arange(round(seconds * RATE)) / RATE, np.arange(1, 12)[:, None]
    decay = np.exp(-time * (1.5 + brightness * partials)) / partials
    tone = (decay * np.sin(2 * np.pi * partials * hertz(note) * time)).sum(axis=0)
    return tone * envelope(len(time), 0.003, 0.05)


def drums(kind: str, rng: np.random.Generator) -> np.ndarray:
    time = np.arange(round(0.25 * RATE)) / RATE
    if kind == "kick":
        return np.sin(2 * np.pi * np.cumsum(50 + 110 * np.exp(-time / 0.03)) / RATE) * np.exp(-time / 0.09)
    noise = np.diff(rng.standard_normal(len(time) + 1))
    if kind == "snare":
        return (0.4 * noise + np.sin(2 * np.pi * 190 * time)) * np.exp(-time / 0.06)
    return 0.25 * np.diff(noise, append=0) * np.exp(-time / 0.02)


def compose() -> np.ndarray:
    """The song, float32 `(2, num_samples)`."""
    rng = np.random.default_rng(2017)
    song = np.zeros((2, round((NUM_BEATS + 2) * BEAT * RATE)))

    def add(tone: np.ndarray, beat: float, level: float, pan: float = 0.0) -> None:
        start = round(beat * BEAT * RATE)
        tone = level * tone[: song.shape[1] - start]
        song[:, start : start + len(tone)] += np.stack([np.sqrt((1 - pan) / 2) * tone, np.sqrt((1 + pan) / 2) * tone])

    for beat in range(NUM_BEATS):
        chord = CHORDS[beat // 4 % 4]
        add(drums("snare" if beat % 2 else "kick", rng), beat, 0.5)
        for half in (0, 0.5):
            add(drums("hat", rng), beat + half, 0.12, 0.3)
            add(plucked(chord[0] - 24, 0.5 * BEAT, 1.0), beat + half, 0.4)
            add(plucked(chord[int(beat * 2 + half * 2) % 3] + 12, BEAT, 2.0), beat + half, 0.12, -0.5)
        if beat % 4 == 0:
            for note, pan in zip(chord, (-0.6, 0.0, 0.6)):
                add(plucked(note, 4 * BEAT, 0.4), beat, 0.18, pan)
    for beat, length, note, vowel in MELODY:
        tone = sung(note, length * BEAT * 0.95, vowel, rng)
        for echo, level in ((0, 0.3), (0.75, 0.05), (1.5, 0.02)):
            add(tone / np.abs(tone).max(), beat + echo, level)
    return (0.8 * song / np.abs(song).max()).astype(np.float32)


def write_opus(path: Path, waveform: np.ndarray) -> None:
    with av.open(str(path), "w", format="ogg") as container:
        stream = container.add_stream("libopus", rate=RATE, layout="stereo")
        stream.bit_rate = BIT_RATE
        container.metadata.update(title="Synthesised song", artist="unet-svs")
        frame = av.AudioFrame.from_ndarray(waveform.T.reshape(1, -1).copy(), format="flt", layout="stereo")
        frame.sample_rate = RATE
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)


if __name__ == "__main__":
    write_opus(Path(__file__).parents[2] / "space" / "examples" / "Synthesised song.ogg", compose())
