"""What is imported, when: torch and transformers by those who need them, in whichever order."""

import sys
from pathlib import Path

import pytest

import modeling_unet_svs
from modeling_unet_svs.command.stem_tags import fingerprint, stem_tags

from .conftest import ROOT, noise, run, write_song

HERE = {"PYTHONPATH": str(ROOT)}

# A process in which what is heavy cannot be imported, as where it is not installed.
WITHOUT = "import sys; sys.modules.update(torch=None, transformers=None)\n"
LOADING = """
folder = sys.argv[1]
assert type(AutoConfig.from_pretrained(folder)).__module__ == "modeling_unet_svs.configuration_unet_svs"
assert type(AutoModel.from_pretrained(folder)).__module__ == "modeling_unet_svs.modeling_unet_svs"
extractor = AutoFeatureExtractor.from_pretrained(folder)
assert type(extractor).__module__ == "modeling_unet_svs.feature_extraction_unet_svs"
assert type(pipeline("audio-to-audio", model=folder)).__module__ == "modeling_unet_svs.pipeline_unet_svs"
"""
SEPARATING = """
from modeling_unet_svs.command.cli import main
sys.argv[1:] = ["separate", sys.argv[1], "--output-dir", sys.argv[2]]
try:
    main()
except SystemExit as done:
    assert not done.code, done.code
assert not {"transformers", "torch._dynamo", "torch.distributed.tensor", "scipy"} & {*sys.modules}
ours = [name for name in sys.modules if name.startswith("modeling_unet_svs")]
assert len(ours) <= 22, ours
"""
NO_TORCH = 'assert "torch" not in sys.modules and "accelerate" not in sys.modules'
LOADING_ALONE = """
import modeling_unet_svs
assert not {"torch", "transformers"} & {*sys.modules}
from modeling_unet_svs.command.torch_runtime import load_checkpoint
load_checkpoint(sys.argv[1])
assert "transformers" not in sys.modules
"""
AUTO_CLASSES = "from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, pipeline\n"


def python(code: str, *arguments: str | Path) -> None:
    run(sys.executable, "-c", f"import sys\n{code}", *arguments)


@pytest.mark.parametrize("arguments", [["--help"], ["separate", "--help"], ["info", "--help"]])
def test_help_needs_neither_torch_nor_transformers_nor_audio_libraries(arguments):
    code = f"{WITHOUT}sys.modules.update(av=None, numpy=None, soxr=None, onnxruntime=None)\n"
    python(f"{code}from modeling_unet_svs.command.cli import main; sys.argv[1:] = {arguments}; main()")


def test_onnx_runtime_separates_without_torch_where_that_is_installed(tmp_path):
    code = SEPARATING.replace('"--output-dir"', '"--runtime", "onnx", "--output-dir"') + NO_TORCH
    python(code, write_song(tmp_path / "song.mp3", noise(2, 44_100)), tmp_path / "stems")
    assert (tmp_path / "stems" / "song" / "vocals.wav").is_file()


def test_what_is_wrong_or_done_is_said_before_torch_or_onnxruntime_is_imported(tmp_path):
    song, stem = write_song(tmp_path / "song.mp3", noise(2, 9_000)), tmp_path / "out" / "song" / "vocals.wav"
    tags = stem_tags({}, "vocals", modeling_unet_svs.DEFAULT_CHECKPOINT, fingerprint(song))
    write_song(stem, noise(2, 9_000), tags=tags)
    for exits, said, arguments in (
        (1, "nowhere.mp3: no such file.", ["nowhere.mp3"]),
        (1, "empty: has no audio files in it.", ["empty", "nowhere.mp3"]),
        (2, "--stem drums: use one of vocals", [song, "--stem", "drums"]),
        (2, "--stem all: standard output takes one of", ["-"]),
        (2, f"--output-dir {song}/out cannot be made", [song, "--output-dir", song / "out"]),
        (2, f"--report {tmp_path} is a folder", [song, "--report", tmp_path]),
        (2, "model nowhere: ", [song, "--model", "nowhere"]),
        (0, "unet-svs: 1 of 1 done before.", [song, "--stem", "vocals", "--output-dir", tmp_path / "out"]),
    ):
        (tmp_path / "empty").mkdir(exist_ok=True)
        code = f"{WITHOUT}sys.modules['onnxruntime'] = None\nfrom modeling_unet_svs.command.cli import main\nmain()"
        done = run(sys.executable, "-c", code, "separate", *arguments, exits=exits, cwd=tmp_path, env=HERE)
        assert said in done.stderr and "Traceback" not in done.stderr, done.stderr


def test_transformers_can_be_imported_where_torch_is_not_installed():
    python("sys.modules['torch'] = None; import modeling_unet_svs; from transformers import AutoFeatureExtractor")


def test_audio_is_read_resampled_and_written_without_torch_and_transformers():
    modules = ("audio_reading", "audio_writing", "separation")
    python(WITHOUT + "\n".join(f"import modeling_unet_svs.{module}" for module in modules))


def test_a_separation_imports_few_modules_and_no_transformers(tmp_path):
    python(SEPARATING, write_song(tmp_path / "song.mp3", noise(2, 44_100)), tmp_path / "stems")
    assert (tmp_path / "stems" / "song" / "vocals.wav").is_file()


@pytest.mark.parametrize(
    "order",
    [
        f"{LOADING_ALONE}{AUTO_CLASSES}",
        f"{AUTO_CLASSES}import modeling_unet_svs\n",
        f"from modeling_unet_svs import UNetSVSPipeline\n{AUTO_CLASSES}",
    ],
    ids=["package first", "auto classes first", "pipeline first"],
)
def test_the_auto_classes_and_the_pipeline_know_the_model_in_whichever_order_they_are_imported(order):
    python(order + LOADING, modeling_unet_svs.DEFAULT_CHECKPOINT)


def test_all_public_names_are_there_and_no_others():
    for name in modeling_unet_svs.__all__:
        assert getattr(modeling_unet_svs, name) is not None
    assert {*dir(modeling_unet_svs)} == {"__version__", *modeling_unet_svs.__all__}
    with pytest.raises(AttributeError, match="no_such_name"):
        modeling_unet_svs.no_such_name  # noqa: B018
