"""What people report of files as they are: each kind with a file that is made here, and what becomes of it."""

import io
import re
import struct

import av
import numpy as np
import pytest

from modeling_unet_svs.audio.writing import FORMATS
from modeling_unet_svs.audio_reading import AudioFileError, AudioReader, read_audio
from modeling_unet_svs.command.file_separation import separate_file
from modeling_unet_svs.command.stem_tags import cover_of, fingerprint, is_stem_of, stem_tags

from .conftest import noise, write_song
from .fuzz.seeds import encoded, make_picture

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


@pytest.mark.parametrize("format", FORMATS)
def test_a_stem_says_which_file_it_was_made_from(model, tmp_path, format):
    song = write_song(tmp_path / f"song.{format}", noise(1, RATE), RATE, tags={"title": "One", "comment": "x" * 5000})
    other = write_song(tmp_path / f"other.{format}", noise(1, RATE, seed=1), RATE, tags={"title": "One"})
    stem = tmp_path / "out" / f"vocals.{format}"
    separate_file(model, song, {"vocals": stem})
    assert is_stem_of(stem, fingerprint(song)) and not is_stem_of(stem, fingerprint(other))
    assert not is_stem_of(song, fingerprint(song)) and not is_stem_of(tmp_path / "nowhere", fingerprint(song))


def packets_of(path, source, container, keep=lambda number: True, delay=0.0, picture=False):
    """A file with the packets of another, of which some are left out, and all begin late beside a picture."""
    with av.open(str(source)) as before, av.open(str(path), "w", format=container) as after:
        template = before.streams.audio[0]
        film = after.add_stream("mpeg4", rate=10) if picture else None
        if film is not None:
            film.width = film.height = 32
        stream = after.add_stream_from_template(template)
        if film is not None:
            frame = av.VideoFrame(32, 32, "yuv420p")
            after.mux([*film.encode(frame), *film.encode(None)])
        shift = round(delay / template.time_base)
        for number, packet in enumerate(packet for packet in before.demux(template) if packet.size):
            if keep(number):
                packet.stream, packet.pts, packet.dts = stream, packet.pts + shift, packet.dts + shift
                after.mux(packet)
    return path


def read(path, *arguments, **options):
    with AudioReader(path, *arguments, **options) as reader:
        return np.concatenate(list(reader.blocks()), axis=1), reader.info


@pytest.fixture
def m4a(tmp_path):
    return write_song(tmp_path / "whole.m4a", np.cumsum(noise(2, 100_000), axis=1) * 0.01)


@pytest.mark.parametrize("container", ["mp4", "matroska", "mpegts"])
def test_a_hole_is_silence_of_its_length(tmp_path, m4a, container):
    whole, _ = read(packets_of(tmp_path / "whole", m4a, container))
    holed, info = read(packets_of(tmp_path / "holed", m4a, container, lambda number: not 30 <= number < 50))
    assert abs(holed.shape[1] - whole.shape[1]) < 100
    assert not holed[:, 33 * 1024 : 47 * 1024].any()
    assert np.abs(holed - whole[:, : holed.shape[1]])[:, 60 * 1024 :].max() < 0.1
    assert "1 hole(s) in its time line, filled with 0.4" in info.notes[0]


@pytest.mark.parametrize("container", ["mp4", "matroska", "mpegts"])
def test_sound_that_begins_after_the_picture_keeps_its_place(tmp_path, m4a, container):
    beside, _ = read(packets_of(tmp_path / "late", m4a, container, delay=0.5, picture=True))
    alone, _ = read(packets_of(tmp_path / "alone", m4a, container, delay=0.5))
    assert abs(beside.shape[1] - alone.shape[1] - 22_050) < 1_100
    assert not beside[:, :20_000].any()


