"""Replays the numbers of another simulator: a folder of cases in, a verdict per case out (`make reference DIR=...`)."""
