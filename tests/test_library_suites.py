"""transformers' own common tests on our classes. What does not apply is left out with the reason, as its models do.

Its suite for pipelines is not among them: it knows a fixed list of tasks, without audio-to-audio.
"""

import random
import unittest

import numpy as np
import pytest
import torch

from modeling_unet_svs import UNetSVSConfig, UNetSVSFeatureExtractor, UNetSVSModel

from . import library_suites
from .conftest import small_config

try:
    modeling = library_suites.load("test_modeling_common")
    configuration = library_suites.load("test_configuration_common")
    sequences = library_suites.load("test_sequence_feature_extraction_common")
except FileNotFoundError as error:
    pytest.skip(str(error), allow_module_level=True)


class UNetSVSConfigTest(unittest.TestCase):
    def test_config(self):
        kind = {"has_text_modality": False, "common_properties": ["num_channels", "sampling_rate"]}
        changes = {"n_fft": 2048, "num_bands": 2, "sources": ["vocals", "drums"], "residual": None}
        configuration.ConfigTester(self, UNetSVSConfig, **kind, **changes).run_common_tests()


class UNetSVSModelTester:
    batch_size = 3
    is_training = True
    num_samples = 2240
    # Of each of two sources, three layers that halve 128 rows and 32 frames, and two that double them.
    expected_num_hidden_layers, seq_length, hidden_size = 2 * (3 + 2), 64, 16
    num_hidden_layers = 2

    def prepare_config_and_inputs_for_common(self) -> tuple[UNetSVSConfig, dict[str, torch.Tensor]]:
        config = small_config(sources=("vocals", "drums"))
        return config, {"input_values": modeling.floats_tensor([self.batch_size, 2, self.num_samples])}


class UNetSVSModelTest(modeling.ModelTesterMixin, unittest.TestCase):
    # Activations are not checkpointed: batch normalisation would count the recomputed ones a second time.
    all_model_classes = (UNetSVSModel,)
    has_attentions = False
    test_resize_embeddings = False
    # Asked of models from 2023 on; the year is looked for in a line of copyright, which our modules do not have.
    test_can_init_all_missing_weights_before_2023 = True

    def setUp(self):
        modeling.global_rng.seed(0)
        self.model_tester = UNetSVSModelTester()

    def _prepare_for_class(self, inputs_dict, model_class, return_labels=False):
        inputs = super()._prepare_for_class(inputs_dict, model_class, return_labels)
        if return_labels:
            shape = [self.model_tester.batch_size, 2, 2, self.model_tester.num_samples]
            inputs["labels"] = modeling.floats_tensor(shape, rng=random.Random(0))
        return inputs

    @unittest.skip(reason="The model hears audio: it has no embeddings of tokens.")
    def test_model_get_set_embeddings(self):
        pass


class UNetSVSFeatureExtractionTester:
    batch_size = 7
    min_seq_length = 400
    max_seq_length = 2000
    seq_length_diff = (max_seq_length - min_seq_length) // (batch_size - 1)

    def __init__(self, feature_size: int):
        self.feature_size = feature_size

    def prepare_feat_extract_dict(self) -> dict[str, float]:
        return {"feature_size": self.feature_size, "padding_value": 0.0, "sampling_rate": 16_000}

    def prepare_inputs_for_common(self, equal_length: bool = False, numpify: bool = False) -> list:
        """Samples first, channels second where there are several: so the library's `pad` takes them."""
        channels = (self.feature_size,) if self.feature_size > 1 else ()
        step = 0 if equal_length else self.seq_length_diff
        first = self.max_seq_length if equal_length else self.min_seq_length
        lengths = [first + index * step for index in range(self.batch_size)]
        waveforms = [modeling.floats_tensor((length, *channels)).numpy() for length in lengths]
        return waveforms if numpify else [waveform.tolist() for waveform in waveforms]


class UNetSVSFeatureExtractionTest(sequences.SequenceFeatureExtractionTestMixin, unittest.TestCase):
    feature_extraction_class = UNetSVSFeatureExtractor
    feature_size = 1

    def setUp(self):
        self.feat_extract_tester = UNetSVSFeatureExtractionTester(self.feature_size)

    def test_call(self):
        """Lists, arrays and tensors give the same, alone and in a batch."""
        extractor = UNetSVSFeatureExtractor(**self.feat_extract_tester.prepare_feat_extract_dict())
        arrays = [array.T for array in self.feat_extract_tester.prepare_inputs_for_common(numpify=True)]
        batch = extractor(arrays, sampling_rate=16_000)["input_values"]
        for kind in (np.ndarray.tolist, torch.from_numpy):
            assert np.array_equal(extractor([kind(array) for array in arrays], 16_000)["input_values"], batch)
        assert np.array_equal(extractor(arrays[-1], 16_000)["input_values"][0], batch[-1])


class StereoUNetSVSFeatureExtractionTest(UNetSVSFeatureExtractionTest):
    feature_size = 2
