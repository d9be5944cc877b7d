"""Where to compute and in which precision: chosen, and said why."""

from __future__ import annotations

import torch

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def choose_device(device: str) -> tuple[torch.device, str]:
    """Takes a device by name, or the fastest that works.

    Args:
        device: "auto", "cpu", "cuda" or "mps".

    Returns:
        The device, and why it is that one: a GPU that is there and cannot be used is not passed over in silence.

    Raises:
        ValueError: a device that was asked for by name and cannot be used.
    """
    if device != "auto":
        reason = _why_not(device)
        if reason:
            raise ValueError(f"--device {device} cannot be used: {reason}")
        return torch.device(device), "as asked for"
    if torch.cuda.is_available():
        reason = _why_not("cuda")
        if not reason:
            return torch.device("cuda"), f"found {torch.cuda.get_device_name()}"
        return torch.device("cpu"), f"the GPU cannot be used: {reason}"
    if torch.backends.mps.is_available():
        return torch.device("mps"), "found Apple's GPU"
    return torch.device("cpu"), "found no GPU"


def choose_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """Takes a precision by name, or the fastest on a device.

    Half the bits change the stems by far less than what separates them from the true ones: mixture and spectrogram
    stay in full precision, and so does what remains, the mixture minus the rest.

    Args:
        dtype: "auto", or a key of `DTYPES`.
        device: that computes.

    Returns:
        The type of the network's weights.
    """
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
    # Others imitate it, slowly. torch has no public name for the question.
    questions = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, question, lambda: False)() for question in questions)


__all__ = ["DTYPES", "choose_device", "choose_dtype"]
