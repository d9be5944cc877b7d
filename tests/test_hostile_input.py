"""What strangers send: damaged files by the hundred, pickles, code in a model's folder; one line, or a result."""

import json
import os
import pickle
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers import AutoFeatureExtractor

from modeling_unet_svs.architecture import Architecture
from modeling_unet_svs.audio_reading import AudioFileError
from modeling_unet_svs.command.checkpoint import load_checkpoint
from modeling_unet_svs.network import UNetSVSModule

from .conftest import small_config
from .fuzz import workers
from .fuzz.arrays import outcome_of, properties
from .fuzz.targets import READ, TARGETS
from .fuzz.workers import FINDINGS, Corpus, Worker, kinds_in_turn

FILES, ARRAYS = 12 * len(TARGETS), 30
REGRESSIONS = sorted((Path(__file__).parent / "fuzz" / "regressions").glob("*/*"))
CODE = "import pathlib\npathlib.Path({!r}).write_text('code was run')\n"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Corpus:
    return Corpus.make(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def worker(corpus):
    with Worker(corpus) as worker:
        yield worker


def test_sound_files_of_all_kinds_are_read(corpus, worker):
    for kind, songs in corpus.songs.items():
        for song in songs:
            assert worker.give(f"{kind}, decoded", song)[:2] == (READ, ""), kind


def test_damaged_files_are_read_or_refused_in_one_line(corpus, worker):
    """A slice of `python -m tests.fuzz`."""
    found = []
    for number, kind in enumerate(kinds_in_turn(FILES)):
        outcome, said, _ = worker.give(kind, corpus.mutated(kind, number))
        if outcome in FINDINGS:
            found.append(f"{kind} {number}: {outcome}: {said}")
    assert not found


@pytest.mark.parametrize("path", REGRESSIONS, ids=lambda path: path.name)
def test_what_once_broke_something_does_no_more(worker, path):
    kind = "wav, decoded" if path.parent.name == "decoded" else path.parent.name
    outcome, said, _ = worker.give(kind, path.read_bytes())
    assert outcome not in FINDINGS, said


def test_the_fuzzer_sees_crashes_hangs_tracebacks_and_memory(corpus, monkeypatch):
    """Faults that are put in on purpose, or it would find nothing and nobody would know."""

    def behave(path: Path, checkpoint: Path) -> None:
        how = path.read_bytes()
        if how == b"crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        if how == b"hang":
            while True:
                pass
        if how == b"memory":
            np.ones(workers.MEMORY_BOUND // 8 + 10_000_000)
        if how == b"lines":
            raise AudioFileError(path, "x" * 1000)
        if how == b"traceback":
            raise KeyError("odd")

    monkeypatch.setitem(TARGETS, "wav, decoded", behave)
    monkeypatch.setattr(workers, "SECONDS_PER_FILE", 2)
    expected = {"crash": "crash", "hang": "hang", "memory": "memory over bound", "fine": "read"}
    expected |= {"traceback": "traceback", "lines": "traceback"}
    # Forked, so that what was patched is there.
    with Worker(corpus, "fork") as worker:
        for how, outcome in expected.items():
            assert worker.give("wav, decoded", how.encode())[0] == outcome, how


@pytest.fixture(scope="module")
def checks(corpus) -> dict:
    return properties(corpus.checkpoint)


@pytest.mark.parametrize("name", ["separate", "stream", "pipeline", "feature extractor", "configuration"])
def test_odd_arrays_and_configurations_give_a_result_or_one_line(checks, name):
    check, strategies = checks[name]

    @settings(max_examples=ARRAYS, deadline=None, derandomize=True)
    @given(st.tuples(*strategies))
    def run(arguments: tuple) -> None:
        outcome_of(check, *arguments)

    run()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((16_000, "2"), "the waveform has 2 channels"),
        ((None, 2), "sampling_rate is None"),
        ((float("nan"), 2), "sampling_rate is nan"),
        (([], 2), r"sampling_rate is \[\]"),
    ],
)
def test_what_is_no_number_is_named(model, arguments, said):
    with pytest.raises(ValueError, match=said):
        model.stream(*arguments)


def test_samples_beyond_any_sound_are_refused(model):
    """Their spectrogram would overflow, and the stems would be infinite."""
    with pytest.raises(ValueError, match="full scale is 1"):
        model.separate(np.full((2, 1000), 1e38, dtype=np.float32), 16_000)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"n_fft": 2**31, "hop_length": 2**30}, "patches of more than"),
        ({"num_frames": 2**40}, "patches of more than"),
        ({"hop_length": 1}, "hop_length is 1: use n_fft // 64"),
        ({"residual": "a" * 41}, "no short identifier"),
        ({"leaky_relu_slope": 1e308}, "leaky_relu_slope"),
        ({"magnitude_exponent": 1e308}, "magnitude_exponent"),
        ({"mask_bound": float("inf")}, "mask_bound"),
    ],
)
def test_numbers_that_would_take_all_memory_or_overflow_are_refused(changed, said):
    with pytest.raises(ValueError, match=said):
        small_config(**changed)


