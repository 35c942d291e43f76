"""Presets of crossbars for inference, each with the noise model that was measured on its devices."""

from __future__ import annotations

from typing import Any, ClassVar

from ohmlet.interfaces.preset import Preset, ReadConditions, WritePulses

__all__ = ["PCMJoshiInference", "ReRAMMiloInference", "ReRAMWanInference", "SONOSInference"]


class DeviceInference(Preset):
    """A tile with converters of 8 bit and one device for each sign of a weight, without other noise than that of the devices."""

    gives: ClassVar[str] = "config"
    status: ClassVar[str] = "fitted"
    noise_model: ClassVar[dict[str, Any]] = {}
    """The noise model."""
    window: ClassVar[tuple[float, float]] = (0.0, 25.0)
    """Smallest and largest conductance, uS."""
    compensation: ClassVar[str] = "none"
    """How drift is undone."""

    def build(self) -> Any:
        """Return the config as plain data."""
        low, high = self.window
        return {
            "tile": {
                "type": "inference",
                "forward": {"dac": {"bits": 8, "bound": 1.0}, "adc": {"bits": 8, "bound": 10.0}, "input_range": "abs_max"},
                "conductance_converter": {"type": "single_pair", "g_max_uS": high, "g_min_uS": low},
                "noise_model": self.noise_model,
                "drift_compensation": self.compensation,
            },
            "mapping": {"max_in": 512, "max_out": 512, "scales": "columnwise", "bias": "digital"},
        }


class PCMJoshiInference(DeviceInference):
    """Phase-change memory right after programming: the measured error of the programmed conductance, no drift and no read noise.

    sigma = 0.28638599 + 0.07585724 g - 0.00178767 g^2 uS, 27.36 s after programming.
    """

    source: ClassVar[str] = "Joshi et al., Nat. Commun. 11, 2473 (2020), doi:10.1038/s41467-020-16108-9"
    family: ClassVar[str] = "PCM"
    g_min_uS: ClassVar[float] = 0.25  # noqa: N815
    g_max_uS: ClassVar[float] = 25.0  # noqa: N815
    read: ClassVar[ReadConditions] = ReadConditions(after_s=27.36)
    write: ClassVar[WritePulses] = WritePulses(note="iterative programming")
    window: ClassVar[tuple[float, float]] = (0.25, 25.0)
    noise_model: ClassVar[dict[str, Any]] = {
        "type": "pcm",
        "prog_coeff": [0.28638599, 1.896431, -1.11729375],
        "drift_scale": 0.0,
        "read_noise_scale": 0.0,
    }


class ReRAMMiloInference(DeviceInference):
    """HfO2 ReRAM array with program-verify to multiple levels: error of the programmed conductance from 50 to 225 uS."""

    source: ClassVar[str] = "Milo et al., IRPS (2021), doi:10.1109/IRPS46558.2021.9405119"
    family: ClassVar[str] = "RRAM"
    g_min_uS: ClassVar[float] = 50.0  # noqa: N815
    g_max_uS: ClassVar[float] = 225.0  # noqa: N815
    write: ClassVar[WritePulses] = WritePulses(note="program-verify with incremental gate voltage, IGVVA-100")
    window: ClassVar[tuple[float, float]] = (50.0, 225.0)
    noise_model: ClassVar[dict[str, Any]] = {"type": "reram_milo"}


class ReRAMWanInference(DeviceInference):
    """Filamentary ReRAM of a 130-nm chip: relaxation measured at 1 s, 1 day and 2 days after programming."""

    source: ClassVar[str] = "Wan et al., Nature 608, 504 (2022), doi:10.1038/s41586-022-04992-8"
    family: ClassVar[str] = "RRAM"
    g_min_uS: ClassVar[float] = 0.0  # noqa: N815
    g_max_uS: ClassVar[float] = 40.0  # noqa: N815
    read: ClassVar[ReadConditions] = ReadConditions(note="1 s, 1 day and 2 days after programming")
    write: ClassVar[WritePulses] = WritePulses(note="write-verify")
    window: ClassVar[tuple[float, float]] = (0.0, 40.0)
    noise_model: ClassVar[dict[str, Any]] = {"type": "reram_wan2022"}


class SONOSInference(DeviceInference):
    """40-nm SONOS charge-trap memory in subthreshold: error, relaxation over five days and read noise of 128 thousand cells."""

    source: ClassVar[str] = "Agrawal et al., IEDM (2022), doi:10.1109/IEDM45625.2022.10019564"
    family: ClassVar[str] = "Flash"
    g_min_uS: ClassVar[float] = 0.0  # noqa: N815
    g_max_uS: ClassVar[float] = 16.0  # noqa: N815
    read: ClassVar[ReadConditions] = ReadConditions(voltage_V=0.1, note="on the day of programming and on five days after")
    write: ClassVar[WritePulses] = WritePulses(note="program-verify of charge, currents up to 1600 nA")
    retention: ClassVar[str] = "currents fall by a few per cent within five days"
    window: ClassVar[tuple[float, float]] = (0.0, 16.0)
    noise_model: ClassVar[dict[str, Any]] = {"type": "sonos"}
