"""The network of the paper, layer by layer."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from modeling_unet_svs import UNetSVSConfig, UNetSVSModel
from modeling_unet_svs.network import fold_bands, overlap_add, stft, unfold_bands
from modeling_unet_svs.separation import synthesis_envelope

from .conftest import make_model, small_config


@pytest.fixture(scope="module")
def paper() -> UNetSVSModel:
    return make_model(UNetSVSConfig()).requires_grad_(False)


def test_each_source_has_a_network_of_exactly_9823313_parameters(paper):
    assert paper.num_parameters() == 9_823_313
    convolutions = [module for module in paper.modules() if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d))]
    assert all(convolution.bias is not None for convolution in convolutions)
    config = UNetSVSConfig(sources=("vocals", "accompaniment"), residual=None)
    assert UNetSVSModel(config).num_parameters() == 2 * 9_823_313


def test_each_layer_halves_a_512_x_128_patch_and_the_decoder_mirrors_it(paper):
    shapes = []
    unet = copy.deepcopy(paper.unets["vocals"])
    for layer in [*unet.encoder, *unet.decoder, unet.mask]:
        layer.register_forward_hook(lambda _, __, output: shapes.append(tuple(output.shape[1:])))
    mask = unet(torch.rand(1, 1, 512, 128))
    assert shapes == [
        *[(16, 256, 64), (32, 128, 32), (64, 64, 16), (128, 32, 8), (256, 16, 4), (512, 8, 2)],
        *[(256, 16, 4), (128, 32, 8), (64, 64, 16), (32, 128, 32), (16, 256, 64), (1, 512, 128)],
    ]
    assert mask.shape == (1, 1, 512, 128)


def test_layers_are_those_of_the_paper(paper):
    unet = paper.unets["vocals"]
    for layer in unet.encoder:
        assert (layer.conv.kernel_size, layer.conv.stride, layer.conv.padding) == ((5, 5), (2, 2), (2, 2))
        assert isinstance(layer.activation, nn.LeakyReLU)
        assert layer.activation.negative_slope == 0.2
    for convolution in [*(layer.conv for layer in unet.decoder), unet.mask]:
        assert (convolution.kernel_size, convolution.stride) == ((5, 5), (2, 2))
        assert (convolution.padding, convolution.output_padding) == ((2, 2), (1, 1))
    assert all(isinstance(layer.activation, nn.ReLU) for layer in unet.decoder)
    assert [layer.dropout.p for layer in unet.decoder] == [0.5, 0.5, 0.5, 0, 0]


def test_normalisation_comes_before_the_activation(paper):
    layer = paper.unets["vocals"].encoder[0]
    hidden_states = torch.randn(1, 1, 8, 8)
    expected = nn.functional.leaky_relu(layer.norm(layer.conv(hidden_states)), 0.2)
    assert torch.equal(layer(hidden_states), expected)


def test_the_mask_lies_between_0_and_1_for_any_input(paper):
    masks = paper(torch.randn(2, 98_560) * torch.tensor([[0.001], [100.0]])).masks
    assert masks.shape == (2, 1, 1, 513, 128)
    assert 0 <= masks.min() <= masks.max() <= 1


def test_the_highest_bin_is_left_out_and_gets_its_neighbours_mask(paper):
    magnitude = torch.rand(1, 1, 513, 128)
    changed = magnitude.clone()
    changed[:, :, 512] = 0.5 * changed[:, :, 512]
    masks = paper.estimate_masks(magnitude)
    assert torch.equal(masks[..., 512, :], masks[..., 511, :])
    assert torch.equal(masks, paper.estimate_masks(changed))


def test_the_mask_does_not_depend_on_the_level(paper):
    waveform = torch.randn(1, 98_560)
    assert torch.allclose(paper(waveform).masks, paper(waveform * 0.25).masks, atol=1e-6)


def test_the_loss_is_the_l1_distance_of_masked_mixture_and_target_on_one_scale(paper):
    mixture, target = torch.randn(2, 1, 98_560), torch.randn(2, 1, 1, 98_560) * 0.5
    output, as_tuple = paper(mixture, labels=target), paper(mixture, labels=target, return_dict=False)
    assert len(as_tuple) == 2 and all(map(torch.equal, as_tuple, output.to_tuple()))
    magnitude, target_magnitude = stft(mixture, 1024, 768).abs(), stft(target[:, 0], 1024, 768).abs()
    scale = magnitude.amax(dim=(1, 2, 3), keepdim=True)
    expected = (output.masks[:, 0] * magnitude / scale - target_magnitude / scale).abs().mean()
    assert output.loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_other_loss_is_the_logarithm_of_the_complex_error_against_the_mixture():
    model = make_model(small_config(sources=("vocals", "drums"), loss="log_mse"))
    n_fft, hop_length = model.config.n_fft, model.config.hop_length
    mixture = torch.randn(3, 2, n_fft + 31 * hop_length)
    targets = torch.randn(3, 2, *mixture.shape[1:]) * torch.tensor([1.0, 0.1, 0.0])[:, None, None, None]
    with torch.no_grad():
        output = model(mixture, labels=targets)
        assert model(mixture * 0.1, labels=targets * 0.1).loss.item() == pytest.approx(output.loss.item(), rel=1e-4)
    spectrum = stft(mixture, n_fft, hop_length)[:, None]
    error = (output.masks * spectrum - stft(targets, n_fft, hop_length)).abs().square().sum(dim=(2, 3, 4))
    expected = (error / spectrum.abs().square().sum(dim=(2, 3, 4)) + 1e-3).log().mean()
    assert output.loss.item() == pytest.approx(expected.item(), rel=1e-4)


@pytest.mark.parametrize("loss", ["magnitude_l1", "log_mse"])
def test_silence_has_a_finite_loss(loss):
    model = make_model(small_config(loss=loss)).train()
    model(torch.zeros(2, 2, 4096), labels=torch.zeros(2, 1, 2, 4096)).loss.backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_labels_count_up_to_their_bandwidth_alone(model):
    mixture = torch.randn(2, 2, 4096)
    labels = mixture[:, None] * 0.3
    # Windowed, so that nothing of it leaks below 2 kHz.
    high = torch.sin(torch.arange(4096) * 2 * torch.pi * 6000 / 16_000) * torch.hann_window(4096)
    low, all_of_it = torch.full((2,), 2000.0), torch.full((2,), 8000.0)
    with torch.no_grad():
        full, full_changed = (model(mixture, labels=target).loss for target in (labels, labels + high))
        banded, banded_changed = (model(mixture, target, low).loss for target in (labels, labels + high))
        assert model(mixture, labels, all_of_it).loss.item() == pytest.approx(full.item(), rel=1e-5)
    assert full_changed.item() != pytest.approx(full.item(), rel=1e-2)
    assert banded_changed.item() == pytest.approx(banded.item(), rel=1e-3)


def test_without_skip_connections_the_decoder_sees_only_the_layer_below(paper):
    without = UNetSVSModel(UNetSVSConfig(skip_connections=False))
    assert without.num_parameters() < paper.num_parameters()
    assert [layer.conv.in_channels for layer in without.unets["vocals"].decoder] == [512, 256, 128, 64, 32]
    assert [layer.conv.in_channels for layer in paper.unets["vocals"].decoder] == [512, 512, 256, 128, 64]


def test_golden_values():
    """The same weights give the same masks, in every version of everything."""
    model = make_model(small_config(num_channels=1, num_bands=2))
    with torch.no_grad():
        for index, parameter in enumerate(model.parameters()):
            flat = torch.sin(torch.arange(parameter.numel()) * 0.37 + index)
            parameter.copy_((flat * 0.2).reshape(parameter.shape))
        masks = model(torch.sin(torch.arange(4096) * 0.05)[None]).masks[0, 0, 0]
    assert masks.shape == (129, 64)
    measured = masks[[0, 2, 64, 128], [0, 20, 30, 63]].tolist()
    assert measured == pytest.approx([0.1163, 0.711473, 0.586004, 0.511752], abs=2e-5)
    assert masks.mean().item() == pytest.approx(0.534535, abs=2e-5)


@pytest.mark.parametrize("num_bands", [1, 2, 4])
def test_bands_fold_neighbouring_bins_into_channels_and_back(num_bands):
    magnitude = torch.arange(2 * 2 * 16 * 3, dtype=torch.float32).reshape(2, 2, 16, 3)
    folded = fold_bands(magnitude, num_bands)
    assert folded.shape == (2, 2 * num_bands, 16 // num_bands, 3)
    for k in range(16):
        assert torch.equal(folded[:, num_bands + k % num_bands, k // num_bands], magnitude[:, 1, k])
    assert torch.equal(unfold_bands(folded, num_bands), magnitude)


@pytest.mark.parametrize(("n_fft", "hop_length"), [(1024, 768), (4096, 1024), (256, 100), (64, 63)])
def test_frames_that_are_added_up_again_are_the_waveform(n_fft, hop_length):
    waveform = torch.randn(2, n_fft + 40 * hop_length)
    added = overlap_add(stft(waveform, n_fft, hop_length), n_fft, hop_length)
    envelope = torch.from_numpy(np.resize(synthesis_envelope(n_fft, hop_length), added.shape[-1]))
    inside = slice(n_fft, added.shape[-1] - n_fft)
    error = (added / envelope - waveform[:, : added.shape[-1]])[:, inside].abs().max()
    assert error < 1e-4 * (1 if hop_length < 0.9 * n_fft else 100)


@pytest.mark.parametrize(
    "shape", [(2, 3, 4096), (2, 4096), (4096,), (1, 2, 0)], ids=["channels", "no channels", "no batch", "no samples"]
)
def test_input_of_another_shape_is_refused(model, shape):
    with pytest.raises(ValueError, match="input_values"):
        model(torch.zeros(shape))


def test_any_number_of_samples_gives_frames_that_the_network_can_halve(model):
    for num_samples in (1, 255, 256, 257, 5000):
        masks = model(torch.zeros(1, 2, num_samples)).masks
        assert masks.shape[-1] % model.config.frame_multiple == 0
        assert masks.shape[-1] * 64 + 192 >= num_samples


def test_a_second_unet_adds_to_the_masks_of_the_lowest_bins_and_begins_with_nothing():
    alone = make_model(small_config(num_bands=2))
    model = make_model(small_config(num_bands=2, low_bins=64, low_hidden_sizes=(4, 4, 6)))
    model.load_state_dict(alone.state_dict(), strict=False)
    magnitude = torch.rand(3, 2, 129, 32)
    first = alone.estimate_masks(magnitude)
    assert torch.equal(model.estimate_masks(magnitude), first)
    (unet,) = model.low_unets.values()
    assert unet.encoder[0].conv.weight.shape == (4, 2, 5, 5)
    nn.init.normal_(unet.mask.weight)
    masks = model.estimate_masks(magnitude)
    assert masks.shape == first.shape
    assert torch.equal(masks[..., 64:, :], first[..., 64:, :])
    assert not torch.isclose(masks[..., :64, :], first[..., :64, :]).all(dim=-1).any()


@pytest.mark.parametrize("wrong", [{"low_bins": 3}, {"low_bins": 1024}, {"low_hidden_sizes": (8, 8)}])
def test_a_second_unet_that_cannot_be_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        UNetSVSConfig(**wrong)
