"""Converter `dual_pair`: each weight is a weighted sum of two differences."""

from __future__ import annotations

from attrs import frozen

from ohmlet.errors import ConfigError
from ohmlet.spec import numbers
from ohmlet_noise_models.n_pair import NPair

__all__ = ["DualPair"]


@frozen(kw_only=True)
class DualPair(NPair):
    """Two pairs of devices per weight, one of lower and one of higher significance: `n_pair` with two factors.

    References: Ambrogio et al., Nature 558, 60 (2018), doi:10.1038/s41586-018-0180-5; Mackin et al., Nat. Commun. 13, 3765 (2022),
    doi:10.1038/s41467-022-31405-1.
    """

    factors: tuple[float, ...] = numbers((1.0, 3.0), "factor of either pair, the one that fills first in front", gt=0.0, shortest=2)

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        if len(self.factors) != 2:
            raise ConfigError(f"dual_pair has two 'factors', one per pair; n_pair takes any number: {self.factors!r}")
