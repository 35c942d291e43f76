"""The analog matrix-vector product: scaling, DAC, product, noise, ADC."""

from ohmlet_kernels.analog_mvm.settings import MVM

__all__ = ["MVM"]
