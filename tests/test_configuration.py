"""The configuration: the paper's numbers by default, and no network that cannot be."""

import pytest

from modeling_unet_svs import UNetSVSConfig


def test_defaults_are_the_paper():
    config = UNetSVSConfig()
    assert (config.sampling_rate, config.n_fft, config.hop_length) == (8192, 1024, 768)
    assert (config.num_bins, config.num_frames, config.num_channels, config.num_bands) == (512, 128, 1, 1)
    assert tuple(config.hidden_sizes) == (16, 32, 64, 128, 256, 512)
    assert (config.kernel_size, config.leaky_relu_slope, config.dropout, config.num_dropout_layers) == (5, 0.2, 0.5, 3)
    assert (config.context_frames, config.magnitude_exponent) == (16, 1.0)
    assert config.stems == ("vocals", "accompaniment")
    assert round(config.patch_samples / config.sampling_rate, 1) == 12.0


@pytest.mark.parametrize(
    ("change", "what_to_change"),
    [
        ({"num_channels": 0}, "num_channels"),
        ({"sources": ()}, "sources"),
        ({"sources": ("lead vocals",)}, "lead vocals"),
        ({"sources": ("vocals", "vocals")}, "sources"),
        ({"sources": ("vocals", "accompaniment")}, "residual"),
        ({"sampling_rate": 1000}, "sampling_rate"),
        ({"n_fft": 1023}, "n_fft"),
        ({"n_fft": 1000}, "n_fft"),
        ({"hop_length": 1024}, "hop_length"),
        ({"hop_length": 0}, "hop_length"),
        ({"num_bands": 3}, "num_bands"),
        ({"num_bands": 0}, "num_bands"),
        ({"num_frames": 100}, "num_frames"),
        ({"context_frames": 64}, "context_frames"),
        ({"hidden_sizes": ()}, "hidden_sizes"),
        ({"kernel_size": 4}, "kernel_size"),
        ({"dropout": 1.0}, "dropout"),
        ({"num_dropout_layers": 6}, "num_dropout_layers"),
        ({"magnitude_exponent": 0.0}, "magnitude_exponent"),
        ({"mask_bound": 0.0}, "mask_bound"),
    ],
)
def test_an_impossible_combination_is_refused_and_says_what_to_change(change, what_to_change):
    with pytest.raises(ValueError, match=what_to_change):
        UNetSVSConfig(**change)


@pytest.mark.parametrize("change", [{"n_fft": "1024"}, {"mask_activation": "tanh"}, {"magnitude_scaling": "median"}])
def test_a_value_of_the_wrong_type_is_refused(change):
    with pytest.raises(Exception, match=next(iter(change))):
        UNetSVSConfig(**change)


def test_defaults_follow_a_small_network():
    config = UNetSVSConfig(hidden_sizes=(8, 8), num_frames=16)
    assert (config.num_dropout_layers, config.context_frames) == (1, 4)
    assert UNetSVSConfig(hidden_sizes=(8,)).num_dropout_layers == 0


def test_the_only_masks_that_were_ever_saved_are_passed_over_and_others_refused():
    config = UNetSVSConfig(mask_activation="sigmoid", mask_bound=1.0)
    assert not {"mask_activation", "mask_bound"} & {*config.to_dict()}
    with pytest.raises(ValueError, match="mask_activation"):
        UNetSVSConfig(mask_activation="softplus")


def test_it_is_saved_and_loaded(tmp_path):
    config = UNetSVSConfig(sources=("vocals", "drums"), residual=None, num_bands=2, n_fft=2048)
    config.save_pretrained(tmp_path)
    loaded = UNetSVSConfig.from_pretrained(tmp_path)
    assert loaded.stems == ("vocals", "drums")
    assert loaded.to_diff_dict() | {"_name_or_path": ""} == config.to_diff_dict() | {"_name_or_path": ""}
