"""One song, the same stems: PyTorch as it is, compiled and exported, and ONNX Runtime without PyTorch."""

import os
import pickle
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from modeling_unet_svs import DEFAULT_CHECKPOINT, UNetSVSModel
from modeling_unet_svs.command.checkpoint import load_separator
from modeling_unet_svs.command.torch_runtime import load_checkpoint
from modeling_unet_svs.onnx.export import export_onnx
from modeling_unet_svs.onnx.runner import OnnxSeparator
from modeling_unet_svs.onnx_graph import GRAPH, write_graph

from .benchmarks.runtimes import with_network
from .conftest import ROOT, joined, make_model, noise, raises_one_line, run, small_config

EXACT = 1e-4
# Half precision keeps 11 bits of the logits: masks differ by 1e-3 or so, and stems by that share of the mixture.
HALF = 2e-3
WITHOUT_PYTORCH = """
import sys
sys.modules.update(torch=None, transformers=None, huggingface_hub=None, onnx=None)
import numpy as np
from modeling_unet_svs.onnx.runner import OnnxSeparator
np.savez(sys.argv[3], **OnnxSeparator(sys.argv[1]).separate(np.load(sys.argv[2]), 22_050))
"""
FORKING = """
import multiprocessing, sys
import numpy as np
from modeling_unet_svs import DEFAULT_CHECKPOINT
from modeling_unet_svs.command.checkpoint import load_separator
model, _ = load_separator(DEFAULT_CHECKPOINT, sys.argv[1], "cpu", "float32")
song = np.random.default_rng(0).standard_normal((2, 100_000)).astype("float32")
def vocals(_): return model.separate(song, 44_100)["vocals"]
before = vocals(0)
with multiprocessing.get_context("fork").Pool(2) as pool:
    for after in pool.map_async(vocals, range(2)).get(60):
        assert np.abs(after - before).max() < 1e-5
"""
EXCERPT, RATE = noise(2, 40_000), 22_050


@pytest.fixture(scope="module")
def graphs(model, checkpoint, tmp_path_factory) -> Path:
    return export_onnx(checkpoint, model.config, tmp_path_factory.mktemp("exported"))


def saved(model: UNetSVSModel, folder: Path) -> Path:
    """The folder of a model whose statistics and biases are not those of a new one."""
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point() and tensor.ndim < 4:
                tensor.add_(0.2 * torch.rand_like(tensor))
            elif name.endswith("mask.weight"):
                tensor.add_(0.1 * torch.randn_like(tensor))
    model.save_pretrained(folder)
    return folder


def assert_same_stems(separator, model: UNetSVSModel, tolerance: float, mixture=EXCERPT, rate: int = RATE) -> None:
    # Patches come one by one, so that a compiler sees one shape.
    stems, expected = (each.separate(mixture, rate, batch_size=1) for each in (separator, model))
    assert list(stems) == list(expected)
    for name in stems:
        assert stems[name].shape == mixture.shape
        assert stems[name].dtype == np.float32
        assert np.abs(stems[name] - expected[name]).max() <= tolerance
        assert np.abs(expected[name]).max() > 10 * tolerance


@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile makes C++ on a CPU")
def test_compiled_in_one_graph_it_gives_the_same_stems(model):
    assert_same_stems(with_network(model, torch.compile(model.estimate_masks, fullgraph=True)), model, EXACT)


@pytest.mark.parametrize(("file", "tolerance"), [("model.onnx", EXACT), ("model_fp16.onnx", HALF)])
def test_in_onnx_runtime_it_gives_the_same_stems(graphs, model, file, tolerance):
    assert_same_stems(OnnxSeparator(graphs / file), model, tolerance)


