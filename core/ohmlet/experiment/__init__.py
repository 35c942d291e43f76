"""Experiments: a file that states data, model, training and evaluation, run with progress, resumable, the same seed the same results."""
