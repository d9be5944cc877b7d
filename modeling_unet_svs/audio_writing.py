"""`AudioWriter`, where programs import it from."""

from .audio.writing import AudioWriter as AudioWriter
