"""Presets of published inference engines that add digits of weights and inputs: ISAAC, PRIME, and SONOS arrays without slices."""

from __future__ import annotations

from typing import Any, ClassVar

from ohmlet.interfaces.preset import Preset, ReadConditions

__all__ = ["ISAAC", "PRIME", "SONOSArray"]


class ISAAC(Preset):
    """ISAAC: 128x128 arrays of 2-bit cells, 16-bit weights in eight slices with a unit column, 16-bit inputs bit by bit, exact ADCs.

    Nine bits count every sum of 128 cells, so nothing is lost where cells are ideal; the paper saves one of them by flipping columns.
    Cells conduct 0.5 to 500 uS. State a `noise_model` of the crossbar to program them.
    """

    gives: ClassVar[str] = "config"
    source: ClassVar[str] = "Shafiee et al., ISCA (2016), doi:10.1109/ISCA.2016.12"
    status: ClassVar[str] = "table"
    family: ClassVar[str] = "RRAM"
    g_min_uS: ClassVar[float] = 0.5  # noqa: N815 - the unit is written so
    g_max_uS: ClassVar[float] = 500.0  # noqa: N815

    def build(self) -> Any:
        """Return the config as plain data."""
        return {
            "tile": {
                "type": "bit_sliced",
                "weight_bits": 16,
                "slice_bits": [2],
                "signs": "unit_column",
                "inputs": {"type": "bit_serial", "bits": 16, "sign": "twos_complement"},
                "adc": {"bits": 9, "bound": "granular"},
                "crossbar": {
                    "type": "inference",
                    "forward": {"input_range": "none"},
                    "conductance_converter": {"type": "single_device", "g_max_uS": 500.0, "g_min_uS": 0.5},
                },
            },
            "mapping": {"max_in": 128, "max_out": 127, "scales": "tilewise"},
        }


class PRIME(Preset):
    """PRIME: 256x256 arrays, 8-bit weights as digits of 4 bits on positive and negative arrays, 6-bit inputs in halves, 6-bit ramp ADCs.

    Cells conduct 50 to 1000 uS. `ohmlet.calibrate` finds the ranges of the ADCs, one for each slice. The sign of weights and inputs is
    one of their bits. State a `noise_model` of the crossbar to program them.
    """

    gives: ClassVar[str] = "config"
    source: ClassVar[str] = "Chi et al., ISCA (2016), doi:10.1109/ISCA.2016.13"
    status: ClassVar[str] = "table"
    family: ClassVar[str] = "RRAM"
    g_min_uS: ClassVar[float] = 50.0  # noqa: N815
    g_max_uS: ClassVar[float] = 1000.0  # noqa: N815

    def build(self) -> Any:
        """Return the config as plain data."""
        return {
            "tile": {
                "type": "bit_sliced",
                "weight_bits": 8,
                "slice_bits": [4],
                "signs": "balanced_digital",
                "inputs": {"type": "sliced", "bits": 6, "slice_bits": [3]},
                "adc": {"type": "ramp", "bits": 6, "bound": "calibrated"},
                "crossbar": {
                    "type": "inference",
                    "forward": {"input_range": "none"},
                    "conductance_converter": {"type": "single_device", "g_max_uS": 1000.0, "g_min_uS": 50.0},
                },
            },
            "mapping": {"max_in": 256, "max_out": 256, "scales": "tilewise"},
        }


class SONOSArray(Preset):
    """SONOS arrays of 1152x256: whole 8-bit weights in pairs of cells, 8-bit inputs bit by bit and added as charge, 8-bit ramp ADCs.

    `ohmlet.calibrate` finds the range of each array's ADC. Cells conduct up to 16 uS, where `sonos` knows how they err and relax.
    """

    gives: ClassVar[str] = "config"
    source: ClassVar[str] = "Xiao et al., IEEE Trans. Circuits Syst. I 69, 1480 (2022), doi:10.1109/TCSI.2021.3134313"
    status: ClassVar[str] = "table"
    family: ClassVar[str] = "Flash"
    g_min_uS: ClassVar[float] = 0.0  # noqa: N815
    g_max_uS: ClassVar[float] = 16.0  # noqa: N815
    read: ClassVar[ReadConditions] = ReadConditions(voltage_V=0.1, note="on the day of programming and on five days after")

    def build(self) -> Any:
        """Return the config as plain data."""
        return {
            "tile": {
                "type": "bit_sliced",
                "weight_bits": 8,
                "signs": "balanced",
                "inputs": {"type": "bit_serial", "bits": 8, "accumulation": "analog"},
                "adc": {"type": "ramp", "bits": 8, "bound": "calibrated"},
                "crossbar": {
                    "type": "inference",
                    "forward": {"input_range": "none"},
                    "conductance_converter": {"type": "single_pair", "g_max_uS": 16.0},
                    "noise_model": "sonos",
                },
            },
            "mapping": {"max_in": 1152, "max_out": 256, "scales": "tilewise"},
        }
