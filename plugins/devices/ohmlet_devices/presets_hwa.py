"""Presets of hardware-aware training for inference, and of exact layers to compare with."""

from __future__ import annotations

from typing import Any, ClassVar

from ohmlet.interfaces.preset import Preset, ReadConditions

__all__ = ["FloatingPoint", "HWAStandard", "WebComposer", "WebComposerOld"]

PARTS: dict[str, Any] = {
    "conductance_converter": {"type": "single_pair", "g_max_uS": 25.0},
    "noise_model": "pcm",
    "drift_compensation": "global",
}
CONVERTERS: dict[str, Any] = {
    "dac": {"levels": 126.0, "bound": 1.0},
    "adc": {"levels": 510.0, "bound": 20.0},
    "input_range": "abs_max",
    "bound_management": "iterative",
    "out_noise": 0.1,
}


class HWAStandard(Preset):
    """Hardware-aware training as a standard: learned input ranges, 8-bit converters, IR drop, read noise, learned column scales.

    The published protocol adds weight noise in training (`tile.training.modifier`), which this leaves out as its origin does. The
    clip at 1 is one of the normalised weights, which column-wise scales keep there anyway, so that none is set.
    """

    gives: ClassVar[str] = "config"
    source: ClassVar[str] = "Rasch et al., Nat. Commun. 14, 5282 (2023), doi:10.1038/s41467-023-40770-4"
    status: ClassVar[str] = "fitted"
    family: ClassVar[str] = "PCM"
    g_min_uS: ClassVar[float] = 0.0  # noqa: N815
    g_max_uS: ClassVar[float] = 25.0  # noqa: N815
    read: ClassVar[ReadConditions] = ReadConditions(after_s=20.0)

    def build(self) -> Any:
        """Return the config as plain data."""
        forward = {
            "dac": {"levels": 254.0, "bound": 1.0},
            "adc": {"levels": 254.0, "bound": 10.0},
            "input_range": "learned",
            "out_noise": 0.04,
            "weight_noise": {"type": "pcm_read", "std": 0.0175},
            "ir_drop": {"type": "quadratic", "scale": 1.0, "g_ratio": 1 / 0.35 / 5e-6},
        }
        return {
            "tile": {"type": "inference", "forward": forward, **PARTS},
            "mapping": {
                "max_in": 512,
                "max_out": 0,
                "omega": 1.0,
                "scales": "columnwise",
                "learned_scales": "columnwise",
                "learned_form": "linear",
            },
        }


class FloatingPoint(Preset):
    """Exact products in one crossbar of any size: what analog layers are compared with."""

    gives: ClassVar[str] = "config"
    source: ClassVar[str] = "Rasch et al., AICAS (2021), doi:10.1109/AICAS51828.2021.9458494"
    status: ClassVar[str] = "illustrative"

    def build(self) -> Any:
        """Return the config as plain data."""
        return {
            "tile": {"type": "inference", "forward": {"input_range": "none"}, **PARTS},
            "mapping": {"max_in": 0, "max_out": 0, "scales": "none"},
        }


class WebComposer(Preset):
    """Phase-change memory as a web composer of analog networks offered it: weight noise of 0.1 in training, one learned scale.

    Its clip at 1 is one of normalised weights, which column-wise scales keep there: none is set.
    """

    gives: ClassVar[str] = "config"
    source: ClassVar[str] = "Le Gallo et al., APL Mach. Learn. 1, 041102 (2023), doi:10.1063/5.0168089"
    status: ClassVar[str] = "illustrative"
    family: ClassVar[str] = "PCM"
    g_min_uS: ClassVar[float] = 0.0  # noqa: N815
    g_max_uS: ClassVar[float] = 25.0  # noqa: N815
    mapping: ClassVar[dict[str, Any]] = {"omega": 1.0, "scales": "columnwise", "learned_scales": "tilewise", "learned_form": "linear"}
    """How weights are laid onto crossbars."""

    def build(self) -> Any:
        """Return the config as plain data."""
        training = {"modifier": {"type": "add_normal", "std": 0.1}}
        return {"tile": {"type": "inference", "forward": CONVERTERS, "training": training, **PARTS}, "mapping": self.mapping}


class WebComposerOld(WebComposer):
    """The same as it was at first: analog biases, no learned scale, one crossbar of any size for each layer."""

    mapping: ClassVar[dict[str, Any]] = {"omega": 1.0, "scales": "columnwise", "bias": "analog", "max_in": 0, "max_out": 0}
