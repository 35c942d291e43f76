"""The numbers behind exp, log, pow and tanh of a device's step, for engines that compile them; own minimax fits in float32.

Relative errors of the fits alone, before rounding: exp 4e-9 on |r| <= ln(2)/2, log 3e-8 (the one of the random numbers), tanh 5e-9.
"""

from ohmlet_kernels.noise.constants import LN2, LOG, SQRT_HALF_BITS

__all__ = ["EXP", "EXP_HIGHEST", "EXP_LOWEST", "LN2", "LN2_HIGH", "LN2_LOW", "LOG", "LOG2_E", "SQRT_HALF_BITS", "TANH", "TANH_NEAR"]

LOG2_E = 1.4426950408889634

LN2_HIGH = 0.693359375
"""The first ten bits of ln 2, whose product with an exponent is exact."""
LN2_LOW = LN2 - LN2_HIGH

EXP = (0.49999993, 0.16666515, 0.04166846, 0.00836942, 0.00138131)
"""exp(r) = 1 + r + r^2 Q(r): Q, lowest power first."""

EXP_LOWEST, EXP_HIGHEST = -104.0, 89.0
"""Beyond these a float32 exponential is zero, or infinite."""

TANH = (-0.33333278, 0.13331329, -0.05372923, 0.02060201, -0.00566079)
"""tanh(x) = x + x^3 T(x^2) for |x| <= TANH_NEAR: T, lowest power first."""
TANH_NEAR = 0.632
