"""Preset `pcm_inference`: a phase-change-memory accelerator for inference with 8-bit converters."""

from __future__ import annotations

from typing import Any, ClassVar

from ohmlet.interfaces.preset import Preset, ReadConditions

__all__ = ["PCMInference"]


class PCMInference(Preset):
    """PCM crossbars of 512x512 with 8-bit converters, output noise 0.04, column-wise scales and global drift compensation.

    The standard evaluation model of Rasch et al. without its IR drop and its short-term read noise.
    """

    gives: ClassVar[str] = "config"
    source: ClassVar[str] = "Rasch et al., Nat. Commun. 14, 5282 (2023), doi:10.1038/s41467-023-40770-4"
    status: ClassVar[str] = "fitted"
    family: ClassVar[str] = "PCM"
    g_min_uS: ClassVar[float] = 0.0  # noqa: N815 - the unit is written so
    g_max_uS: ClassVar[float] = 25.0  # noqa: N815
    read: ClassVar[ReadConditions] = ReadConditions(after_s=20.0)

    def build(self) -> Any:
        """Return the config as plain data."""
        return {
            "tile": {
                "type": "inference",
                "forward": {
                    "dac": {"bits": 8, "bound": 1.0},
                    "adc": {"bits": 8, "bound": 10.0},
                    "input_range": "abs_max",
                    "out_noise": 0.04,
                },
                "conductance_converter": {"type": "single_pair", "g_max_uS": 25.0},
                "noise_model": "pcm",
                "drift_compensation": "global",
            },
            "mapping": {"max_in": 512, "max_out": 512, "scales": "columnwise", "bias": "digital"},
        }
