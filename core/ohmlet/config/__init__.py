"""Configs: frozen specs composed by name, read from YAML, TOML or JSON, strict, every problem told at once."""

from ohmlet.config.structure import part, plain, structure

__all__ = ["part", "plain", "structure"]
