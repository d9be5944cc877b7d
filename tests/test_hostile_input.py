"""What strangers send: damaged files by the hundred, pickles, code in a model's folder; one line, or a result."""

import json
import os
import pickle
import re
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers import AutoFeatureExtractor

from modeling_unet_svs.architecture import Architecture
from modeling_unet_svs.audio_reading import AudioFileError
from modeling_unet_svs.command.torch_runtime import load_checkpoint
from modeling_unet_svs.network import UNetSVSModule

from .conftest import raises_one_line, small_config
from .fuzz import workers
from .fuzz.arrays import outcome_of, properties
from .fuzz.targets import READ, TARGETS
from .fuzz.workers import FINDINGS, Corpus, Worker, kinds_in_turn

FILES, ARRAYS = 12 * len(TARGETS), 30
REGRESSIONS = sorted((Path(__file__).parent / "fuzz" / "regressions").glob("*/*"))
NO_SAFETENSORS = "^model .*no model.safetensors, and nothing else is loaded"


@pytest.fixture(scope="module")
def worker(tmp_path_factory):
    with Worker(Corpus.make(tmp_path_factory.mktemp("corpus"))) as worker:
        yield worker


def test_sound_files_of_all_kinds_are_read(worker):
    for kind, songs in worker.corpus.songs.items():
        for song in songs:
            assert worker.give(f"{kind}, decoded", song)[:2] == (READ, ""), kind


def test_damaged_files_are_read_or_refused_in_one_line(worker):
    """A slice of `python -m tests.fuzz`."""
    found = []
    for number, kind in enumerate(kinds_in_turn(FILES)):
        outcome, said, _ = worker.give(kind, worker.corpus.mutated(kind, number))
        if outcome in FINDINGS:
            found.append(f"{kind} {number}: {outcome}: {said}")
    assert not found


@pytest.mark.parametrize("path", REGRESSIONS, ids=lambda path: path.name)
def test_what_once_broke_something_does_no_more(worker, path):
    kind = "wav, decoded" if path.parent.name == "decoded" else path.parent.name
    outcome, said, _ = worker.give(kind, path.read_bytes())
    assert outcome not in FINDINGS, said


