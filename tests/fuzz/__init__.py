"""A fuzzer for all that comes from strangers: `python -m tests.fuzz --files 20000 --arrays 5000`."""
