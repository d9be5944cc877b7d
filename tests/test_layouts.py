"""Any copy of a data set gives the same songs."""

import logging
import shutil

import datasets
import pyarrow as pa
import pytest

from train.arguments import DataArguments
from train.data.folders import MIR1K_VALIDATION_SINGERS, MUSDB18_VALIDATION, load_song_collection
from train.data.loading import find_songs
from train.data.songs import canonical_stem, read_stems

from . import data_sets
from .conftest import raises_one_line, write_song
from .data_sets import RATE, SONGS, TRAIN_SONGS, backing_of, error_of, names_of, stems_of

MAKERS = {
    "musdb18": data_sets.make_musdb18,
    "musdb18-hq": data_sets.make_musdb18_hq,
    "dsd100": data_sets.make_dsd100,
    "columns": data_sets.make_columns,
    "five-rows": lambda folder: data_sets.make_five_rows(folder, named=True),
    "stem-rows": data_sets.make_stem_rows,
    "segments": data_sets.make_segments,
}
# Songs, as `<singer>_<song>`, that are sung to the same backing track; jmzen shares none.
MIR1K_SHARED_TRACKS = (
    *("Kenshin_5 davidson_3 fdps_3 leon_2", "Ani_2 fdps_2 geniusturtle_4", "bobon_3 leon_1 tammy_1", "amy_6 leon_5"),
    *("amy_7 yifen_2", "annar_2 heycat_1", "annar_4 fdps_4", "davidson_2 fdps_5", "heycat_4 titon_1"),
    *("khair_5 leon_3", "jmzen_1"),
)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("layouts")
    for name, make in MAKERS.items():
        make(root / name)
    return root


@pytest.fixture(autouse=True)
def hub_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hub-cache")


@pytest.mark.parametrize("layout", MAKERS)
def test_each_layout_is_recognised_and_gives_the_same_songs_and_stems(root, layout, caplog):
    with caplog.at_level(logging.WARNING):
        songs = load_song_collection(root / layout)
    assert [record.message for record in caplog.records if f"({layout})" in record.message]
    names = {split: [song.name.split(" [")[0] for song in part] for split, part in songs.items()}
    expected = {"train": {*TRAIN_SONGS}, "validation": {MUSDB18_VALIDATION[0]}, "test": {"Nobody - Four"}}
    assert list(names) == list(expected)
    assert {split: {*found} for split, found in names.items()} == expected
    assert len(names["train"]) == (6 if layout == "segments" else 3)
    assert all(song.split == split for split, part in songs.items() for song in part)
    wanted = stems_of(names["train"][0])
    (mixture, vocals, accompaniment), rate = read_stems(songs["train"][0], ("mixture", "vocals", "accompaniment"))
    assert rate == RATE
    backing = backing_of(wanted)
    # MUSDB18's own files are of a lossy format, which does not keep noise as it was.
    tolerance = 0.5 if layout == "musdb18" else 1e-5
    assert error_of(vocals, wanted["vocals"]) < min(tolerance, 1e-3)
    assert error_of(accompaniment, backing) < tolerance
    assert error_of(mixture, backing + wanted["vocals"]) < tolerance


@pytest.mark.parametrize("order", [data_sets.ALPHABETICAL, ("mixture", "drums", "bass", "other", "vocals")])
def test_five_rows_that_nothing_names_are_told_by_which_is_the_sum_of_the_others(tmp_path, order):
    songs = load_song_collection(data_sets.make_five_rows(tmp_path / "data", order))
    assert [len(part) for part in songs.values()] == [3, 1, 1]
    (vocals, drums), _ = read_stems(songs["train"][0], ("vocals", "drums"))
    wanted = stems_of(SONGS["train"][0])
    assert max(error_of(vocals, wanted["vocals"]), error_of(drums, wanted["drums"])) < 1e-5


def test_what_save_to_disk_wrote_is_a_data_set_too(root, tmp_path):
    datasets.load_dataset(str(root / "columns")).save_to_disk(tmp_path / "saved")
    assert names_of(load_song_collection(tmp_path / "saved")["train"]) == sorted(TRAIN_SONGS)


