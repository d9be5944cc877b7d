"""What people report of files as they are: each kind with a file that is made here, and what becomes of it."""

import pytest

from modeling_unet_svs.command.file_separation import separate_file
from modeling_unet_svs.command.stem_tags import fingerprint, is_stem_of, stem_tags

from .conftest import noise, write_song

RATE = 16_000
UNTRUE = ("REPLAYGAIN_TRACK_GAIN", "R128_TRACK_GAIN", "iTunSMPB", "iTunNORM", "ISRC", "MusicBrainz Track Id")
UNTRUE += ("ACOUSTID_ID", "encoder", "compatible_brands", "CODING_HISTORY")


def test_tags_of_a_stem_are_those_that_are_true_of_it():
    tags = dict.fromkeys(UNTRUE, "x") | {"title": "Song", "artist": "Someone", "comment": "Mine."}
    stem = stem_tags(tags, "vocals", "user/model", "0123456789abcdef")
    assert not {*UNTRUE} & {*stem}
    assert (stem["title"], stem["artist"]) == ("Song (vocals)", "Someone")
    assert stem["comment"].startswith("[vocals by unet-svs ") and stem["comment"].endswith("] Mine.")
    assert "checkpoint user/model, source 0123456789abcdef]" in stem["comment"]
    again = stem_tags(stem, "drums", "user/model", "1" * 16)
    assert again["comment"].count("[") == 1 and "0123" not in again["comment"]


@pytest.mark.parametrize("format", ["wav", "flac", "mp3", "m4a", "ogg"])
def test_a_stem_says_which_file_it_was_made_from(model, tmp_path, format):
    song = write_song(tmp_path / f"song.{format}", noise(1, RATE), RATE, tags={"title": "One", "comment": "x" * 5000})
    other = write_song(tmp_path / f"other.{format}", noise(1, RATE, seed=1), RATE, tags={"title": "One"})
    stem = tmp_path / "out" / f"vocals.{format}"
    separate_file(model, song, {"vocals": stem})
    assert is_stem_of(stem, fingerprint(song)) and not is_stem_of(stem, fingerprint(other))
    assert not is_stem_of(song, fingerprint(song)) and not is_stem_of(tmp_path / "nowhere", fingerprint(song))
