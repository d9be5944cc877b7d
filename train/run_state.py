"""What a run knows of itself beyond weights and optimizer, kept with every checkpoint."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass


@dataclass
class RunState:
    """Progress of a run.

    Attributes:
        step: optimizer steps done.
        best_sdr: in dB, of all validations so far.
        validations_since_best: in a row.
        full_precision: whether mixed precision was given up.
    """

    step: int = 0
    best_sdr: float = -math.inf
    validations_since_best: int = 0
    full_precision: bool = False

    def state_dict(self) -> dict:
        """All of it."""
        return asdict(self)

    def load_state_dict(self, state: dict) -> None:
        """Takes the state of a checkpoint.

        Args:
            state: made by `state_dict`.
        """
        for name, value in state.items():
            setattr(self, name, value)

    def note_validation(self, sdr: float) -> bool:
        """Takes a validation's result.

        Args:
            sdr: in dB.

        Returns:
            Whether it is the best so far.
        """
        is_best = sdr > self.best_sdr
        self.validations_since_best = 0 if is_best else self.validations_since_best + 1
        self.best_sdr = max(sdr, self.best_sdr)
        return is_best


__all__ = ["RunState"]