def test_audio_inside_a_data_set_is_not_copied(root):
    """It stays where `datasets` has mapped it into memory: what is allocated is small against it."""
    for layout in ("columns", "five-rows", "stem-rows", "segments"):
        load_song_collection(root / layout)
        size = sum(path.stat().st_size for path in (root / layout).rglob("*.parquet"))
        before = pa.total_allocated_bytes()
        songs = load_song_collection(root / layout)
        assert len(songs["train"]) >= 3
        assert pa.total_allocated_bytes() - before < size / 10


def test_folders_of_songs_may_have_any_stems(tmp_path, caplog):
    songs = load_song_collection(data_sets.make_song_folders(tmp_path))
    assert "song-folders" in caplog.text
    found = sum(songs.values(), [])
    assert names_of(found) == sorted(TRAIN_SONGS)
    assert len(songs["validation"]) == 1
    for song in found:
        wanted = stems_of(song.name)
        (vocals, accompaniment), _ = read_stems(song)
        assert error_of(vocals, wanted["vocals"]) < 1e-5
        assert error_of(accompaniment, backing_of(wanted)) < 1e-5


def make_songs(folder, *names: str):
    """Songs of a vocals and an accompaniment file."""
    for name in names:
        for stem in ("vocals", "accompaniment"):
            write_song(folder / name / f"{stem}.wav", stems_of(name, 100)["vocals"], RATE)
    return folder


def test_two_albums_have_a_song_of_the_same_name(tmp_path):
    songs = sum(load_song_collection(make_songs(tmp_path, "A/Intro", "B/Intro", "B/Song")).values(), [])
    assert names_of(songs) == ["A/Intro", "B/Intro", "Song"]
    assert all(set(song.recorded) == {"vocals", "accompaniment"} for song in songs)


def test_songs_of_any_alphabet_validate(tmp_path):
    names = [f"Песня {letter}" for letter in "абвгдежзик"]
    songs = load_song_collection(make_songs(tmp_path, *names, "歌", "!?"))
    assert [len(part) for part in songs.values()] == [11, 1, 0]


def test_links_are_followed_and_hidden_files_are_left_out(tmp_path):
    elsewhere = make_songs(tmp_path / "elsewhere", "One", "Two")
    songs = make_songs(tmp_path / "songs", "Three", ".hidden/Four")
    for link, target in {"One": elsewhere / "One", "Two": elsewhere / "Two", "Three/all songs": songs}.items():
        (songs / link).symlink_to(target)
    for name in ("._vocals.wav", "._mixture.stem.mp4"):
        (songs / "Three" / name).write_text("left by a Mac")
    assert names_of(sum(load_song_collection(songs).values(), [])) == ["One", "Three", "Two"]


def test_the_layout_is_recognised_or_forced_and_a_wrong_one_is_refused(root, tmp_path):
    data_sets.make_mir1k(tmp_path / "mir-1k")
    songs = load_song_collection(tmp_path / "mir-1k", layout="mir1k")
    assert [len(part) for part in songs.values()] == [2, 1, 0]
    assert {song.source for song in songs["train"]} == {"mir1k"}
    (tmp_path / "empty").mkdir()
    disordered = data_sets.make_five_rows(tmp_path / "disordered", ("vocals", "drums", "bass", "mixture", "other"))
    for layout, folder, said in [
        ("dsd100", root / "musdb18", "--layout dsd100: no songs .* it looks like musdb18"),
        ("musdb18", root / "dsd100", "--layout musdb18: no songs .* it looks like dsd100"),
        ("columns", root / "stem-rows", "--layout columns .* does not fit a data set with the columns track"),
        ("five-rows", root / "columns", "--layout five-rows .* does not fit"),
        ("columns", root / "musdb18", "--layout columns|--dataset_name"),
        ("stem-rows", tmp_path / "empty", "--dataset_name .*empty"),
        ("musdb19", root / "columns", "--layout musdb19 is unknown: use one of musdb18"),
        (None, disordered, "--layout five-rows: nothing names the stems"),
        (None, tmp_path / "empty", "no songs found in .*empty"),
        (None, "no/such-data-set", "--dataset_name no/such-data-set is neither a folder nor a data set of the Hub"),
    ]:
        with raises_one_line(said):
            load_song_collection(folder, layout=layout)


