"""One audio file to files of its stems, block by block."""

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np

from ..audio.reading_ahead import read_ahead
from ..audio.writing import FORMATS, AudioWriter, check_format, kept_layout, naming_file
from ..audio_reading import AudioFileError, AudioInfo
from ..separation import DEFAULT_BATCH_SIZE, SeparationStream, Separator
from .stem_tags import cover_of, fingerprint, stem_tags


class StemFile:
    """Writes a stem while it is computed; if it would clip, rewrites it scaled from a temporary copy."""

    def __init__(self, writer: AudioWriter, copy: IO[bytes] | None):
        self._writer, self._copy = writer, copy
        self._lengths: list[int] = []

    def write(self, stem: np.ndarray, encode: bool) -> None:
        """Appends samples; encodes them unless the file is known to need rewriting."""
        if self._copy:
            with naming_file(self._writer.path):
                self._copy.write(np.ascontiguousarray(stem).data)
            self._lengths.append(stem.shape[1])
        if encode:
            self._writer.write(stem)

    def write_again(self, scale: float) -> None:
        """Writes the file anew, with all samples multiplied."""
        assert self._copy is not None  # nothing else is ever scaled
        self._writer.restart()
        self._copy.seek(0)
        num_channels = self._writer.num_channels
        for length in self._lengths:
            samples = np.frombuffer(self._copy.read(4 * num_channels * length), dtype=np.float32)
            self._writer.write(samples.reshape(num_channels, -1) * np.float32(scale))


@contextmanager
def stem_file(
    output: Path, info: AudioInfo, subtype: str, tags: Mapping[str, str], cover: bytes | None, may_be_scaled: bool
) -> Iterator[StemFile]:
    """Context manager of a stem's file, which appears under its name at the end; an exception leaves nothing."""
    with ExitStack() as stack:
        with naming_file(output):
            stack.enter_context(new_folder(output.parent))
            make = partial(AudioWriter, output, info.sampling_rate, info.num_channels, layout=info.layout)
            writer = stack.enter_context(make(subtype=subtype, tags=tags, cover=cover))
            # On the outputs' disk, and without a name, so that nothing remains whatever happens.
            copy = stack.enter_context(tempfile.TemporaryFile(dir=output.parent)) if may_be_scaled else None
        yield StemFile(writer, copy)


