"""Tests, which read like the specification."""
