"""The public API says what its arguments are and what it returns and raises, with shapes and units."""

import dataclasses
import inspect
import re
from collections.abc import Iterator
from typing import get_type_hints

import numpy as np
from PIL import Image

import modeling_unet_svs
from modeling_unet_svs.command import cli
from train.arguments import EvaluationArguments, MixingArguments, TrainingArguments
from train.evaluation.scores import bss_eval_v3, relative_level, sdr, si_sdr

from .conftest import ROOT

ARRAYS = ("ndarray", "Tensor")
SECTION = re.compile(r"^(Args|Parameters|Attributes|Returns|Yields|Raises):$", re.MULTILINE)
ARGUMENT = re.compile(r"^    (\w+)(?= \(.*\):|:)", re.MULTILINE)
SHAPE = re.compile(r"`\(|shape")


def public_objects() -> Iterator[tuple[str, object]]:
    """What the package exports, with those methods that more than one line is said of, and the evaluator's scores."""
    for name in modeling_unet_svs.__all__:
        value = getattr(modeling_unet_svs, name)
        if callable(value):
            yield name, value
        for base in filter(is_ours, inspect.getmro(value)) if inspect.isclass(value) else ():
            for key, member in vars(base).items():
                method = getattr(member, "__func__", member)
                if not key.startswith("_") and inspect.isfunction(method) and "\n" in (inspect.getdoc(method) or ""):
                    yield f"{name}.{key}", method
    yield from ((score.__name__, score) for score in (sdr, si_sdr, bss_eval_v3, relative_level))


def is_ours(value: type) -> bool:
    return value.__module__.startswith("modeling_unet_svs")


def parts_of(text: str, heading: re.Pattern) -> dict[str, str]:
    found = heading.split(text)
    return dict(zip(found[1::2], found[2::2]))


def faults(value: object) -> Iterator[str]:
    text = inspect.getdoc(value)
    if not text:
        yield "has no docstring"
        return
    parts = parts_of(text, SECTION)
    is_class = inspect.isclass(value)
    function = value.__init__ if is_class else value
    if is_class and dataclasses.is_dataclass(value):
        bases = [base for base in inspect.getmro(value) if is_ours(base)]
        arguments = {key: str(kind) for base in bases for key, kind in vars(base).get("__annotations__", {}).items()}
    elif not is_class or "__init__" in vars(value):
        kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        parameters = inspect.signature(function).parameters.values()
        named = [p for p in parameters if p.name not in ("self", "cls") and p.kind not in kinds]
        arguments = {parameter.name: str(parameter.annotation) for parameter in named}
    else:
        arguments = {}
    said = parts_of("".join(parts.get(kind, "") for kind in ("Args", "Parameters", "Attributes")), ARGUMENT)
    for name, kind in arguments.items():
        if name not in said:
            yield f"says nothing of {name}"
        elif any(array in kind for array in ARRAYS) and not SHAPE.search(said[name]):
            yield f"does not say the shape of {name}"
        elif name.endswith(("_rate", "bandwidth")) and not re.search(r"Hz|bit/s", said[name]):
            yield f"does not say the unit of {name}"
    if not inspect.isfunction(value):
        return
    returned = str(inspect.signature(value).return_annotation)
    answer = parts.get("Returns", "") + parts.get("Yields", "")
    if returned != "None" and not answer:
        yield "does not say what it returns"
    elif any(array in returned for array in ARRAYS) and not SHAPE.search(answer):
        yield "does not say the shape of what it returns"
    if re.search(r"^ +raise \w", inspect.getsource(value), re.MULTILINE) and "Raises" not in parts:
        yield "does not say what it raises"


def test_every_public_name_says_arguments_shapes_units_and_errors():
    objects = dict(public_objects())
    assert len(objects) > 20
    found = {name: list(faults(value)) for name, value in objects.items()}
    assert {name: said for name, said in found.items() if said} == {}


def test_every_option_of_the_commands_has_its_help():
    for command in (cli.separate, cli.info, cli.export):
        assert inspect.getdoc(command)
        for name, option in get_type_hints(command, include_extras=True).items():
            assert name == "return" or option.__metadata__[0].help, f"{command.__name__} {name}"
    for arguments in (TrainingArguments, MixingArguments, EvaluationArguments):
        for field in dataclasses.fields(arguments):
            commented = re.search(rf"^    {field.name}: .*  # \w", inspect.getsource(arguments), re.MULTILINE)
            assert field.metadata.get("help") or commented, f"{arguments.__name__} {field.name}"


def test_a_bare_function_is_found_out():
    def stretch(waveform: np.ndarray, sampling_rate: int, factor: float) -> np.ndarray:
        """Stretches.

        Args:
            waveform: to stretch.
            sampling_rate: of the waveform.
        """
        raise ValueError

    assert list(faults(stretch)) == [
        "does not say the shape of waveform",
        "does not say the unit of sampling_rate",
        "says nothing of factor",
        "does not say what it returns",
        "does not say what it raises",
    ]


def test_contributing_names_files_that_are_there_and_every_dependency():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    for name in re.findall(r"`([\w/]+\.py)`", text):
        assert any((ROOT / folder / name).is_file() for folder in ("", "modeling_unet_svs", "train", "space")), name
    required = re.findall(r'^ +"([\w-]+)>=', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert [name for name in required if f"`{name}`" not in text] == []


def test_the_picture_of_a_separation_has_all_its_colours():
    with Image.open(ROOT / "docs" / "separation.png") as picture:
        assert len(picture.convert("RGB").getcolors(1 << 24)) > 256