@pytest.mark.parametrize("layout", ["musdb18-hq", "song-folders"])
def test_a_song_that_lacks_a_stem_is_named_or_left_out(tmp_path, layout, caplog):
    data_sets.make_musdb18_hq(tmp_path)
    (tmp_path / "train" / TRAIN_SONGS[1] / "other.wav").unlink()
    with pytest.raises(ValueError, match=r"Two.* has no other.*--skip_broken_songs"):
        load_song_collection(tmp_path, layout=layout)
    songs = load_song_collection(tmp_path, layout=layout, skip_broken_songs=True)
    assert names_of(songs["train"]) == sorted({*TRAIN_SONGS} - {TRAIN_SONGS[1]})
    assert "left out: 'Somebody - Two' has no other" in caplog.text


def test_a_row_of_a_data_set_that_lacks_its_vocals_is_named_or_left_out(tmp_path, caplog):
    audio = [data_sets.encoded(tmp_path, song, "vocals", "x.wav") for song in TRAIN_SONGS]
    columns = {"name": list(TRAIN_SONGS), "mixture": audio, "vocals": [audio[0], None, audio[2]]}
    data_sets.write_parquet(tmp_path / "data" / "train.parquet", columns)
    with pytest.raises(ValueError, match="'Somebody - Two' of .* has no"):
        load_song_collection(tmp_path)
    songs = load_song_collection(tmp_path, skip_broken_songs=True)
    assert sum(len(part) for part in songs.values()) == 2
    assert "left out: 'Somebody - Two'" in caplog.text


def test_stems_that_do_not_fit_together_are_named(tmp_path):
    data_sets.make_song_folders(tmp_path)
    write_song(tmp_path / TRAIN_SONGS[1] / "vocals.wav", stems_of("x")["vocals"][:, :20_000], RATE)
    write_song(tmp_path / TRAIN_SONGS[2] / "bass.wav", stems_of("x")["bass"], 48_000)
    songs = {song.name: song for part in load_song_collection(tmp_path).values() for song in part}
    with pytest.raises(ValueError, match="'Somebody - Two' differ in length: .*vocals.wav 0.45 s"):
        read_stems(songs[TRAIN_SONGS[1]])
    with pytest.raises(ValueError, match="'Somebody - Three': .*bass.wav has 48000 Hz where the other.* 44100 Hz"):
        read_stems(songs[TRAIN_SONGS[2]])


def test_singers_who_share_a_backing_track_are_in_one_split():
    groups = []
    for songs in MIR1K_SHARED_TRACKS:
        sharing = {song.split("_")[0] for song in songs.split()}
        linked = sharing.union(*(group for group in groups if group & sharing))
        groups = [group for group in groups if not group & sharing] + [linked]
    assert sorted(map(len, groups)) == [1, 14]
    assert min(groups, key=len) == set(MIR1K_VALIDATION_SINGERS)


def test_no_clip_of_mir1k_shares_its_backing_track_with_one_of_the_other_split(mir1k_dir):
    songs = load_song_collection(mir1k_dir)
    assert [len(songs[split]) for split in ("train", "validation")] == [782, 52]
    assert {song.name.split("_")[0] for song in songs["validation"]} == {"jmzen"}


def test_stems_have_many_names():
    names = {"audio_mix": "mixture", "Vocals": "vocals", "no_vocals": "accompaniment", "other.wav": "other"}
    names |= {"backing_track": "accompaniment", "cover": None, "Somebody - One": None}
    assert {name: canonical_stem(name) for name in names} == names


def test_flags_are_put_together(root, tmp_path):
    shutil.copytree(root / "dsd100", tmp_path / "dsd100")
    data = DataArguments(musdb_dir=str(root / "musdb18"), stems_dir=str(tmp_path / "dsd100"))
    data.check_data()
    train, validation = find_songs(data)
    assert (len(train), len(validation)) == (6, 2)
    assert {song.source for song in train} == {"musdb18", "stems"}
    for given, said in [
        ({}, "nothing to train on"),
        ({"layout": "dsd100", "musdb_dir": "x"}, "--layout is that of --stems_dir or --dataset_name"),
        ({"streaming": True, "musdb_dir": "x"}, "--streaming reads --dataset_name, which is not given"),
        ({"streaming": True, "dataset_name": "x", "stems_dir": "y"}, "leave the folders out"),
    ]:
        with pytest.raises(ValueError, match=said):
            DataArguments(**given).check_data()
