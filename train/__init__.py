"""Trains and scores the models of `modeling_unet_svs`."""

from pathlib import Path

# The scripts are run as `python -m train.NAME`.
__path__ = [*__path__, str(Path(__file__).parent / "scripts")]
