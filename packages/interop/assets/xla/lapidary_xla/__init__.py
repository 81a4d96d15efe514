"""Runs a training job that Lapidary exported as StableHLO, compiled by XLA. `run.py` is the entry point."""
