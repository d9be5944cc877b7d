"""The flags that say what is trained on."""

from __future__ import annotations

from dataclasses import dataclass, field

from .song_collections import LAYOUTS


@dataclass(kw_only=True)
class DataArguments:
    """Which songs, where they are kept decoded, and how a data set larger than the disk is read."""

    musdb_dir: str | None = field(default=None, metadata={"help": "MUSDB18: folder with train/ and test/."})
    mir1k_dir: str | None = field(default=None, metadata={"help": "MIR-1K: folder of clips."})
    instrumentals_dir: str | None = field(default=None, metadata={"help": "Folder of music without voice."})
    stems_dir: str | None = field(
        default=None,
        metadata={"help": "Folder of SONG/{vocals, accompaniment | mixture | drums,bass,other}.*, or DSD100."},
    )
    dataset_name: str | None = field(
        default=None, metadata={"help": "Data set of the Hub, or a local copy, with the stems of songs."}
    )
    layout: str | None = field(
        default=None,
        metadata={"help": f"Of --stems_dir or --dataset_name, where it is not recognised: {', '.join(LAYOUTS)}."},
    )
    skip_broken_songs: bool = field(
        default=False, metadata={"help": "Leave out songs that lack a stem or cannot be decoded, instead of stopping."}
    )
    cache_dir: str | None = field(
        default=None, metadata={"help": "Where songs are kept decoded; default: output_dir/../cache."}
    )
    decoding_workers: int = field(default=0, metadata={"help": "Threads that decode; 0 for one per core, up to 8."})
    streaming: bool = field(
        default=False, metadata={"help": "Read --dataset_name song by song while training; nothing is kept."}
    )
    shuffle_buffer_size: int = field(
        default=64, metadata={"help": "With --streaming: crops that are held and mixed, for each worker."}
    )
    crops_per_song: int = field(default=8, metadata={"help": "With --streaming: crops of a song each time it comes."})

    def check_data(self) -> None:
        """Checks that the flags fit together.

        Raises:
            ValueError: nothing to train on, or a flag that needs or excludes another.
        """
        if self.streaming:
            if not self.dataset_name:
                raise ValueError("--streaming reads --dataset_name, which is not given.")
            if self.musdb_dir or self.mir1k_dir or self.stems_dir or self.instrumentals_dir:
                raise ValueError("--streaming reads --dataset_name alone: leave the folders out.")
            if self.shuffle_buffer_size < 1 or self.crops_per_song < 1:
                raise ValueError("--shuffle_buffer_size and --crops_per_song must be at least 1.")
        if self.stems_dir and self.dataset_name and self.layout:
            raise ValueError("--layout says how one of --stems_dir and --dataset_name is laid out, not both.")
        if self.layout and not self.stems_dir and not self.dataset_name:
            raise ValueError("--layout is that of --stems_dir or --dataset_name, and neither is given.")
        if not (self.musdb_dir or self.mir1k_dir or self.stems_dir or self.dataset_name):
            raise ValueError(
                "nothing to train on: give --musdb_dir, --mir1k_dir, or both, or --stems_dir, or --dataset_name."
            )


__all__ = ["DataArguments"]
