"""Presets: named, sourced, complete settings."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

__all__ = ["STATUSES", "Preset"]

STATUSES = ("measured", "fitted", "table", "illustrative")
"""Where the numbers come from: a measurement, a fit to one, a published table, or nowhere citable."""


class Preset(ABC):
    """A complete spec under a name, with its source: a part of some kind, or a whole config.

    A config names it where a part of that kind is expected (`device: reram_es`), changes fields beside the name
    (`{type: reram_es, dw_min: 0.002}`), or starts from it (`preset: pcm_inference`). A dump writes the expanded spec and `preset:`.

        class ReramES(Preset):
            \"\"\"HfOx ReRAM with exponential saturation.\"\"\"

            gives = "device"
            source = "Gong et al., Nat. Commun. 9, 2102 (2018), doi:10.1038/s41467-018-04485-1"
            status = "fitted"

            def build(self):
                return ExpStep(dw_min=0.00135)
    """

    kind: ClassVar[str] = "preset"
    gives: ClassVar[str]
    """The kind of the spec, or "config" for a whole AnalogConfig."""
    source: ClassVar[str]
    """The publication with its DOI."""
    status: ClassVar[str]
    """One of `STATUSES`."""

    @abstractmethod
    def build(self) -> Any:
        """Return the spec; for a whole config, the plain mapping that a config file would hold."""
