"""`python -m train.listen --after MODEL --stems_dir DIR --output_dir FOLDER`: a page that plays two models' stems.

The folder's `index.html` opens without a server. The songs are those of --stems_dir, --musdb_dir or --mir1k_dir, whose
true stems are played and scored against, or mixed songs, --songs FILES."""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Template
from train.draw_separation import draw_separation
from transformers.hf_argparser import HfArg

from modeling_unet_svs.audio.whole_files import whole_folder
from modeling_unet_svs.audio.writing import AudioWriter
from modeling_unet_svs.audio_reading import read_audio
from modeling_unet_svs.command.torch_runtime import load_checkpoint
from modeling_unet_svs.separation import refuse_if
from train.arguments import CommandParser, EvaluationArguments
from train.evaluate import find_songs_to_score, read_references
from train.evaluation.scores import STEMS, sdr
from train.exit_codes import run_command

TEMPLATE = Path(__file__).with_name("listen.html")


@dataclass(kw_only=True)
class ListenArguments(EvaluationArguments):
    """Two models, the songs, and the page's folder."""

    before: str = HfArg(default=EvaluationArguments.model, help="Folder or Hub id of the model to compare with.")
    after: str = HfArg(default=EvaluationArguments.model, help="Folder or Hub id of the new model.")
    songs: list[str] = HfArg(default_factory=list, help="Mixed songs, in place of a folder of stems.")
    output_dir: str = HfArg(default="listen", help="Folder for the page.")
    num_songs: int = HfArg(default=5, help="Songs on the page.")
    seconds: int = HfArg(default=20, help="Length played and scored, where a song is loudest.")

    def __post_init__(self):
        refuse_if(self.num_songs < 1 or self.seconds < 1, "--num_songs and --seconds must be at least 1.")
        refuse_if(
            self.songs and (self.musdb_dir or self.mir1k_dir or self.stems_dir), "--songs, or a folder, not both."
        )
        if not self.songs:
            super().__post_init__()


def read_songs(arguments: ListenArguments) -> Iterator[tuple[str, dict[str, np.ndarray], np.ndarray, int]]:
    """Name, true stems where they are known, mixture and rate of each song, where its voice or it is loudest."""
    songs = arguments.songs or find_songs_to_score(arguments).songs
    for song in songs[: arguments.num_songs]:
        if isinstance(song, str):
            name, references, (mixture, rate) = Path(song).name, {}, read_audio(song)
        else:
            stems, rate = read_references(song)
            name, references, mixture = song.name, dict(zip(STEMS, stems)), stems.sum(axis=0)
        length = min(arguments.seconds * rate, mixture.shape[1])
        energy = np.cumsum(np.square(references.get("vocals", mixture), dtype=np.float64).sum(axis=0))
        start = int(np.argmax(energy[length - 1 :] - np.append(0, energy[:-length])))
        part = slice(start, start + length)
        yield name, {stem: its[:, part] for stem, its in references.items()}, mixture[:, part], rate


def write_page(arguments: ListenArguments) -> None:
    """Writes the page, its sounds and its pictures."""
    models = {"before": load_checkpoint(arguments.before), "after": load_checkpoint(arguments.after)}
    songs: list[Mapping[str, Any]] = []
    with whole_folder(arguments.output_dir) as folder:
        for number, (name, references, mixture, rate) in enumerate(read_songs(arguments), 1):
            rows = {"mixture": {"mixture": mixture}, "true stems": references}
            pictures = {}
            for role, model in models.items():
                rows[role] = model.separate(mixture, rate)
                pictures[role] = f"{number} {role}.png"
                draw_separation(mixture, rows[role], rate).savefig(folder / pictures[role], dpi=60)
            tracks = [(role, stem, waveform) for role, stems in rows.items() for stem, waveform in stems.items()]
            sounds = []
            for role, stem, waveform in tracks:
                score = sdr(references[stem], waveform) if role in models and stem in references else np.nan
                sounds.append({"role": role, "stem": stem, "file": f"{number} {role} {stem}.opus", "score": score})
                with AudioWriter(folder / sounds[-1]["file"], rate, len(waveform)) as writer:
                    writer.write(waveform)
            songs.append({"name": name, "sounds": sounds, "pictures": pictures})
        page = Template(TEMPLATE.read_text(), autoescape=True).render(songs=songs, about=arguments)
        (folder / "index.html").write_text(page, encoding="utf-8")
    print(f"open {Path(arguments.output_dir, 'index.html')} in a browser")


def main() -> int:
    """Exits with 2 where a model or a song cannot be read."""
    parser = CommandParser(ListenArguments, prog="python -m train.listen")
    return run_command("listen", lambda: write_page(*parser.parse_args_into_dataclasses()))


if __name__ == "__main__":
    sys.exit(main())
