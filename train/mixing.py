"""Random training examples: crops of decoded songs, remixed between songs, deterministic in seed and index."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import datasets
import numpy as np
import torch
import torchaudio

from modeling_unet_svs import UNetSVSConfig

from .decoded_cache import open_stem

SILENT_RMS = 1e-4


@dataclass
class MixingArguments:
    """How training mixtures are made; shares are probabilities for each example."""

    mir1k_share: float = 0.4  # voices taken from MIR-1K rather than MUSDB18, where both are given
    no_vocals_share: float = 0.04  # examples without any voice
    coherent_share: float = 0.33  # voices that keep the accompaniment they were recorded with
    instrumentals_share: float = 0.4  # of the rest, over an instrumental rather than stems of several MUSDB18 songs
    min_gain: float = 0.25  # each stem of MUSDB18 is multiplied by a factor from here
    max_gain: float = 1.25  # to here
    min_vocals_level: float = -9.0  # dB, voice against accompaniment where no mix of the two is known, from
    max_vocals_level: float = 6.0  # to here
    speed_share: float = 0.3  # voices and accompaniments whose speed and pitch are changed
    max_speed_percent: int = 6  # by at most so much, up or down


class RandomMixes(torch.utils.data.Dataset):
    """Endless training examples; the one at an index depends on the seed and the index alone.

    Args:
        songs: rows made by `decode_songs`, of any of the sources that `songs.py` knows.
        config: the model's configuration: crop length, channels, rate and names of the labels.
        mixing: shares and levels.
        num_examples: length of the data set.
        seed: of all random choices.

    Raises:
        ValueError: songs without a voice, or without an accompaniment, or lacking a stem the model has as a source.
    """

    def __init__(
        self, songs: datasets.Dataset, config: UNetSVSConfig, mixing: MixingArguments, num_examples: int, seed: int
    ):
        self.config, self.mixing, self.num_examples, self.seed = config, mixing, num_examples, seed
        rows = [{**row, "files": {file["stem"]: file["file"] for file in row["stem_files"]}} for row in songs]
        self.voices = {source: [row for row in rows if row["source"] == source] for source in ("musdb18", "mir1k")}
        self.stem_songs = [row for row in rows if row["source"] == "musdb18"]
        self.instrumentals = [row for row in rows if row["source"] == "instrumentals"]
        if not any(self.voices.values()):
            raise ValueError("no song with a vocals stem to train on: give --musdb_dir or --mir1k_dir.")
        available = {"vocals", "accompaniment"} if self.instrumentals or self.voices["mir1k"] else None
        for source in config.sources:
            if available and source not in available:
                raise ValueError(f"source {source!r} needs songs with that stem: train on --musdb_dir alone.")

    def __len__(self) -> int:
        return self.num_examples

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        """One example: mixture `(channels, samples)`, labels `(sources, channels, samples)` and their bandwidth."""
        rng = np.random.default_rng([self.seed, index])
        stems, bandwidth = self._draw(rng)
        backing = [stem for name, stem in stems.items() if name != "vocals"]
        stems["accompaniment"] = sum(backing[1:], start=backing[0])
        return {
            "input_values": stems["vocals"] + stems["accompaniment"],
            "labels": torch.stack([stems[source] for source in self.config.sources]),
            "label_bandwidth": torch.tensor(bandwidth, dtype=torch.float32),
        }

    def _draw(self, rng: np.random.Generator) -> tuple[dict[str, torch.Tensor], float]:
        mixing = self.mixing
        use_mir1k = self.voices["mir1k"] and (not self.voices["musdb18"] or rng.random() < mixing.mir1k_share)
        song = _pick(rng, self.voices["mir1k" if use_mir1k else "musdb18"])
        others_to_mix = self.stem_songs or self.instrumentals
        if not others_to_mix or rng.random() < mixing.coherent_share:
            stems = self._crop(rng, song)
            mixed_by_artist = not use_mir1k
        else:
            stems = {"vocals": self._crop(rng, song, ("vocals",))["vocals"], **self._accompaniment(rng)}
            mixed_by_artist = False
        if mixed_by_artist:
            stems = {name: stem * rng.uniform(mixing.min_gain, mixing.max_gain) for name, stem in stems.items()}
        else:
            stems["vocals"] = stems["vocals"] * self._level(rng, stems)
        if rng.random() < mixing.no_vocals_share:
            stems["vocals"] = torch.zeros_like(stems["vocals"])
            return stems, self.config.sampling_rate / 2
        return stems, min(song["bandwidth"], self.config.sampling_rate / 2)

    def _accompaniment(self, rng: np.random.Generator) -> dict[str, torch.Tensor]:
        """An instrumental, or drums, bass and the other instruments each from a song of its own."""
        if self.instrumentals and (not self.stem_songs or rng.random() < self.mixing.instrumentals_share):
            return self._crop(rng, _pick(rng, self.instrumentals))
        low, high = self.mixing.min_gain, self.mixing.max_gain
        names = [name for name in self.stem_songs[0]["files"] if name != "vocals"]
        return {
            name: self._crop(rng, _pick(rng, self.stem_songs), (name,))[name] * rng.uniform(low, high)
            for name in names
        }

    def _level(self, rng: np.random.Generator, stems: Mapping[str, torch.Tensor]) -> float:
        """Factor that brings the voice to a random level against the accompaniment."""
        level = rng.uniform(self.mixing.min_vocals_level, self.mixing.max_vocals_level)
        backing = [stem for name, stem in stems.items() if name != "vocals"]
        accompaniment_rms = sum(backing[1:], start=backing[0]).square().mean().sqrt().item()
        vocals_rms = stems["vocals"].square().mean().sqrt().item()
        if min(accompaniment_rms, vocals_rms) < SILENT_RMS:
            return 1.0
        return accompaniment_rms / vocals_rms * 10 ** (level / 20)

    def _crop(
        self, rng: np.random.Generator, song: Mapping, names: tuple[str, ...] | None = None
    ) -> dict[str, torch.Tensor]:
        """The same random stretch of a song's stems, at a random speed, channels swapped at random.

        A song shorter than the stretch is repeated.
        """
        wanted = self.config.patch_samples
        percent = 0
        if rng.random() < self.mixing.speed_share:
            percent = int(rng.integers(-self.mixing.max_speed_percent, self.mixing.max_speed_percent + 1))
        length = -(-wanted * (100 + percent) // 100)
        start = int(rng.integers(0, max(song["num_samples"] - length, 0) + 1))
        swap = rng.random() < 0.5
        crops = {}
        for name in names or song["files"]:
            stem = open_stem(song["files"][name])
            crop = np.asarray(stem[:, start : start + length], dtype=np.float32)
            if crop.shape[1] < length:
                crop = np.tile(crop, -(-length // crop.shape[1]))[:, :length]
            waveform = torch.from_numpy(crop[::-1].copy() if swap else crop)
            if percent:
                waveform = torchaudio.functional.resample(waveform, 100 + percent, 100)[:, :wanted]
            crops[name] = waveform
        return crops


def _pick(rng: np.random.Generator, songs: list) -> Mapping:
    return songs[int(rng.integers(len(songs)))]


__all__ = ["MixingArguments", "RandomMixes"]
