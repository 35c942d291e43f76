"""The analog matrix-vector product: scaling, DAC, array, ADC, bound management."""

from ohmlet_kernels.analog_mvm.settings import MVM, Variation

__all__ = ["MVM", "Variation"]
