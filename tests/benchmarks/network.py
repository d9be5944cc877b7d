"""`python -m tests.benchmarks.network [--batch_size 4] [--no_compile]`: the network alone, without any transform.

Against this machine's rate of matrix products, in float32 and bfloat16, eager and compiled: from which length of audio
on compiling pays back the time that it takes.
"""

import time

import torch
from torch.utils.flop_counter import FlopCounterMode

from .measuring import given, model_in, print_table, seconds_in_turn

SIZE = 2048


def main() -> None:
    options = given(__doc__, batch_size=4, runs=20, no_compile=False)
    how = (options.batch_size, options.runs, not options.no_compile)
    rows = [*measure(torch.float32, *how), *measure(torch.bfloat16, *how)]
    columns = ("", "times real time", "GFLOP/s", "share of product's", "compiling, s", "pays from, s of audio")
    print_table(f"the network, {options.batch_size} patches at once", columns, rows)


@torch.inference_mode()
def measure(dtype: torch.dtype, batch_size: int, num_runs: int, compiles: bool) -> list[tuple[str, ...]]:
    """Rows of the table for one precision."""
    model = model_in(dtype)
    config = model.config
    shape = (config.num_channels * config.num_bands, config.num_bins // config.num_bands, config.num_frames)
    patches = torch.rand(batch_size, *shape).to(dtype)
    (network, *_) = model.unets.values()
    with FlopCounterMode(display=False) as counter:
        network(patches)
    kept = config.num_frames - 2 * config.context_frames
    audio = batch_size * kept * config.hop_length / config.sampling_rate
    matrix = torch.rand(SIZE, SIZE).to(dtype)
    measures = {"product": lambda: torch.mm(matrix, matrix), "eager": lambda: network(patches)}
    compile_seconds = 0.0
    if compiles:
        compiled = torch.compile(network)
        begun = time.perf_counter()
        compiled(patches)
        compile_seconds = time.perf_counter() - begun
        measures["compiled"] = lambda: compiled(patches)
    seconds = seconds_in_turn(measures, num_runs)
    rates = {name: counter.get_total_flops() / time / 1e9 for name, time in seconds.items()}
    rates["product"] = 2 * SIZE**3 / seconds["product"] / 1e9
    name = str(dtype).removeprefix("torch.")
    rows = [(f"{name}, matrix product", "", f"{rates['product']:.0f}", "", "", "")]
    for kind in list(measures)[1:]:
        shown = [f"{audio / seconds[kind]:.0f}", f"{rates[kind]:.0f}", f"{rates[kind] / rates['product']:.0%}"]
        gained = (seconds["eager"] - seconds[kind]) / audio
        pays = "" if kind == "eager" else f"{compile_seconds / gained:.0f}" if gained > 0 else "never"
        rows.append((f"{name}, {kind}", *shown, f"{compile_seconds:.1f}" if pays else "", pays))
    return rows


if __name__ == "__main__":
    main()
