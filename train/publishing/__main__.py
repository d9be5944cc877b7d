"""`python -m train.publishing FOLDER USER/NAME`: uploads a trained model to the Hugging Face Hub in one commit."""

import sys

from ..exit_codes import run_command
from .hub import publish

if __name__ == "__main__":
    sys.exit(run_command("publishing", lambda *words: print(publish(*words)), "FOLDER", "USER/NAME"))