def test_a_short_or_missing_length_in_a_header_cuts_no_music(tmp_path, m4a):
    content = m4a.read_bytes()
    at = content.index(b"mdhd") + 4 + 16
    length = int.from_bytes(content[at : at + 4], "big")
    for claimed in (length // 2, 0, 3 * length):
        samples, _ = read(content[:at] + claimed.to_bytes(4, "big") + content[at + 4 :])
        assert 100_000 <= samples.shape[1] < 103_000
    with pytest.raises(AudioFileError, match="truncated"):
        read(content[: len(content) // 2])


def test_a_lossless_codec_has_no_padding_that_a_header_could_trim(tmp_path):
    content = bytearray(encoded(tmp_path / "song.m4a", "ipod", "alac", 44_100, "s16p", seconds=0.25))
    at = content.index(b"mdhd") + 4 + 16
    content[at : at + 4] = (5_000).to_bytes(4, "big")
    samples, _ = read(bytes(content))
    assert samples.shape == (2, 11_025)


def test_lost_pages_are_silence_that_is_said_or_an_error(tmp_path):
    encoded(tmp_path / "song.ogg", "ogg", "vorbis", 44_100, "fltp", seconds=5)
    content = (tmp_path / "song.ogg").read_bytes()
    pages = [match.start() for match in re.finditer(b"OggS\0", content)]
    whole, _ = read(content)
    middle = len(pages) // 2
    damaged = content[: pages[middle]] + content[pages[middle + 1] :]
    samples, info = read(damaged)
    assert samples.shape == whole.shape and "is damaged: " in info.notes[0]
    with pytest.raises(AudioFileError, match="are lost"):
        read(damaged, strict=True)


@pytest.mark.parametrize(("width", "valid"), [(4, 24), (4, 20), (3, 16)])
def test_valid_bits_in_more_bytes_are_read_rightly_and_big_endian_is_refused(width, valid):
    values = (noise(2, 5_000).T * 2**15).astype("<i4") << (8 * width - 16)
    data = np.ascontiguousarray(values, "<i4").view(np.uint8).reshape(-1, 4)[:, :width].tobytes()
    layout = struct.pack("<HHIIHHHHI", 0xFFFE, 2, RATE, RATE * 2 * width, 2 * width, 8 * width, 22, valid, 3)
    form = layout + bytes.fromhex("0100000000001000800000aa00389b71")
    content = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(data)) + data
    samples, info = read(b"RIFF" + struct.pack("<I", len(content)) + content)
    assert info.sampling_rate == RATE and np.abs(samples - noise(2, 5_000)).max() < 2.0**-14
    with pytest.raises(AudioFileError, match="RIFX"):
        read(b"RIFX" + struct.pack(">I", len(content)) + content)


def test_bytes_and_open_files_are_read_as_files_are(tmp_path):
    song = write_song(tmp_path / "song.flac", noise(2, RATE), RATE)
    with open(song, "rb") as file:
        for source in (song.read_bytes(), file, io.BytesIO(song.read_bytes())):
            assert np.array_equal(read_audio(source)[0], read_audio(song)[0])


def test_the_default_stream_is_taken_and_another_can_be_chosen(tmp_path):
    with av.open(str(tmp_path / "two.mkv"), "w", format="matroska") as container:
        streams = [container.add_stream("flac", rate=RATE, layout=layout) for layout in ("mono", "stereo")]
        for number, stream in enumerate(streams):
            stream.disposition = av.stream.Disposition(number)
        for stream in streams:
            silence = av.AudioFrame("s16", stream.layout.name, 4_000)
            silence.sample_rate, silence.pts = RATE, 0
            container.mux([*stream.encode(silence), *stream.encode(None)])
    samples, info = read(tmp_path / "two.mkv")
    assert len(samples) == 2
    assert info.notes == ["has 2 audio streams: the default one, number 1 from 0, is taken."]
    assert len(read(tmp_path / "two.mkv", 0)[0]) == 1


@pytest.mark.parametrize(("format", "layout"), [("wav", "4.0"), ("wav", "2.1"), ("flac", "5.1(side)"), ("m4a", "7.1")])
def test_channels_keep_their_places(tmp_path, model, format, layout):
    count = av.AudioLayout(layout).nb_channels
    song = write_song(tmp_path / "song.wav", noise(count, RATE), RATE, layout=layout)
    separate_file(model, song, {"vocals": tmp_path / f"vocals.{format}"})
    samples, info = read(tmp_path / f"vocals.{format}")
    assert (info.layout, samples.shape) == (layout, (count, RATE))


def test_a_layout_that_a_format_does_not_know_is_said(tmp_path, model):
    song, said = write_song(tmp_path / "song.wav", noise(4, RATE), RATE, layout="4.0"), []
    separate_file(model, song, {"vocals": tmp_path / "vocals.ogg"}, say=said.append)
    assert said == ["has the channels 4.0, which ogg cannot say: stems have quad."]


def test_a_rate_that_a_format_does_not_hold_is_said(tmp_path, model):
    song, said = write_song(tmp_path / "song.wav", noise(2, 44_100)), []
    stems = {name: tmp_path / f"{name}.opus" for name in ("vocals", "accompaniment")}
    separate_file(model, song, stems, say=said.append)
    assert said == ["has 44100 Hz, which opus cannot hold: stems have 48000 Hz."]
    assert [read(stem)[0].shape for stem in stems.values()] == [(2, 48_000)] * 2


@pytest.mark.skipif(not hasattr(av.stream, "Disposition"), reason="this version of PyAV knows no cover art")
@pytest.mark.parametrize("format", ["flac", "mp3", "m4a"])
def test_cover_art_is_kept_where_a_format_holds_it_and_costs_no_stem(tmp_path, model, format):
    picture = make_picture()
    song = write_song(tmp_path / f"song.{format}", noise(2, RATE), RATE, cover=picture)
    (tmp_path / "broken").mkdir()
    broken = tmp_path / "broken" / song.name
    broken.write_bytes(song.read_bytes().replace(picture[:100], bytes(100)))
    for path in (song, broken):
        for ending in FORMATS:
            stem = tmp_path / f"vocals.{ending}"
            separate_file(model, path, {"vocals": stem})
            holds_it = path == song and ending in ("flac", "mp3", "m4a")
            assert cover_of(stem) == (picture if holds_it else None)
            assert read(stem)[0].shape[1] == (3 * RATE if ending == "opus" else RATE)


def test_a_broadcast_waves_time_reference_goes_into_its_stems(tmp_path, model):
    tags = {"time_reference": "158760000", "coding_history": "secret"}
    song = write_song(tmp_path / "song.wav", noise(2, RATE), RATE, tags=tags)
    at = song.read_bytes().index(b"bext") + 8
    stems = {name: tmp_path / f"{name}.wav" for name in ("vocals", "accompaniment")}
    separate_file(model, song, stems)
    for stem in stems.values():
        content, where = stem.read_bytes(), slice(at + 338, at + 346)  # by EBU Tech 3285
        assert int.from_bytes(content[where], "little") == 158_760_000
        assert b"secret" not in content and is_stem_of(stem, fingerprint(song))
    separate_file(model, song, {"vocals": tmp_path / "vocals.opus"})
    assert "time_reference" not in read(tmp_path / "vocals.opus")[1].tags


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("subtype", ["16", None])
def test_a_sample_that_is_no_number_is_told_with_the_file_and_the_time(tmp_path, model, value, subtype):
    samples = noise(2, 3 * RATE)
    samples[0, 0] = 0.123456789
    song = write_song(tmp_path / "song.wav", samples, RATE, subtype="float")
    content, (mark,) = song.read_bytes(), struct.unpack("4s", struct.pack("<f", 0.123456789))
    at = content.index(mark) + 8 * (2 * RATE + 400)  # 8 bytes are a sample of both channels
    song.write_bytes(content[:at] + struct.pack("<f", value) + content[at + 4 :])
    with pytest.raises(
        AudioFileError, match=r"song.wav: has a sample that is NaN or infinite at 2.025 s \(number 32400"
    ):
        separate_file(model, song, {"vocals": tmp_path / "out" / "vocals.wav"}, subtype=subtype)
    assert not (tmp_path / "out").exists()
