"""The analog product with weights in model units, which are scaled and modified as the crossbar takes them up."""

from ohmlet_kernels.mapped_mvm.settings import Mapping

__all__ = ["Mapping"]
