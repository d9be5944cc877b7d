"""Memory does not grow with the length of a song: the peak of a child process, at three minutes and at three hours.

The songs are mono of 8 kHz, the lowest rate that MP3 has, and almost all silence, so that three hours are soon made.
All of a song would still be 345 MB as float32 or 173 MB as 16 bits; a tenth of the process is less than 100 MB.
"""

import json
import sys

import av
import numpy as np
import pytest

from train.checkpoints import save_model

from .conftest import make_model, noise, run, small_config, write_song

RATE = 8_000
SECONDS, REPEATS = 180, 60
CONVERSIONS = (("wav", "mp3"), ("mp3", "m4a"), ("m4a", "wav"))

CHILD = """
import json, sys
from pathlib import Path
from modeling_unet_svs.audio_reading import AudioReader
from modeling_unet_svs.command.torch_runtime import load_checkpoint
from modeling_unet_svs.command.file_separation import separate_file

folder, model = Path(sys.argv[1]), load_checkpoint(sys.argv[2])
for length in ("short", "long"):
    for before, after in json.loads(sys.argv[3]):
        stem = folder / f"stem of {length} {before}.{after}"
        separate_file(model, folder / f"{length}.{before}", {"vocals": stem}, batch_size=4)
        (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
        print(json.dumps([length, before, int(line.split()[1])]))
"""


def repeat(song, output) -> float:
    """The same compressed packets over and over, which spares the encoding; returns the seconds of all."""
    with av.open(str(song)) as source, av.open(str(output), "w") as target:
        template = source.streams.audio[0]
        stream = target.add_stream_from_template(template)
        packets = [packet for packet in source.demux(template) if packet.size]
        base, times = packets[0].time_base, [packet.pts - packets[0].pts for packet in packets]
        length = times[-1] + packets[-1].duration
        for index in range(REPEATS):
            for packet, time in zip(packets, times):
                packet.stream, packet.time_base = stream, base
                packet.pts = packet.dts = index * length + time
                target.mux(packet)
    return float(REPEATS * length * base)


@pytest.fixture(scope="module")
def peaks(tmp_path_factory) -> dict[tuple[str, str], int]:
    """In kB, after each song: the short ones first, so that the peak of the long ones is theirs."""
    folder = tmp_path_factory.mktemp("memory")
    shape = {"num_channels": 1, "sampling_rate": RATE, "n_fft": 1024, "hop_length": 512, "num_frames": 128}
    save_model(make_model(small_config(**shape, hidden_sizes=(4, 8))), folder / "model")
    waveform = np.pad(noise(1, RATE), ((0, 0), (0, (SECONDS - 1) * RATE)))
    seconds = {
        format: repeat(write_song(folder / f"short.{format}", waveform, RATE), folder / f"long.{format}")
        for format, _ in CONVERSIONS
    }
    assert min(seconds.values()) >= SECONDS * REPEATS
    done = run(sys.executable, "-c", CHILD, folder, folder / "model", json.dumps(CONVERSIONS))
    for before, after in CONVERSIONS:
        with av.open(str(folder / f"stem of long {before}.{after}")) as container:
            assert container.duration / av.time_base == pytest.approx(seconds[before], abs=10)
    return {(length, format): peak for length, format, peak in map(json.loads, done.stdout.splitlines())}


@pytest.mark.parametrize("format", [before for before, _ in CONVERSIONS])
def test_three_hours_take_the_memory_of_three_minutes(peaks, format):
    short = max(peak for (length, _), peak in peaks.items() if length == "short")
    assert peaks["long", format] <= 1.1 * short
