"""Odd waveforms, rates and configurations: a result that fits, or one clear line."""

import traceback
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from modeling_unet_svs import UNetSVSConfig, UNetSVSFeatureExtractor, UNetSVSModel, UNetSVSPipeline
from modeling_unet_svs.audio_reading import AudioFileError
from modeling_unet_svs.command.torch_runtime import load_checkpoint

from ..conftest import small_config
from .targets import READ, REFUSED
from .workers import TRACEBACK

DTYPES = ("f2", "f4", "f8", "g", "i1", "i2", "i4", "i8", "u1", "u2", "?", "c8", "S3", "U2", "O", "M8[s]", ">f4", ">i2")
SPECIAL = (0.0, -0.0, 1.0, -1.0, 1e-45, 1e-39, 1e38, -1e38, 3e38, 1e300, np.nan, np.inf, -np.inf)
GOOD_RATES = st.sampled_from((8_000, 16_000, 22_050, 44_100, 192_000))
FAIR_RATES = st.sampled_from((4_000, 8_000, 16_000, 22_050, 44_100, 192_000, np.int64(16_000), 16_000.0))
ODD_RATES = (0, -1, 1, 3_999, 384_001, 2**31, 2**63, 10**30, 44_100.5, np.nan, np.inf, None, "44100", True, [])
RATES = st.one_of(*(GOOD_RATES,) * 6, FAIR_RATES, st.integers(3_990, 200_000), st.sampled_from(ODD_RATES))


@st.composite
def waveforms(draw) -> object:
    """Arrays of any type, shape and order, tensors, lists, and what is nothing of that."""
    dtype = np.dtype(draw(st.one_of(st.sampled_from(("f4", "i2", "f8")), st.sampled_from(DTYPES))))
    length = draw(st.sampled_from((0, 1, 2, 63, 255, 256, 1_000, 5_000)))
    shape = draw(st.sampled_from(((), (length,), (1, length), (2, length), (3, length), (length, 2), (2, 2, length))))
    shape = draw(st.sampled_from((*(shape,) * 8, (0, length), (70, min(length, 64)), (1, 1, 1, length))))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    samples = rng.uniform(-1, 1, shape)
    if draw(st.integers(0, 3)) == 3 and samples.size:
        samples.reshape(-1)[rng.integers(samples.size)] = draw(st.sampled_from(SPECIAL))
    if draw(st.integers(0, 9)) == 0:
        with np.errstate(over="ignore"):
            samples = samples * draw(st.sampled_from((1e-42, 1e30, 1e39, 1e200)))
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        if dtype.kind in "iu":
            information = np.iinfo(dtype)
            array = rng.integers(information.min, information.max, shape, dtype=dtype.newbyteorder("="), endpoint=True)
            array = np.asarray(array).astype(dtype)
        elif dtype.kind == "M":
            array = np.zeros(shape, dtype)
        else:
            array = np.asarray(samples, dtype=None if dtype.kind == "O" else np.float64).astype(dtype)
    forms = ("array",) * 8 + ("strided", "reversed", "fortran", "read-only", "tensor", "list", "odd")
    form = draw(st.sampled_from(forms))
    if form == "strided" and array.ndim:
        return np.repeat(array, 2, axis=-1)[..., ::2]
    if form == "reversed" and array.ndim:
        return array[..., ::-1]
    if form == "fortran":
        return np.asfortranarray(array)
    if form == "read-only":
        array.flags.writeable = False
    if form == "tensor" and dtype.kind in "fiub?c" and dtype.isnative and dtype.char not in "gH":
        tensor = torch.from_numpy(np.array(array))
        kind = draw(st.sampled_from((None, torch.bfloat16, torch.float16, torch.float64)))
        tensor = tensor if kind is None or tensor.is_complex() else tensor.to(kind)
        return tensor.requires_grad_() if tensor.is_floating_point() and draw(st.booleans()) else tensor
    if form == "list":
        return array.tolist()
    if form == "odd":
        return draw(st.sampled_from((None, "song", b"song", 5, {}, object(), [[1.0], [1.0, 2.0]], [None], ["x"])))
    return array


def check_separate(model: UNetSVSModel, waveform: object, rate: object, batch_size: object) -> None:
    """Stems of the waveform's shape that add up to it."""
    stems = model.separate(waveform, rate, batch_size=batch_size)
    for stem in stems.values():
        assert tuple(stem.shape) == np.shape(waveform), (tuple(stem.shape), np.shape(waveform))
        assert isinstance(stem, torch.Tensor) == isinstance(waveform, torch.Tensor)
        assert stem.dtype in (np.float32, torch.float32)
        assert np.isfinite(np.asarray(stem)).all(), "stems are not finite"


def check_stream(model: UNetSVSModel, waveform: object, rate: object, num_channels: object) -> None:
    """As many samples out as went in."""
    stream = model.stream(rate, num_channels)
    given, taken = 0, 0
    for _ in range(3):
        stems = stream.push(waveform)
        given += np.shape(waveform)[-1]
        taken += next(iter(stems.values())).shape[1] if stems else 0
    taken += next(iter(stream.flush().values())).shape[1]
    assert taken == given, (taken, given)


def check_pipeline(pipeline: UNetSVSPipeline, waveform: object, rate: object, form: str) -> None:
    """A dictionary for each stem."""
    if isinstance(waveform, (list, str, bytes)):
        form = "dictionary"
    key = {"dictionary": "array", "raw": "raw"}.get(form)
    song = {key: waveform, "sampling_rate": rate} if key else waveform
    result = pipeline(song) if key else pipeline(song, sampling_rate=rate)
    assert [stem["label"] for stem in result] == ["vocals", "accompaniment"]
    assert result[0]["audio"].shape[-1] == np.shape(waveform)[-1]


