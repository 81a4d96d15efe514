"""Runs a training job that Lapidary has exported: StableHLO text, compiled by XLA. `run.py` is the way in."""
