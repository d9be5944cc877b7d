"""Tests, which read like the specification."""

import os

# Before the libraries are imported, which read it then: no test asks the Hub.
os.environ["HF_HUB_OFFLINE"] = "1"