class Bomb:
    """A pickle that runs code."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self):
        return Path.write_text, (self.marker, "code was run")


def copy_of(checkpoint: Path, folder: Path) -> Path:
    return Path(shutil.copytree(checkpoint, folder))


@pytest.mark.parametrize(
    "name",
    [
        *("pytorch_model.bin", "PYTORCH_MODEL.BIN", "model.pt", "weights/model.pth", "a/b/c.ckpt", ".hidden/x.pkl"),
        *("model.pickle", "weights.npy", "weights.npz", "tf_model.h5", "flax_model.msgpack", "m.keras", "m.joblib"),
    ],
)
@pytest.mark.parametrize("beside_safetensors", [True, False])
def test_a_pickle_anywhere_in_a_models_folder_is_not_opened(checkpoint, tmp_path, name, beside_safetensors):
    folder = copy_of(checkpoint, tmp_path / "model")
    if not beside_safetensors:
        (folder / "model.safetensors").unlink()
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(pickle.dumps(Bomb(tmp_path / "marker")))
    if beside_safetensors:
        load_checkpoint(folder)
    else:
        with pytest.raises(ValueError, match="^model .*no model.safetensors, and nothing else is loaded") as error:
            load_checkpoint(folder)
        assert "\n" not in str(error.value)
    assert not (tmp_path / "marker").exists()


def test_an_index_that_names_a_pickle_and_a_pickle_named_safetensors_are_not_opened(checkpoint, tmp_path):
    bomb = pickle.dumps(Bomb(tmp_path / "marker"))
    named = copy_of(checkpoint, tmp_path / "named")
    (named / "model.safetensors").write_bytes(bomb)
    indexed = copy_of(checkpoint, tmp_path / "indexed")
    keys = list(load_file(indexed / "model.safetensors"))
    (indexed / "model.safetensors").rename(indexed / "part.safetensors")
    for where in ("weights.data", "../outside.data"):
        (indexed / where).write_bytes(bomb)
        index = {"metadata": {}, "weight_map": dict.fromkeys(keys, where)}
        (indexed / "model.safetensors.index.json").write_text(json.dumps(index))
        with pytest.raises(ValueError, match="^model .*no model.safetensors, and nothing else is loaded"):
            load_checkpoint(indexed)
    with pytest.raises(ValueError, match="damaged|cannot be used"):
        load_checkpoint(named)
    assert not (tmp_path / "marker").exists()


def test_a_runs_own_checkpoint_is_a_model_and_its_state_is_not_opened(checkpoint, tmp_path):
    folder = copy_of(checkpoint, tmp_path / "run")
    (folder / "checkpoint-4").mkdir()
    for name in ("optimizer.bin", "scheduler.bin", "scaler.pt", "random_states_0.pkl", "custom_checkpoint_1.pkl"):
        (folder / "checkpoint-4" / name).write_bytes(pickle.dumps(Bomb(tmp_path / "marker")))
    assert load_checkpoint(folder).config.sampling_rate == 16_000
    assert not (tmp_path / "marker").exists()


def test_no_code_of_a_models_folder_is_run(checkpoint, tmp_path):
    """Neither its own modules, whatever the configurations say of them, nor what they would have the library fetch."""
    folder = copy_of(checkpoint, tmp_path / "model")
    code = CODE.format(str(tmp_path / "marker"))
    for name in (*(path.name for path in folder.glob("*.py")), "__init__.py", "evil.py", "sitecustomize.py"):
        (folder / name).write_text(code)
    auto_map = {
        f"Auto{what}": "evil.Evil" for what in ("Config", "Model", "FeatureExtractor", "Tokenizer", "Processor")
    }
    odd = {"auto_map": auto_map, "custom_pipelines": {"audio-to-audio": {"impl": "evil.Evil", "pt": ["AutoModel"]}}}
    odd |= {"attn_implementation": "nobody/evil-kernel", "_attn_implementation": "nobody/evil-kernel"}
    odd |= {"quantization_config": {"quant_method": "evil"}, "tokenizer_class": "evil.Evil"}
    for name in ("config.json", "preprocessor_config.json", "tokenizer_config.json", "processor_config.json"):
        values = json.loads((folder / name).read_text()) if (folder / name).exists() else {}
        (folder / name).write_text(json.dumps(values | odd))
    model = load_checkpoint(folder)
    assert type(model) is UNetSVSModule and type(model.config) is Architecture
    assert set(model.separate(np.zeros(2000, dtype=np.float32), 16_000)) == {"vocals", "accompaniment"}
    assert not (tmp_path / "marker").exists()
    # Of one that it does not know, the library runs code only where its user says that he trusts it.
    with pytest.raises(ValueError, match="trust_remote_code"):
        (folder / "preprocessor_config.json").write_text(json.dumps({**odd, "feature_extractor_type": "Evil"}))
        (folder / "config.json").write_text(json.dumps({**odd, "model_type": "evil"}))
        AutoFeatureExtractor.from_pretrained(folder, trust_remote_code=False)
    assert not (tmp_path / "marker").exists()


def test_weights_that_a_small_file_only_claims_take_no_memory(checkpoint, tmp_path):
    folder = copy_of(checkpoint, tmp_path / "model")
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**values, "hidden_sizes": [50_000, 50_000, 50_000]}))
    with pytest.raises(ValueError, match="has [0-9,]+ parameters, its safetensors [0-9,]+ bytes"):
        load_checkpoint(folder)
    save_file({}, folder / "model.safetensors")
    with pytest.raises(ValueError, match="^model .*parameters"):
        load_checkpoint(folder)
