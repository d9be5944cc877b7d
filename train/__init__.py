"""Trains and scores the models of `modeling_unet_svs`."""