@pytest.mark.parametrize(
    "changes",
    [
        {"num_bands": 4, "hop_length": 200, "magnitude_exponent": 0.4},
        {"num_bands": 2, "low_bins": 32, "low_hidden_sizes": (4, 4, 8), "kernel_size": 3},
        {"num_channels": 1, "sources": ("vocals", "drums"), "residual": None, "context_frames": 0}
        | {"magnitude_scaling": "max", "skip_connections": False},
    ],
    ids=["bands", "second U-Net", "two sources"],
)
def test_every_kind_of_network_has_a_graph(changes, tmp_path):
    model = make_model(small_config(**changes))
    folder = saved(model, tmp_path)
    assert_same_stems(OnnxSeparator(folder), model, EXACT)
    assert_same_stems(OnnxSeparator(export_onnx(folder, model.config, folder) / "model.onnx"), model, EXACT)


@pytest.mark.parametrize("name", [DEFAULT_CHECKPOINT, ROOT / "checkpoints" / "paper"], ids=["default", "paper"])
def test_checkpoints_that_come_along_have_graphs_that_read_their_weights(name, tmp_path):
    """The graphs are of some kilobytes, and those that the code writes today."""
    default, plain = UNetSVSModel.from_pretrained(name), load_checkpoint(name)
    mixture = noise(2, 100_000)
    assert_same_stems(OnnxSeparator(name), default, EXACT, mixture, 48_000)
    assert_same_stems(plain, default, 0, mixture, 48_000)
    folder = shutil.copytree(name, tmp_path / "copy")
    committed = (folder / GRAPH).read_bytes()
    assert len(committed) < 40_000
    write_graph(default.config, folder)
    assert (folder / GRAPH).read_bytes() == committed


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_weights_are_read_in_the_type_that_they_are_stored_in(dtype, tmp_path):
    model = make_model(small_config()).to(dtype)
    folder = saved(model, tmp_path)
    assert_same_stems(OnnxSeparator(folder), load_checkpoint(folder), EXACT)


def test_links_as_in_the_hubs_cache_are_followed(checkpoint, model, tmp_path):
    for name in (GRAPH, "model.safetensors", "config.json"):
        (tmp_path / name).symlink_to(checkpoint / name)
    assert_same_stems(OnnxSeparator(tmp_path), model, EXACT)


def test_a_pickled_runner_separates_the_same(checkpoint, model):
    assert_same_stems(pickle.loads(pickle.dumps(OnnxSeparator(checkpoint, num_threads=1))), model, EXACT)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.parametrize("runtime", ["torch", "onnx"])
def test_a_forked_process_goes_on_separating(runtime):
    """In a process of its own, where a child that hangs is given up after a minute."""
    run(sys.executable, "-c", FORKING, runtime)


def test_processes_of_a_launcher_share_the_cpus(checkpoint, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(8), raising=False)
    for num_processes, expected in ((None, 0), ("2", 4), ("16", 1)):  # 0 leaves it to ONNX Runtime
        if num_processes:
            monkeypatch.setenv("LOCAL_WORLD_SIZE", num_processes)
        separator, _ = load_separator(checkpoint, "onnx", "auto", "auto")
        assert separator._session.get_session_options().intra_op_num_threads == expected


