"""`separate_file`, where programs import it from."""

from .command.file_separation import separate_file

__all__ = ["separate_file"]
