"""Addressed randomness: counter-based Philox streams keyed by (seed, layer, purpose) and addressed by logical coordinates."""

from ohmlet_kernels.noise.keys import key
from ohmlet_kernels.noise.stream import Stream

__all__ = ["Stream", "key"]
