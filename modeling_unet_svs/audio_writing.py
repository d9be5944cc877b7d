"""`AudioWriter`, where programs import it from."""

from .audio.writing import AudioWriter

__all__ = ["AudioWriter"]
