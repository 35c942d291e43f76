"""Tests of the registry, the configs and the hooks."""
