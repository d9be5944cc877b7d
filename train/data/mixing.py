"""Random training examples: crops of decoded songs, remixed between songs, deterministic in seed and index."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from transformers.hf_argparser import HfArg

from modeling_unet_svs import UNetSVSConfig
from modeling_unet_svs.separation import refuse_if

from .augmentations import change_gain, change_speed, draw_percent, pan, source_samples, swap_channels
from .cache import DecodedSong
from .folders import voice_group
from .production import produce

SILENT_RMS = 1e-4
# Share of the second voices that are of the same recording, and their levels in dB against the lead.
SAME_RECORDING_SHARE, HARMONY_LEVELS = 0.5, (-14.0, -4.0)


@dataclass
class MixingArguments:
    """How training mixtures are made; shares are probabilities for each example."""

    voices_share: float = HfArg(default=0.35, help="Voices taken from --voices_dir, if it is given.")
    mir1k_share: float = HfArg(default=0.4, help="Other voices taken from MIR-1K, if other songs are given, too.")
    no_vocals_share: float = HfArg(default=0.04, help="Examples without any voice.")
    no_accompaniment_share: float = HfArg(default=0.0, help="Examples of a voice alone.")
    coherent_share: float = HfArg(default=0.33, help="Voices that keep the accompaniment they were recorded with.")
    instrumentals_share: float = HfArg(
        default=0.4, help="Other voices that are set over an instrumental rather than stems of several songs."
    )
    min_gain: float = HfArg(default=0.25, help="Lowest factor that a stem is multiplied by.")
    max_gain: float = HfArg(default=1.25, help="Highest factor that a stem is multiplied by.")
    min_vocals_level: float = HfArg(default=-9.0, help="Lowest level in dB of a voice in a mix that is made up.")
    max_vocals_level: float = HfArg(default=6.0, help="Highest level in dB of a voice in a mix that is made up.")
    speed_share: float = HfArg(default=0.3, help="Voices and accompaniments whose speed and pitch are changed.")
    max_speed_percent: int = HfArg(default=6, help="Largest change of speed, up or down, in percent.")
    swap_share: float = HfArg(default=0.5, help="Voices and accompaniments whose left and right are exchanged.")
    panning_share: float = HfArg(default=0.0, help="Stems that are moved between left and right.")
    max_panning: float = HfArg(default=6.0, help="Largest gain in dB of one channel over the other by panning.")
    production_share: float = HfArg(
        default=0.0, help="Voices of --voices_dir or MIR-1K over other music that are produced as in a studio."
    )
    harmony_share: float = HfArg(default=0.0, help="Voices of --voices_dir with a second voice below them.")


class Mixer:
    """Draws training examples from songs."""

    def __init__(self, songs: Sequence[DecodedSong], config: UNetSVSConfig, mixing: MixingArguments):
        self.config, self.mixing = config, mixing
        self.mir1k = [song for song in songs if song.source == "mir1k"]
        self.instrumentals = [song for song in songs if "vocals" not in song.stems]
        self.voices = [song for song in songs if song.source == "voices"]
        self.songs = [song for song in songs if song.source not in ("mir1k", "voices") and "vocals" in song.stems]
        self.voice_shares = voice_shares(self.voices)
        self.has_songs = bool(self.songs or self.mir1k)
        for source in config.sources:
            lacking = [song for song in songs if song.source != "voices" and source not in song.stems]
            lacking = lacking or ([] if self.has_songs else self.voices)
            refuse_if(
                lacking and source not in ("vocals", "accompaniment"),
                f"source {source!r} needs songs with that stem, which {lacking and lacking[0].name!r} lacks: train on "
                "--musdb_dir alone, or on other songs with that stem.",
            )
        self.change_gain = partial(change_gain, min_gain=mixing.min_gain, max_gain=mixing.max_gain)
        # Each stem of an example goes through these in this order, each with the probability beside it.
        self.augmentations = ((partial(pan, max_decibels=mixing.max_panning), mixing.panning_share),)

    def example(self, rng: np.random.Generator) -> dict[str, torch.Tensor]:
        """Draws one example: mixture `(channels, samples)`, labels `(sources, channels, samples)`, their bandwidth."""
        stems, bandwidth = self._draw(rng)
        for name in stems:
            for augmentation, share in self.augmentations:
                if _happens(rng, share):
                    stems[name] = augmentation(stems[name], rng)
        stems["accompaniment"] = _backing(stems)
        return {
            "input_values": stems["vocals"] + stems["accompaniment"],
            "labels": torch.stack([stems[source] for source in self.config.sources]),
            "label_bandwidth": torch.tensor(bandwidth, dtype=torch.float32),
        }

    def _draw(self, rng: np.random.Generator) -> tuple[dict[str, torch.Tensor], float]:
        mixing = self.mixing
        if not self.has_songs and not (self.voices and self.instrumentals):
            return self._draw_alone(rng)
        has_music = bool(self.songs or self.instrumentals)
        use_voices = bool(self.voices) and has_music and (not self.has_songs or rng.random() < mixing.voices_share)
        use_mir1k = not use_voices and self.mir1k and (not self.songs or rng.random() < mixing.mir1k_share)
        song = self._voice(rng) if use_voices else _pick(rng, self.mir1k if use_mir1k else self.songs)
        is_coherent = not has_music or (not use_voices and rng.random() < mixing.coherent_share)
        bandwidth = song.bandwidth
        if is_coherent:
            stems = self._crop(rng, song)
        else:
            stems = {"vocals": self._crop(rng, song, ("vocals",))["vocals"], **self._accompaniment(rng)}
            if use_voices and _happens(rng, mixing.harmony_share):
                second = song if rng.random() < SAME_RECORDING_SHARE else self._voice(rng)
                level = 10 ** (rng.uniform(*HARMONY_LEVELS) / 20)
                stems["vocals"] = stems["vocals"] + self._crop(rng, second, ("vocals",))["vocals"] * level
                bandwidth = min(bandwidth, second.bandwidth)
            if (use_voices or use_mir1k) and _happens(rng, mixing.production_share):
                stems["vocals"] = produce(stems["vocals"], rng, self.config.sampling_rate)
        if is_coherent and not use_mir1k:  # the artist's own mix
            stems = {name: self.change_gain(stem, rng) for name, stem in stems.items()}
        else:
            stems["vocals"] = stems["vocals"] * self._level(rng, stems)
        if rng.random() < mixing.no_vocals_share:
            stems["vocals"] = torch.zeros_like(stems["vocals"])
            return stems, self.config.sampling_rate / 2
        if _happens(rng, mixing.no_accompaniment_share):
            stems |= {name: torch.zeros_like(stem) for name, stem in stems.items() if name != "vocals"}
        return stems, min(bandwidth, self.config.sampling_rate / 2)

    def _draw_alone(self, rng: np.random.Generator) -> tuple[dict[str, torch.Tensor], float]:
        """A voice or an instrumental where there is nothing to mix it with; the other stem is silent."""
        song = self._voice(rng) if self.voices else _pick(rng, self.instrumentals)
        stems = {name: self.change_gain(stem, rng) for name, stem in self._crop(rng, song).items()}
        silence = torch.zeros_like(next(iter(stems.values())))
        bandwidth = song.bandwidth if self.voices else np.inf  # what is silent is known at all frequencies
        return {"accompaniment": silence, "vocals": silence, **stems}, min(bandwidth, self.config.sampling_rate / 2)

    def _voice(self, rng: np.random.Generator) -> DecodedSong:
        return self.voices[int(rng.choice(len(self.voices), p=self.voice_shares))]

    def _accompaniment(self, rng: np.random.Generator) -> dict[str, torch.Tensor]:
        """An instrumental, or drums, bass and the other instruments each from a song of its own."""
        if self.instrumentals and (not self.songs or rng.random() < self.mixing.instrumentals_share):
            return self._crop(rng, _pick(rng, self.instrumentals))
        # Songs may have different stems: the parts are those of the first song drawn.
        alike, names = self.songs, list(self.songs[0].stems)
        if any(list(song.stems) != names for song in self.songs):
            names = list(_pick(rng, self.songs).stems)
            alike = [song for song in self.songs if list(song.stems) == names]
        return {
            name: self.change_gain(self._crop(rng, _pick(rng, alike), (name,))[name], rng)
            for name in names
            if name != "vocals"
        }

    def _level(self, rng: np.random.Generator, stems: Mapping[str, torch.Tensor]) -> float:
        """Factor that brings the voice to a random level against the accompaniment."""
        level = rng.uniform(self.mixing.min_vocals_level, self.mixing.max_vocals_level)
        accompaniment_rms = _backing(stems).square().mean().sqrt().item()
        vocals_rms = stems["vocals"].square().mean().sqrt().item()
        if min(accompaniment_rms, vocals_rms) < SILENT_RMS:
            return 1.0
        return accompaniment_rms / vocals_rms * 10 ** (level / 20)

    def _crop(
        self, rng: np.random.Generator, song: DecodedSong, names: tuple[str, ...] | None = None
    ) -> dict[str, torch.Tensor]:
        """The same random stretch of a song's stems, at a random speed, channels swapped at random."""
        wanted = self.config.patch_samples
        is_faster_or_slower = rng.random() < self.mixing.speed_share
        percent = draw_percent(rng, self.mixing.max_speed_percent) if is_faster_or_slower else 0
        length = source_samples(wanted, percent)
        start = int(rng.integers(0, max(song.num_samples - length, 0) + 1))
        is_swapped = rng.random() < self.mixing.swap_share
        crops = {}
        for name in names or song.stems:
            crop = np.array(song.stem(name)[:, start : start + length], dtype=np.float32)
            if crop.shape[1] < length:
                crop = np.tile(crop, -(-length // crop.shape[1]))[:, :length]
            waveform = torch.from_numpy(crop)
            crops[name] = change_speed(swap_channels(waveform) if is_swapped else waveform, percent, wanted)
        return crops


class RandomMixes(torch.utils.data.Dataset):
    """Endless training examples; the one at an index depends on the seed and the index alone."""

    def __init__(self, mixer: Mixer, num_examples: int, seed: int):
        self.mixer, self.num_examples, self.seed = mixer, num_examples, seed

    def __len__(self) -> int:
        return self.num_examples

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return self.mixer.example(np.random.default_rng([self.seed, index]))


def _backing(stems: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """The sum of all but the voice."""
    first, *others = (stem for name, stem in stems.items() if name != "vocals")
    return sum(others, start=first)


def voice_shares(voices: Sequence[DecodedSong]) -> np.ndarray:
    """The probability of each voice: groups count by the square root of their length, voices by their share of it."""
    lengths: Counter[str] = Counter()
    for voice in voices:
        lengths[voice_group(voice.name)] += voice.num_samples
    shares = np.array([voice.num_samples / lengths[voice_group(voice.name)] ** 0.5 for voice in voices])
    return shares / shares.sum()


def _happens(rng: np.random.Generator, share: float) -> bool:
    return share > 0 and rng.random() < share


def _pick(rng: np.random.Generator, songs: Sequence[DecodedSong]) -> DecodedSong:
    return songs[int(rng.integers(len(songs)))]
