"""The numbers that define Ohmlet's random streams; every engine uses exactly these, in exactly this order of operations.

Philox 4x32-10: Salmon, Moraes, Dror and Shaw, SC11 (2011), doi:10.1145/2063384.2063405.
Normals: inverse normal distribution by Giles' single-precision polynomial for the inverse error function, GPU Computing Gems (2011),
chapter 10, with log(z) = (z-1) P(z-1) on [sqrt(1/2), sqrt(2)), P of degree 8, relative error 3e-8 (own minimax fit).
"""

__all__ = [
    "COLUMN_BITS",
    "ERFINV_CENTRE",
    "ERFINV_TAIL",
    "KEY_0",
    "KEY_1",
    "LN2",
    "LOG",
    "MULTIPLIER_0",
    "MULTIPLIER_1",
    "ORDINAL_BITS",
    "ROUNDS",
    "SQRT2",
    "SQRT_HALF_BITS",
]

ROUNDS = 10
MULTIPLIER_0 = 0xD2511F53
MULTIPLIER_1 = 0xCD9E8D57
KEY_0 = 0x9E3779B9
KEY_1 = 0xBB67AE85

COLUMN_BITS = 20
"""A counter's first word holds column // 4 in its low 20 bits and the ordinal's upper 12 bits above them."""
ORDINAL_BITS = 44

SQRT_HALF_BITS = 0x3F3504F3
"""sqrt(1/2) as the bits of a float32: subtracting it splits exponent and mantissa with the mantissa centred on one."""
LN2 = 0.6931471805599453
SQRT2 = 1.4142135623730951

LOG = (
    0.99999998,
    -0.49999978,
    0.3333416,
    -0.25002946,
    0.19958417,
    -0.16543737,
    0.14917378,
    -0.14482195,
    0.08959922,
)
"""P, lowest power first."""

ERFINV_CENTRE = (
    2.81022636e-08,
    3.43273939e-07,
    -3.5233877e-06,
    -4.39150654e-06,
    0.00021858087,
    -0.00125372503,
    -0.00417768164,
    0.246640727,
    1.50140941,
)
"""erfinv(x)/x in powers of w - 2.5, w = -log(1 - x^2) < 5, highest power first."""

ERFINV_TAIL = (
    -0.000200214257,
    0.000100950558,
    0.00134934322,
    -0.00367342844,
    0.00573950773,
    -0.0076224613,
    0.00943887047,
    1.00167406,
    2.83297682,
)
"""erfinv(x)/x in powers of sqrt(w) - 3, w >= 5, highest power first."""