def test_the_fuzzer_sees_crashes_hangs_tracebacks_and_memory(worker, monkeypatch):
    """Faults that are put in on purpose, or it would find nothing and nobody would know."""

    def behave(path, checkpoint):
        match path.read_text():
            case "crash":
                os.kill(os.getpid(), signal.SIGSEGV)
            case "hang":
                while True:
                    pass
            case "memory over bound":
                np.ones(workers.MEMORY_BOUND // 8 + 10_000_000)
            case "a long line":
                raise AudioFileError(path, "x" * 1000)
            case "traceback":
                raise KeyError("odd")

    monkeypatch.setitem(TARGETS, "wav, decoded", behave)
    monkeypatch.setattr(workers, "SECONDS_PER_FILE", 2)
    # Forked, so that what was patched is there.
    with Worker(worker.corpus, "fork") as forked:
        for how in ("crash", "hang", "memory over bound", "read", "traceback", "a long line"):
            outcome = "traceback" if how == "a long line" else how
            assert forked.give("wav, decoded", how.encode())[0] == outcome, how


@pytest.mark.parametrize("name", ["separate", "stream", "pipeline", "feature extractor", "configuration"])
def test_odd_arrays_and_configurations_give_a_result_or_one_line(worker, name):
    check, strategies = properties(worker.corpus.checkpoint)[name]

    @settings(max_examples=ARRAYS)
    @given(st.tuples(*strategies))
    def run(arguments: tuple) -> None:
        outcome_of(check, *arguments)

    run()


@pytest.mark.parametrize("rate", [None, float("nan"), []])
def test_what_is_no_number_is_named(model, rate):
    with pytest.raises(ValueError, match=re.escape(f"sampling_rate is {rate}")):
        model.stream(rate, 2)
    with pytest.raises(ValueError, match="the waveform has 2 channels"):
        model.stream(16_000, "2")


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


@dataclass
class Bomb:
    """A pickle that runs code."""

    marker: Path

    def __reduce__(self):
        return Path.write_text, (self.marker, "code was run")


def copy_of(checkpoint: Path, folder: Path) -> Path:
    return Path(shutil.copytree(checkpoint, folder))


@pytest.mark.parametrize(
    "name",
    [
        *("pytorch_model.bin", "PYTORCH_MODEL.BIN", "model.pt", "weights/model.pth", "a/b/c.ckpt", ".hidden/x.pkl"),
        *("model.pickle", "weights.npy", "weights.npz", "tf_model.h5", "flax_model.msgpack", "m.keras", "m.joblib"),
        # The state of a run whose folder is a model.
        *("checkpoint-4/optimizer.bin", "checkpoint-4/scheduler.bin", "checkpoint-4/scaler.pt"),
        *("checkpoint-4/random_states_0.pkl", "checkpoint-4/custom_checkpoint_1.pkl"),
    ],
)
@pytest.mark.parametrize("beside_safetensors", [True, False])
def test_a_pickle_anywhere_in_a_models_folder_is_not_opened(checkpoint, tmp_path, name, beside_safetensors):
    folder = shutil.copytree(checkpoint, tmp_path / "model")
    if not beside_safetensors:
        (folder / "model.safetensors").unlink()
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(pickle.dumps(Bomb(tmp_path / "marker")))
    if beside_safetensors:
        assert load_checkpoint(folder).config.sampling_rate == 16_000
    else:
        with raises_one_line(NO_SAFETENSORS):
            load_checkpoint(folder)
    assert not (tmp_path / "marker").exists()


def test_an_index_that_names_a_pickle_and_a_pickle_named_safetensors_are_not_opened(checkpoint, tmp_path):
    bomb = pickle.dumps(Bomb(tmp_path / "marker"))
    named = shutil.copytree(checkpoint, tmp_path / "named")
    (named / "model.safetensors").write_bytes(bomb)
    indexed = shutil.copytree(checkpoint, tmp_path / "indexed")
    keys = list(load_file(indexed / "model.safetensors"))
    (indexed / "model.safetensors").rename(indexed / "part.safetensors")
    for where in ("weights.data", "../outside.data"):
        (indexed / where).write_bytes(bomb)
        index = {"metadata": {}, "weight_map": dict.fromkeys(keys, where)}
        (indexed / "model.safetensors.index.json").write_text(json.dumps(index))
        with raises_one_line(NO_SAFETENSORS):
            load_checkpoint(indexed)
    with pytest.raises(ValueError, match="damaged|cannot be used"):
        load_checkpoint(named)
    assert not (tmp_path / "marker").exists()


def test_no_code_of_a_models_folder_is_run(checkpoint, tmp_path):
    """Neither its own modules, whatever the configurations say of them, nor what they would have the library fetch."""
    folder = shutil.copytree(checkpoint, tmp_path / "model")
    for name in (*(path.name for path in folder.glob("*.py")), "__init__.py", "evil.py", "sitecustomize.py"):
        (folder / name).write_text(f"import pathlib\npathlib.Path({str(tmp_path / 'marker')!r}).write_text('run')\n")
    classes = ("AutoConfig", "AutoModel", "AutoFeatureExtractor", "AutoTokenizer", "AutoProcessor")
    odd = {"auto_map": dict.fromkeys(classes, "evil.Evil")}
    odd |= {"custom_pipelines": {"audio-to-audio": {"impl": "evil.Evil", "pt": ["AutoModel"]}}}
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
    folder = shutil.copytree(checkpoint, tmp_path / "model")
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**values, "hidden_sizes": [50_000, 50_000, 50_000]}))
    with pytest.raises(ValueError, match="has [0-9,]+ parameters, its safetensors [0-9,]+ bytes"):
        load_checkpoint(folder)
    save_file({}, folder / "model.safetensors")
    with pytest.raises(ValueError, match="^model .*parameters"):
        load_checkpoint(folder)
