"""Relative sizes: shares of a full scale, which are easily taken for per cent."""

from __future__ import annotations

import warnings

from ohmlet.errors import ConfigError

__all__ = ["check_share", "check_strength", "warn_share"]


def _words(name: str, value: float, of: str) -> str:
    return f"{name} {value:g} is {value:g} times {of}: shares are no per cent; for {value:g} % write {value / 100:g}"


def check_share(name: str, value: float, of: str) -> None:
    """Raise ConfigError for a noise above the whole of what it is relative to."""
    if value > 1.0:
        raise ConfigError(_words(name, value, of))


def warn_share(name: str, value: float, of: str) -> None:
    """Warn of a noise of several times what it is relative to, where sums may be somewhat larger than that."""
    if value >= 2.0:
        warnings.warn(_words(name, value, of), stacklevel=2)


def check_strength(std: float, w_max: float | None, of: str = "") -> None:
    """Raise ConfigError for a modifier's std of zero and, where it is relative to `of`, for one that drowns every weight."""
    if std == 0:
        raise ConfigError("std 0.0 adds no noise, so that the modifier has no effect: give a std above 0, or leave the modifier out (null)")
    if of and std * (1.0 if w_max is None else w_max) > 1.0:
        check_share("std", std, of)
