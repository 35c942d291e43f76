"""Presets of conductive metal oxide on HfOx: the array that learns, what its ablations change, and the same cells for inference."""

from __future__ import annotations

from typing import Any, ClassVar

from attrs import evolve

from ohmlet.interfaces.preset import Preset, WritePulses
from ohmlet_devices.generalized_soft_bounds import GeneralizedSoftBounds

__all__ = ["CMO100States", "CMOInference", "CMOLowNoise", "CMOSymmetric", "ReRAMCMOArray"]

SOURCE = "Falcone et al., Adv. Funct. Mater. (2025), doi:10.1002/adfm.202504688"


class ReRAMCMOArray(Preset):
    """CMO/HfOx 1T1R array under identical open-loop pulses, by the statistics of its 32 cells.

    States, noise at the symmetry point, window and symmetry point are as published: 22 states (16 to 33), noise-to-signal ratio 0.9,
    windows from 10 to 15 up to 90 to 100 uS, symmetry points at 37 uS on average (a skew of 61 % with respect to the upper end) within
    20 to 40 uS. Spreads are such that 32 devices span these ranges. Each device saturates linearly, which is an assumption.
    """

    gives: ClassVar[str] = "device"
    source: ClassVar[str] = SOURCE
    status: ClassVar[str] = "fitted"
    family: ClassVar[str] = "RRAM"
    g_min_uS: ClassVar[float] = 12.5  # noqa: N815 - the unit is written so
    g_max_uS: ClassVar[float] = 95.0  # noqa: N815
    write: ClassVar[WritePulses] = WritePulses(up_V=1.35, up_s=2.5e-6, down_V=-1.3, down_s=2.5e-6, note="identical, open loop")
    retention: ClassVar[str] = "relaxation with the logarithm of time, noise model reram_cmo"

    def build(self) -> GeneralizedSoftBounds:
        """Return the device."""
        return GeneralizedSoftBounds(
            n_states=22.0,
            n_states_dtod=0.2,
            n_states_range=(16.0, 33.0),
            nsr=0.9,
            g_min_uS=12.5,
            g_min_dtod_uS=1.2,
            g_min_range_uS=(10.0, 15.0),
            g_max_uS=95.0,
            g_max_dtod_uS=2.4,
            g_max_range_uS=(90.0, 100.0),
            g_sp_uS=37.0,
            g_sp_dtod_uS=4.8,
            g_sp_range_uS=(20.0, 40.0),
        )


class Ablation(ReRAMCMOArray):
    """What the ablations of the array have in common."""

    status: ClassVar[str] = "illustrative"


class CMOLowNoise(Ablation):
    """The array of `reram_cmo_array` were its noise-to-signal ratio 0.2."""

    def build(self) -> GeneralizedSoftBounds:
        """Return the device."""
        return evolve(super().build(), nsr=0.2)


class CMO100States(Ablation):
    """The array of `reram_cmo_array` were its devices of 100 states, with the same relative spread."""

    def build(self) -> GeneralizedSoftBounds:
        """Return the device."""
        return evolve(super().build(), n_states=100.0, n_states_range=(73.0, 150.0))


class CMOSymmetric(Ablation):
    """The array of `reram_cmo_array` were its symmetry points in the middle of the window, with the same spread."""

    def build(self) -> GeneralizedSoftBounds:
        """Return the device."""
        return evolve(super().build(), g_sp_uS=53.75, g_sp_dtod_uS=2.44, g_sp_range_uS=None)


class CMOInference(Preset):
    """CMO/HfOx crossbars of 64x64 for inference: one device per weight from 9 to 88.2 uS, 6-bit inputs, 8-bit outputs.

    Written to 0.2 % by program-verify, then relaxing and read as measured, with the wires of the published simulation, 0.35 ohm from
    cell to cell. Without drift compensation, as there.
    """

    gives: ClassVar[str] = "config"
    source: ClassVar[str] = SOURCE
    status: ClassVar[str] = "fitted"
    family: ClassVar[str] = "RRAM"
    g_min_uS: ClassVar[float] = 9.0  # noqa: N815 - the unit is written so
    g_max_uS: ClassVar[float] = 88.2  # noqa: N815
    write: ClassVar[WritePulses] = WritePulses(note="identical pulses with verification, about 90 of them to 0.2 %")
    retention: ClassVar[str] = "measured for a week, on average -1.7 uS with a spread of 1.2 uS when extrapolated to ten years"

    def build(self) -> Any:
        """Return the config as plain data."""
        return {
            "tile": {
                "type": "inference",
                "forward": {
                    "dac": {"bits": 6, "bound": 1.0},
                    "adc": {"bits": 8, "bound": 15.0},
                    "input_range": "abs_max",
                    "ir_drop": {"type": "quadratic", "scale": 1.0, "g_ratio": 32394.0},
                },
                "conductance_converter": {"type": "single_device", "g_min_uS": 9.0, "g_max_uS": 88.2},
                "noise_model": {"type": "reram_cmo", "acceptance_range": 0.2},
                "drift_compensation": "none",
            },
            "mapping": {"max_in": 64, "max_out": 64, "scales": "columnwise", "bias": "digital"},
        }
