"""Presets of HfOx ReRAM, single devices and arrays, as fitted to their pulse responses."""

from __future__ import annotations

from typing import ClassVar

from ohmlet.interfaces.device import UnitCell
from ohmlet.interfaces.preset import Preset
from ohmlet_devices.exp_step import ExpStep
from ohmlet_devices.soft_bounds_reference import SoftBoundsReference

__all__ = ["ReRAMArrayHfO2", "ReRAMArrayOM", "ReRAMES", "ReRAMSB"]


class ReRAMES(Preset):
    """HfOx ReRAM with exponential saturation and strong write noise.

    Numbers as spread by aihwkit's ReRamESPresetDevice, up_down and write noise in its units.
    """

    gives: ClassVar[str] = "device"
    source: ClassVar[str] = "Gong et al., Nat. Commun. 9, 2102 (2018), doi:10.1038/s41467-018-04485-1"
    status: ClassVar[str] = "fitted"
    family: ClassVar[str] = "RRAM"

    def build(self) -> UnitCell:
        """Return the device."""
        return ExpStep(
            dw_min=0.00135,
            up_down=0.259359,
            up_down_form="one_sided",
            w_max=1.0,
            w_min=-1.0,
            a=-0.5,
            b=-0.5,
            gamma_up=5.0,
            gamma_down=5.0,
            A_up=-1.18445,
            A_down=-0.081404,
            dw_min_dtod=0.2,
            up_down_dtod=0.05,
            dw_min_std=5.0,
            write_noise_std=75.0,
            write_noise_unit="dw_min",
        )


class ReRAMSB(Preset):
    """HfOx ReRAM as soft bounds around a calibrated symmetry point, a loose fit.

    Numbers as spread by aihwkit's ReRamSBPresetDevice, write noise in its units.
    """

    gives: ClassVar[str] = "device"
    source: ClassVar[str] = "Gong et al., Nat. Commun. 9, 2102 (2018), doi:10.1038/s41467-018-04485-1"
    status: ClassVar[str] = "fitted"
    family: ClassVar[str] = "RRAM"

    def build(self) -> UnitCell:
        """Return the device."""
        return SoftBoundsReference(
            dw_min=0.002,
            w_max=1.25,
            w_min=-0.75,
            w_max_dtod=0.24,
            w_min_dtod=0.4,
            dw_min_std=3.75,
            write_noise_std=56.0,
            write_noise_unit="dw_min",
        )


class ReRAMArrayOM(Preset):
    """ReRAM array of an optimised material, with symmetry points subtracted up to a spread of 0.05.

    A fraction 0.1348 of the measured devices was stuck: set `corrupt_devices_prob: 0.1348` and `corrupt_devices_range: 0.01` for these.
    """

    gives: ClassVar[str] = "device"
    source: ClassVar[str] = "Gong et al., IEDM (2022), doi:10.1109/IEDM45625.2022.10019569"
    status: ClassVar[str] = "fitted"
    family: ClassVar[str] = "RRAM"

    def build(self) -> UnitCell:
        """Return the device."""
        return SoftBoundsReference(
            dw_min=0.0949,
            dw_min_dtod=0.7829,
            dw_min_dtod_log_normal=True,
            log_normal_center="median",
            dw_min_std=0.4158,
            w_max=1.0,
            w_min=-1.0,
            w_max_dtod=0.3499,
            w_min_dtod=0.5695,
            write_noise_std=1.4113,
            write_noise_unit="dw_min",
            subtract_symmetry_point=True,
            reference_std=0.05,
        )


class ReRAMArrayHfO2(Preset):
    """ReRAM array of baseline HfO2, with symmetry points subtracted up to a spread of 0.05.

    A fraction 0.0977 of the measured devices was stuck.
    """

    gives: ClassVar[str] = "device"
    source: ClassVar[str] = "Gong et al., IEDM (2022), doi:10.1109/IEDM45625.2022.10019569"
    status: ClassVar[str] = "fitted"
    family: ClassVar[str] = "RRAM"

    def build(self) -> UnitCell:
        """Return the device."""
        return SoftBoundsReference(
            dw_min=0.4622,
            dw_min_dtod=0.7125,
            dw_min_dtod_log_normal=True,
            log_normal_center="median",
            dw_min_std=0.2174,
            w_max=1.0,
            w_min=-1.0,
            w_max_dtod=0.4295,
            w_min_dtod=0.5990,
            write_noise_std=0.5841,
            write_noise_unit="dw_min",
            subtract_symmetry_point=True,
            reference_std=0.05,
        )
