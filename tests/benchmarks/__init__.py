"""Measurements that anyone can run: `python -m tests.benchmarks.NAME`."""
