"""`python -m train.fetch_instrumentals DIR`: about 18 hours of freely licensed music without voice, from Debian.

The packages are the music of free games; their licences (CC BY-SA, CC BY, GPL, CC0, ...) are in each package's
`copyright` file, which is kept beside the music. It needs `apt-get` and `dpkg-deb`, and installs nothing."""

import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from modeling_unet_svs.audio.writing import AudioWriter
from modeling_unet_svs.audio_reading import read_audio
from train.exit_codes import run_command

# Debian package: folders in it, or a zip, that hold music and no effects or speech.
PACKAGES = {
    "warzone2100-music": "usr/share/games/warzone2100/music",
    "ufoai-music": "usr/share/games/ufoai/base/0music.pk3",
    "wesnoth-1.16-music": "usr/share/games/wesnoth/1.16/data/core/music",
    "supertux-data": "usr/share/games/supertux2/music",
    "singularity-music": "usr/share/games/singularity/music",
    "supertuxkart-data": "usr/share/games/supertuxkart/data/music",
    "freedroidrpg-data": "usr/share/freedroidrpg/data/sound/music",
    "redeclipse-data": "usr/share/games/redeclipse/data/sounds/music",
    "hyperrogue-music": "usr/share/hyperrogue/music",
    "fretsonfire-songs-sectoid": "usr/share/games/fretsonfire/data/songs/sectoid",
    "drascula-music": "usr/share/scummvm/drascula/audio",
    "hedgewars-data": "usr/share/games/hedgewars/Data/Music",
    "nexuiz-music": "usr/share/games/nexuiz/data/music.pk3",
}
SUFFIXES = {".ogg", ".opus", ".mp3", ".flac", ".wav"}
MIN_SECONDS = 20


def fetch_all(folder: str) -> None:
    """Fetches the packages that are not there yet."""
    for package, music in PACKAGES.items():
        target = Path(folder, package)
        if not target.is_dir():
            print(package, flush=True)
            target.parent.mkdir(parents=True, exist_ok=True)
            fetch(package, music, target)


def fetch(package: str, music: str, target: Path) -> None:
    """Downloads one package and keeps its music in `target`."""
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".partial-") as folder:
        subprocess.run(["apt-get", "download", "-qq", package], cwd=folder, check=True)
        (archive,) = Path(folder).glob("*.deb")
        subprocess.run(["dpkg-deb", "-x", archive, folder], check=True)
        source, kept = Path(folder, music), Path(folder, "kept")
        if zipfile.is_zipfile(source):
            with zipfile.ZipFile(source) as packed:
                packed.extractall(Path(folder, "unpacked"))
            source = Path(folder, "unpacked")
        kept.mkdir()
        for path in sorted(source.rglob("*")):
            if path.name == "song.ogg":  # the guitar of these songs is a file of its own
                write_sum([path, path.with_name("guitar.ogg")], kept / f"{path.parent.name}.flac")
            elif path.suffix.lower() in SUFFIXES and path.name != "guitar.ogg" and is_music(path):
                shutil.copy(path, kept / "_".join(path.relative_to(source).parts))
        shutil.copy(Path(folder, "usr/share/doc", package, "copyright"), kept)
        kept.rename(target)


def is_music(path: Path) -> bool:
    """Tells music from jingles and from files that cannot be decoded."""
    try:
        waveform, rate = read_audio(path)
    except ValueError as error:
        print(f"left out: {path.name}: {error.args[-1]}", file=sys.stderr)
        return False
    return waveform.shape[1] >= MIN_SECONDS * rate


def write_sum(paths: list[Path], target: Path) -> None:
    (first, rate), (second, _) = (read_audio(path) for path in paths)
    length = min(first.shape[1], second.shape[1])
    with AudioWriter(target, rate, len(first), subtype="24") as writer:
        writer.write(0.7 * (first[:, :length] + second[:, :length]))


if __name__ == "__main__":
    sys.exit(run_command("fetch_instrumentals", fetch_all, "DIR"))
