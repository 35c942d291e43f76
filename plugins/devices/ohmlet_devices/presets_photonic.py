"""Presets of photonic memory: phase-change material on a waveguide."""

from __future__ import annotations

from typing import Any, ClassVar

from ohmlet.interfaces.device import UnitCell
from ohmlet.interfaces.preset import Preset, ReadConditions, WritePulses
from ohmlet_devices.domain_wall import DomainWall

__all__ = ["PhotonicInference", "PhotonicPCM"]

SOURCE = "Zhou et al., Nat. Commun. 14, 2887 (2023), doi:10.1038/s41467-023-38473-x"


class PhotonicPCM(Preset):
    """Phase-change material on a silicon waveguide with a heater: 16 levels of transmission, 158.5 % apart, that do not drift.

    Levels and contrast as measured (source); levels at equal distances, which a pulse moves by one, stand for electrical programming.
    The highest transmission is 2.585 times the lowest.
    """

    gives: ClassVar[str] = "device"
    source: ClassVar[str] = SOURCE
    status: ClassVar[str] = "measured"
    family: ClassVar[str] = "photonic"
    write: ClassVar[WritePulses] = WritePulses(note="electrical heater, 1.7 nJ per dB to erase")
    read: ClassVar[ReadConditions] = ReadConditions(note="optical transmission, which is no conductance")
    retention: ClassVar[str] = "non-volatile, no drift of the transmission"

    def build(self) -> UnitCell:
        """Return the device."""
        return DomainWall(levels=16)


class PhotonicInference(Preset):
    """Photonic memory for inference: weights programmed with a standard deviation of 0.007 that do not drift.

    Standard deviation, levels and the absence of drift as measured (source). Weights are differences of two transmissions, each on a
    scale on which full transmission is 1 in the place of 1 uS. Training rounds them to the 16 levels of each.
    """

    gives: ClassVar[str] = "config"
    source: ClassVar[str] = SOURCE
    status: ClassVar[str] = "measured"
    based_on: ClassVar[str] = "photonic_pcm"
    family: ClassVar[str] = "photonic"

    def build(self) -> Any:
        """Return the config as plain data."""
        return {
            "tile": {
                "type": "inference",
                "forward": {"dac": {"bits": 8, "bound": 1.0}, "adc": {"bits": 8, "bound": 10.0}, "input_range": "abs_max"},
                "training": {"modifier": {"type": "discretize", "step": 1 / 15}},
                "conductance_converter": {"type": "single_pair", "g_max_uS": 1.0},
                "noise_model": {
                    "type": "state_independent",
                    "prog_coeff": [0.007],
                    "read_noise_scale": 0.0,
                    "drift_nu_mean": 0.0,
                    "drift_nu_std": 0.0,
                },
                "drift_compensation": "none",
            },
            "mapping": {"max_in": 512, "max_out": 512, "scales": "columnwise", "bias": "digital"},
        }
