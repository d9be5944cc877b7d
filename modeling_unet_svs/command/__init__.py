"""The command `unet-svs`."""