def check_extractor(extractor: UNetSVSFeatureExtractor, waveform: object, rate: object, many: bool) -> None:
    """A finite float32 batch."""
    batch = extractor([waveform, waveform] if many else waveform, sampling_rate=rate)["input_values"]
    assert batch.dtype == np.float32 and batch.ndim == 3 and batch.shape[1] == extractor.feature_size
    assert np.isfinite(batch).all(), "not finite"


NUMBERS = st.one_of(
    st.sampled_from((0, 1, 2, 3, 4, 5, 8, 16, 64, 128, 256, 1024, 16_000, -1, 2**20, 2**31, 2**62, 10**30, None, "4")),
    st.sampled_from((1.5, np.nan, np.inf, -0.5, True, [], "")),
    st.integers(-5, 2_000),
)
ODD_NAMES = st.sampled_from(("vocals", "drums", "", "../x", "a.b", "self", "für", "\ud800", None, 3))
NAMES = st.one_of(ODD_NAMES, st.text(max_size=4))
SIZES = ("num_channels", "sampling_rate", "n_fft", "hop_length", "num_frames", "context_frames", "num_bands")
RATIOS = ("kernel_size", "leaky_relu_slope", "dropout", "num_dropout_layers", "magnitude_exponent", "mask_bound")
FIELDS = {
    **dict.fromkeys(SIZES + RATIOS, NUMBERS),
    "hidden_sizes": st.one_of(NUMBERS, st.lists(NUMBERS, max_size=4), st.lists(st.integers(1, 8), max_size=7)),
    "sources": st.one_of(NAMES, st.lists(NAMES, max_size=3)),
    "residual": NAMES,
    "magnitude_scaling": st.sampled_from(("max", "mean", "", None, 1)),
    "mask_activation": st.sampled_from(("sigmoid", "softplus", "", None, 1)),
}


@st.composite
def configurations(draw) -> dict:
    """A small network's configuration of which up to three values are odd."""
    names = draw(st.lists(st.sampled_from(sorted(FIELDS)), max_size=3, unique=True))
    config = small_config()
    values = {name: getattr(config, name) for name in FIELDS if hasattr(config, name)}  # masks have no fields now
    return values | {name: draw(FIELDS[name]) for name in names}


def check_configuration(values: dict) -> None:
    """A configuration whose model can be made and used where it is small, or one clear line."""
    config = UNetSVSConfig(**values)
    with torch.device("meta"):
        model = UNetSVSModel(config)
    if model.num_parameters() < 2_000_000 and config.patch_samples < 100_000:
        stems = UNetSVSModel(config).separate(np.zeros(100, dtype=np.float32), 16_000)
        assert set(stems) == set(config.stems)
    copy = UNetSVSConfig.from_dict(config.to_dict())
    assert copy.stems == config.stems


def outcome_of(check: Callable, *arguments: object) -> str:
    """Runs a check; a refusal in one line is an outcome as good as a result."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            check(*arguments)
    except Exception as error:
        said = str(error)
        # What huggingface_hub says of a configuration's type has several lines.
        strict = type(error).__name__ == "StrictDataclassFieldValidationError"
        if not strict and (type(error) not in (ValueError, AudioFileError) or "\n" in said or not said):
            raise
        return REFUSED
    return READ


def properties(checkpoint: Path) -> dict[str, tuple[Callable, dict]]:
    """Checks and the strategies of their arguments, by name."""
    model = load_checkpoint(checkpoint)
    extractor = UNetSVSFeatureExtractor(2, 16_000)
    pipeline = UNetSVSPipeline(model=model, feature_extractor=extractor)
    good = st.integers(1, 3)
    sizes = st.one_of(good, good, good, good, st.sampled_from((0, -1, None, 2.5, "2")))
    forms = st.sampled_from(("dictionary", "raw", "call"))
    own_rates = st.sampled_from((None, None, None, 16_000, 16_000, 16_000.0, 44_100, "x", np.nan))
    return {
        "separate": (partial(check_separate, model), (waveforms(), RATES, sizes)),
        "stream": (partial(check_stream, model), (waveforms(), RATES, sizes)),
        "pipeline": (partial(check_pipeline, pipeline), (waveforms(), RATES, forms)),
        "feature extractor": (partial(check_extractor, extractor), (waveforms(), own_rates, st.booleans())),
        "configuration": (check_configuration, (configurations(),)),
    }


def run_arrays(number: int, checkpoint: Path, of_seed: int = 0) -> tuple[dict[str, Counter], dict[str, str]]:
    """Runs all checks with hypothesis; gives outcomes by check, and what was found, as hypothesis says it."""
    counts, findings = defaultdict(Counter), {}
    limits = {"max_examples": number // 5, "deadline": None, "database": None, "phases": (Phase.generate,)}

    def examine(name: str, check: Callable, strategies: tuple) -> None:
        @seed(of_seed)
        @settings(**limits, suppress_health_check=list(HealthCheck))
        @given(st.tuples(*strategies))
        def run(arguments: tuple) -> None:
            try:
                counts[name][outcome_of(check, *arguments)] += 1
            except Exception as error:
                counts[name][TRACEBACK] += 1
                kind = f"{name} {type(error).__name__} {str(error)[:30]}"
                findings.setdefault(kind, f"{arguments!r}\n{traceback.format_exc()}")

        run()

    for name, (check, strategies) in properties(checkpoint).items() if number else ():
        examine(name, check, strategies)
    return counts, findings
