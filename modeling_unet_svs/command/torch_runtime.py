"""PyTorch for the command: loads networks, chooses device and precision, and copes with too little memory."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors.torch import load_file

from ..architecture import Architecture
from ..network import UNetSVSModule
from ..onnx_graph import WEIGHTS
from ..separation import refuse_if
from .checkpoint import opened_checkpoint, share_of_cpus

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def choose_device(device: str) -> tuple[torch.device, str]:
    """Chooses the named device, or the fastest that works."""
    if device != "auto":
        if reason := _why_not(device):
            raise ValueError(f"--device {device} cannot be used: {reason}")
        return torch.device(device), "as asked for"
    if torch.cuda.is_available():
        if reason := _why_not("cuda"):
            return torch.device("cpu"), f"the GPU cannot be used: {reason}"
        return torch.device("cuda"), f"found {torch.cuda.get_device_name()}"
    if torch.backends.mps.is_available():
        return torch.device("mps"), "found Apple's GPU"
    return torch.device("cpu"), "found no GPU"


def choose_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """Chooses the named precision, or the device's fastest."""
    if dtype != "auto":
        return DTYPES[dtype]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return torch.bfloat16 if device.type == "cpu" and _cpu_multiplies_bfloat16() else torch.float32


def _why_not(device: str) -> str | None:
    """Why a device cannot be used; `None` where it can."""
    try:
        torch.zeros(1, device=device).add(1).cpu()
    except (RuntimeError, AssertionError) as error:  # torch asserts that it was built for the device
        return str(error).splitlines()[0]
    return None


def _cpu_multiplies_bfloat16() -> bool:
    # Other processors emulate it, slowly. torch has no public name for this check.
    questions = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, question, lambda: False)() for question in questions)


T = TypeVar("T")


def with_less_memory(
    work: Callable[[int], T], model: Any, batch_size: int, say: Callable[[str], None]
) -> tuple[T, int]:
    """Halves the batch size as long as the GPU runs out of memory; the last resort is the CPU."""
    while True:
        try:
            return work(batch_size), batch_size
        except torch.OutOfMemoryError:
            if model.device.type == "cpu":
                raise
        # Outside of `except`, which keeps the frames that hold the memory.
        if batch_size > 1:
            batch_size //= 2
            say(f"the GPU's memory is full: continuing with --batch-size {batch_size}.")
        else:
            say("the GPU's memory is full: continuing with the CPU.")
            cpu = torch.device("cpu")
            model.to(cpu, torch.float32 if model.dtype == torch.float32 else choose_dtype("auto", cpu))
        torch.cuda.empty_cache()


def load_checkpoint(model: str | Path, dtype: torch.dtype = torch.float32) -> UNetSVSModule:
    """Loads a network for separation from `config.json` and `model.safetensors`; opens nothing else."""
    with opened_checkpoint(model) as (folder, config):
        return _load_network(config, folder / WEIGHTS, dtype)


def load_for_separation(model: str | Path, device: str, dtype: str) -> tuple[UNetSVSModule, str]:
    """A network on the chosen device in the chosen precision, and in words where it computes."""
    chosen_device, reason = choose_device(device)
    chosen_dtype = choose_dtype(dtype, chosen_device)
    # Convolutions are faster with the channels last, in half precision above all.
    network = load_checkpoint(model, chosen_dtype).to(chosen_device).to(memory_format=torch.channels_last)
    return network, f"PyTorch on {chosen_device} in {str(chosen_dtype).removeprefix('torch.')}: {reason}"


def can_use_cuda() -> bool:
    return torch.cuda.is_available()


def share_cpus(num_processes: int) -> None:
    """Takes this process's share of the machine's CPUs: `accelerate launch` leaves each process a single thread."""
    torch.set_num_threads(share_of_cpus(num_processes))


def _load_network(config: Architecture, path: Path, dtype: torch.dtype) -> UNetSVSModule:
    with torch.device("meta"):
        network = UNetSVSModule(config)
    # Checked before memory is allocated for what a file of a few bytes claims.
    num_parameters, num_bytes = network.num_parameters(), path.stat().st_size
    claims = f"its config.json has {num_parameters:,} parameters, its safetensors {num_bytes:,} bytes."
    refuse_if(num_parameters > num_bytes, claims)
    weights = load_file(path)
    for key, expected in network.state_dict().items():
        is_other = key not in weights or weights[key].shape != expected.shape
        refuse_if(is_other, f"its weights do not fit its config.json: see {key}.")
        if expected.is_floating_point():
            weights[key] = weights[key].to(dtype)  # shares the mapped file's memory if the type is the same
    network.load_state_dict(weights, strict=False, assign=True)
    return network
