"""The analog matrix-vector product with inputs as pulse lengths and resistive output lines."""

from ohmlet_kernels.time_coded_mvm.settings import TimeCoded

__all__ = ["TimeCoded"]