@contextmanager
def new_folder(folder: Path) -> Iterator[None]:
    """Makes a folder; after an exception, removes what it made."""
    made = [missing for missing in (folder, *folder.parents) if not missing.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        with suppress(OSError):  # someone else has put a file there
            for empty in made:
                empty.rmdir()
        raise


# Largest sample that a format holds; "float" is limited where it is written as FLAC of 24 bits, or in a lossy format.
HIGHEST = {"16": 1 - 2.0**-15, "24": 1 - 2.0**-23, "float": 1 - 2.0**-23}


def separate_file(
    model: Separator,
    path: str | Path,
    outputs: Mapping[str, Path],
    *,
    subtype: str | None = None,
    batch_size: int = DEFAULT_BATCH_SIZE,
    audio_stream: int | None = None,
    strict: bool = False,
    progress_callback: Callable[[int, int | None], None] | None = None,
    say: Callable[[str], None] | None = None,
) -> float:
    """Separates a song and writes stems with its length, rate, channels, and what of its tags is true of them.

    Decoding, network and encoding run in parallel, and memory does not grow with the length of the song. Where an
    integer or lossy format would clip, samples of the song beyond full scale are limited, as in a file of that format;
    if stems would still clip, all are scaled by the same factor, so that they still add up to the song, scaled.

    Args:
        model: that separates.
        path: of the song.
        outputs: path of each stem to be written; the endings are the formats. Files that are there are replaced.
        subtype: "16", "24" or "float"; `None` for the song's own.
        batch_size: patches that the network takes at once.
        audio_stream: which of its audio streams, counted from 0; `None` for the default one.
        strict: whether lossy damage is an error, rather than silence.
        progress_callback: called with the samples done and all samples, as far as the song's header says.
        say: called with each line that a person should know of the song, such as damage.

    Returns:
        The factor that the stems were scaled by, 1.0 where nothing would clip.

    Raises:
        ValueError: a song that cannot be read or separated, or a format that cannot hold it.
        AudioFileError: outputs that cannot be written.
    """
    with read_ahead(path, audio_stream, strict) as (info, blocks), ExitStack() as stack:
        subtype = subtype or info.subtype
        formats = {output.suffix.lower().removeprefix(".") for output in outputs.values()}
        for format in formats:
            rate = check_format(format, info.num_channels).rate_for(info.sampling_rate)
            if rate != info.sampling_rate:
                info.notes.append(f"has {info.sampling_rate} Hz, which {format} cannot hold: stems have {rate} Hz.")
            layout = kept_layout(format, info.layout, info.num_channels)
            if info.layout and info.num_channels > 2 and layout != info.layout:
                info.notes.append(f"has the channels {info.layout}, which {format} cannot say: stems have {layout}.")
        stream = model.stream(info.sampling_rate, info.num_channels, batch_size=batch_size)
        holds_any_level = subtype == "float" and all(output.suffix.lower() == ".wav" for output in outputs.values())
        checkpoint, source = model.checkpoint or getattr(model, "name_or_path", ""), fingerprint(path)
        tags = {name: stem_tags(info.tags, name, checkpoint, source) for name in outputs}
        cover = cover_of(path) if any(FORMATS[format].holds_cover for format in formats) else None
        files = {
            name: stack.enter_context(stem_file(output, info, subtype, tags[name], cover, not holds_any_level))
            for name, output in outputs.items()
        }
        # Each file has a thread that encodes while the network computes the next samples.
        pool = stack.enter_context(ThreadPoolExecutor(len(files)))
        scale, highest, lowest, limit = 1.0, 0.0, 0.0, HIGHEST[subtype]
        writing: list[Future[None]] = []
        blocks = _finite(blocks, info)
        if not holds_any_level:
            blocks = _limited(blocks, limit, info.notes)
        for stems, num_read in _separated(blocks, stream):
            highest = max(highest, *(float(stem.max(initial=0)) for stem in stems.values()))
            lowest = min(lowest, *(float(stem.min(initial=0)) for stem in stems.values()))
            if not holds_any_level:
                scale = min(limit / max(highest, limit), 1 / max(-lowest, 1))
            _wait_for(writing)
            writing = [pool.submit(file.write, stems[name], scale == 1) for name, file in files.items()]
            if progress_callback:
                progress_callback(num_read, info.num_samples)
        _wait_for(writing)
        if scale != 1:
            _wait_for([pool.submit(file.write_again, scale) for file in files.values()])
        if say is not None:
            for note in info.notes:
                say(note)
    return scale


def _finite(blocks: Iterable[np.ndarray], info: AudioInfo) -> Iterator[np.ndarray]:
    """Blocks, or an error that says where the song has a sample that is no number."""
    num_read = 0
    for block in blocks:
        is_finite = np.isfinite(block).all(axis=0)
        if not is_finite.all():
            first = num_read + int(np.argmin(is_finite))
            where = f"{first / info.sampling_rate:.3f} s (number {first} from 0)"
            raise AudioFileError(info.path, f"has a sample that is NaN or infinite at {where}.")
        num_read += block.shape[1]
        yield block


def _limited(blocks: Iterable[np.ndarray], limit: float, notes: list[str]) -> Iterator[np.ndarray]:
    """Blocks whose samples beyond full scale are limited: a glitch must not make all of the song quieter."""
    num_limited = 0
    for block in blocks:
        is_beyond = (block > 1) | (block < -1)
        num_limited += int(is_beyond.sum())
        yield np.clip(block, -1, limit) if is_beyond.any() else block
    if num_limited:
        notes.append(f"has {num_limited} samples beyond full scale, which are limited to it.")


def _separated(blocks: Iterable[np.ndarray], stream: SeparationStream) -> Iterator[tuple[dict[str, np.ndarray], int]]:
    """Stems as they become complete, each time with the number of samples read."""
    num_read = 0
    for block in blocks:
        num_read += block.shape[1]
        stems = stream.push(block)
        if stems is not None:
            yield stems, num_read
    yield stream.flush(), num_read


def _wait_for(writing: Iterable[Future[None]]) -> None:
    for written in writing:
        written.result()
