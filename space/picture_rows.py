"""The rows of the pictures: from low to high frequencies, in equal steps of pitch."""

from __future__ import annotations

import numpy as np

NUM_ROWS = 160
LOWEST_HZ, HIGHEST_HZ = 50.0, 20_000.0


def row_edges(sampling_rate: int) -> np.ndarray:
    """Where rows begin and end.

    Args:
        sampling_rate: of the song in Hz.

    Returns:
        `NUM_ROWS + 1` frequencies in Hz.
    """
    highest = min(HIGHEST_HZ, sampling_rate / 2)
    return np.geomspace(min(LOWEST_HZ, highest / 4), highest, NUM_ROWS + 1)


def mean_between(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Mean of bins in each row.

    Each bin is taken to be as wide as it is: a row narrower than a bin has what the bin has, one that is wider has the
    mean of all its bins, and one above all bins has 0.

    Args:
        values: `(..., num_bins)`.
        edges: of the rows, in bins, ascending.

    Returns:
        `(..., num_rows)`.
    """
    num_bins = values.shape[-1]
    places = np.clip(edges + 0.5, 0, num_bins)
    whole = np.minimum(places.astype(int), num_bins - 1)
    below = np.cumsum(values, axis=-1, dtype=np.float64) - values
    sums = np.diff(below[..., whole] + (places - whole) * values[..., whole])
    widths = np.broadcast_to(np.diff(places), sums.shape)
    return np.divide(sums, widths, out=np.zeros_like(sums), where=widths > 0)


__all__ = ["NUM_ROWS", "mean_between", "row_edges"]
