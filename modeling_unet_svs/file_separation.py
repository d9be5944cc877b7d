"""`separate_file`, where programs import it from."""

from .command.file_separation import separate_file as separate_file