def test_threads_share_one_runner(checkpoint, model):
    separator, mixtures = OnnxSeparator(checkpoint), [noise(2, 30_000, seed=seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        together = [*pool.map(lambda mixture: separator.separate(mixture, RATE), mixtures)]
    for mixture, stems in zip(mixtures, together):
        assert all(np.array_equal(stems[name], stem) for name, stem in separator.separate(mixture, RATE).items())


@pytest.mark.parametrize(("rate", "channels", "length"), [(16_000, 1, 1), (8_000, 3, 300), (48_000, 2, 50_001)])
def test_any_length_rate_and_channels_in_any_blocks(graphs, model, rate, channels, length):
    separator, mixture = OnnxSeparator(graphs / "model.onnx"), noise(channels, length)
    assert_same_stems(separator, model, EXACT, mixture, rate)
    stream = separator.stream(rate, channels, batch_size=2)
    blocks = [stream.push(mixture[:, start : start + 777]) for start in range(0, length, 777)]
    whole = separator.separate(mixture, rate, batch_size=2)
    torch.testing.assert_close(joined([*blocks, stream.flush()]), whole, rtol=0, atol=0)


@pytest.mark.skipif(torch.__version__.startswith("2.6."), reason="PyTorch 2.6 cannot trace its own STFT")
def test_forward_and_its_loss_are_one_graph(model):
    given = torch.randn(2, 2, 4096), torch.randn(2, 1, 2, 4096), torch.tensor([2000.0, 8000.0])
    # What breaks a graph breaks it before any backend sees it.
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    batch = {0: torch.export.Dim("batch", max=2**31 - 1)}
    dynamic = dict.fromkeys(("input_values", "labels", "label_bandwidth"), batch)
    exported = torch.export.export(model, given, dynamic_shapes=dynamic, strict=True).module()
    with torch.no_grad():
        expected = model(*given)
        for graph in (compiled, exported):
            output = graph(*given)
            assert torch.allclose(output.masks, expected.masks, atol=1e-6)
            assert torch.allclose(output.loss, expected.loss)
        assert exported(*(tensor[:1] for tensor in given)).masks.shape[0] == 1


def test_the_runner_needs_neither_pytorch_nor_transformers(graphs, model, tmp_path):
    np.save(tmp_path / "song.npy", EXCERPT)
    given = (graphs / "model.onnx", tmp_path / "song.npy", tmp_path / "stems.npz")
    run(sys.executable, "-c", WITHOUT_PYTORCH, *given)
    stems = np.load(tmp_path / "stems.npz")
    for name, expected in model.separate(EXCERPT, RATE).items():
        assert np.abs(stems[name] - expected).max() <= EXACT


def test_graphs_that_cannot_be_used_are_one_line(graphs, tmp_path):
    with pytest.raises(ValueError, match="nowhere.onnx is no file"):
        OnnxSeparator(tmp_path / "nowhere.onnx")
    graph, description = tmp_path / "model.onnx", tmp_path / "separation.json"
    graph.write_bytes(b"no graph")
    written = (graphs / "separation.json").read_text()
    with raises_one_line("config.json"):
        OnnxSeparator(graph)
    for text, said in (
        ("{", "separation.json"),
        (written.replace('"format_version": 1', '"format_version": 2'), "'format_version': 2"),
        (written.replace('"hop_length": 64,', ""), "hop_length"),
        (written, "model.onnx cannot be used"),
    ):
        description.write_text(text)
        with raises_one_line(said):
            OnnxSeparator(graph)


def test_a_graph_beside_the_weights_or_configuration_of_another_model_is_refused(checkpoint, tmp_path):
    """Its weights would be read from the wrong places, and the stems would be noise."""
    make_model(small_config(sources=("vocals", "drums"))).save_pretrained(tmp_path)
    shutil.copy(checkpoint / "model.onnx", tmp_path)
    with raises_one_line("model.onnx was made for another model.safetensors"):
        OnnxSeparator(tmp_path)
    shutil.copy(checkpoint / "model.safetensors", tmp_path)
    with raises_one_line("model.onnx does not fit the configuration beside it"):
        OnnxSeparator(tmp_path)


def test_a_model_is_saved_without_a_graph_where_onnx_is_not_installed(model, tmp_path, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "onnx", None)
    (tmp_path / "model.onnx").write_text("of an older model")
    model.save_pretrained(tmp_path)
    assert "gets no model.onnx: pip install onnx" in caplog.text
    assert (tmp_path / "model.safetensors").is_file() and not (tmp_path / "model.onnx").exists()


def test_weights_that_half_precision_cannot_hold_are_refused_and_nothing_is_left(tmp_path):
    model = make_model(small_config())
    with torch.no_grad():
        model.unets["vocals"].mask.weight.fill_(1e6)
    model.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"mask.weight has values that float16 cannot hold"):
        export_onnx(tmp_path, model.config, tmp_path)
    assert not list((tmp_path / "onnx").iterdir())
