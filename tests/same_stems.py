"""`python -m tests.same_stems SONG FOLDER`: the stems in a folder are those that PyTorch makes, within 1e-4."""

import sys
from pathlib import Path

import numpy as np

from modeling_unet_svs import DEFAULT_CHECKPOINT
from modeling_unet_svs.audio_reading import read_audio
from modeling_unet_svs.command.torch_runtime import load_checkpoint


def main(song: str, folder: str) -> None:
    for name, expected in load_checkpoint(DEFAULT_CHECKPOINT).separate(*read_audio(song)).items():
        difference = float(np.abs(read_audio(Path(folder, f"{name}.wav"))[0] - expected).max())
        print(f"{name}: {difference:.1e} of full scale")
        # Half a step of 16 bits comes from the files.
        assert difference <= 1e-4 + 2**-16


if __name__ == "__main__":
    main(*sys.argv[1:])
