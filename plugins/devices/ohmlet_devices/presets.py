"""Presets of published devices, as fitted to their pulse responses."""

from __future__ import annotations

from typing import ClassVar

from ohmlet.interfaces.device import UnitCell
from ohmlet.interfaces.preset import Preset
from ohmlet_devices.constant_step import ConstantStep
from ohmlet_devices.exp_step import ExpStep
from ohmlet_devices.linear_step import LinearStep
from ohmlet_devices.one_sided import OneSided
from ohmlet_devices.soft_bounds_reference import SoftBoundsReference

__all__ = [
    "ECRAM",
    "ECRAMMO",
    "PCM",
    "Capacitor",
    "GokmenVlasov",
    "Idealized",
    "PCMPair",
    "ReRAMArrayHfO2",
    "ReRAMArrayOM",
    "ReRAMES",
    "ReRAMSB",
]


class DevicePreset(Preset):
    """What these presets have in common."""

    gives: ClassVar[str] = "device"
    status: ClassVar[str] = "fitted"


class ReRAMES(DevicePreset):
    """HfOx ReRAM with exponential saturation and strong write noise.

    Numbers as spread by aihwkit's ReRamESPresetDevice, up_down and write noise in its units.
    """

    source: ClassVar[str] = "Gong et al., Nat. Commun. 9, 2102 (2018), doi:10.1038/s41467-018-04485-1"

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


class ReRAMSB(DevicePreset):
    """HfOx ReRAM as soft bounds around a calibrated symmetry point, a loose fit.

    Numbers as spread by aihwkit's ReRamSBPresetDevice, write noise in its units.
    """

    source: ClassVar[str] = "Gong et al., Nat. Commun. 9, 2102 (2018), doi:10.1038/s41467-018-04485-1"

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


class ReRAMArrayOM(DevicePreset):
    """ReRAM array of an optimised material, with symmetry points subtracted up to a spread of 0.05.

    A fraction 0.1348 of the measured devices was stuck: set `corrupt_devices_prob: 0.1348` and `corrupt_devices_range: 0.01` for these.
    """

    source: ClassVar[str] = "Gong et al., IEDM (2022), doi:10.1109/IEDM45625.2022.10019569"

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


class ReRAMArrayHfO2(DevicePreset):
    """ReRAM array of baseline HfO2, with symmetry points subtracted up to a spread of 0.05.

    A fraction 0.0977 of the measured devices was stuck.
    """

    source: ClassVar[str] = "Gong et al., IEDM (2022), doi:10.1109/IEDM45625.2022.10019569"

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


class Capacitor(DevicePreset):
    """CMOS capacitor cell with leakage; the lifetime in mini-batches is to be set to the time that a mini-batch takes."""

    source: ClassVar[str] = "Li et al., Symposium on VLSI Technology (2018), doi:10.1109/VLSIT.2018.8510648"

    def build(self) -> UnitCell:
        """Return the device."""
        return LinearStep(
            dw_min=0.005,
            w_max=1.0,
            w_min=-1.0,
            mult_noise=False,
            gamma_up=0.05,
            gamma_down=0.05,
            dw_min_dtod=0.1,
            up_down_dtod=0.06,
            w_max_dtod=0.07,
            w_min_dtod=0.07,
            gamma_up_dtod=0.01,
            gamma_down_dtod=0.01,
            lifetime=1e6,
            lifetime_dtod=0.3,
        )


class ECRAM(DevicePreset):
    """Lithium electrochemical RAM, shifted to its symmetry point."""

    source: ClassVar[str] = "Tang et al., IEDM (2018), doi:10.1109/IEDM.2018.8614551"

    def build(self) -> UnitCell:
        """Return the device."""
        return LinearStep(
            dw_min=0.002, w_max=1.1724, w_min=-0.8276, gamma_up=0.1153, gamma_down=0.5085, dw_min_dtod=0.1, w_max_dtod=0.05, w_min_dtod=0.05
        )


class ECRAMMO(DevicePreset):
    """Metal-oxide electrochemical RAM, shifted to its symmetry point."""

    source: ClassVar[str] = "Kim et al., IEDM (2019), doi:10.1109/IEDM19573.2019.8993463"

    def build(self) -> UnitCell:
        """Return the device."""
        return LinearStep(
            dw_min=0.00028214,
            w_max=1.1714,
            w_min=-0.8286,
            gamma_up=0.4152,
            gamma_down=0.7342,
            dw_min_dtod=0.1,
            w_max_dtod=0.05,
            w_min_dtod=0.05,
            dw_min_std=2.0,
        )


class PCM(DevicePreset):
    """Phase-change memory under partial SET pulses: unidirectional, so that a weight takes two (`pcm_pair`)."""

    source: ClassVar[str] = "Nandakumar et al., Front. Neurosci. 14, 406 (2020), doi:10.3389/fnins.2020.00406"

    def build(self) -> UnitCell:
        """Return the device."""
        return ExpStep(
            dw_min=0.01,
            w_max=2.0,
            w_min=0.0,
            a=-1.0,
            b=0.0,
            gamma_up=2.5,
            gamma_down=2.5,
            A_up=-27.235,
            A_down=-2.235,
            dw_min_dtod=0.2,
            up_down_dtod=0.05,
            w_max_dtod=0.1,
            w_min_dtod=0.0,
            dw_min_std=0.6,
            dw_min_std_add=0.042,
            dw_min_std_slope=0.108,
            reset=0.01,
            reset_dtod=0.02,
            reset_dtod_form="absolute",
        )


class PCMPair(DevicePreset):
    """Two phase-change memories as one weight, refreshed after every mini-batch."""

    source: ClassVar[str] = "Nandakumar et al., Front. Neurosci. 14, 406 (2020), doi:10.3389/fnins.2020.00406"

    def build(self) -> UnitCell:
        """Return the pair."""
        return OneSided(minus=PCM().build(), refresh_every=1)


class Idealized(DevicePreset):
    """A device of about ten thousand states with the usual spreads and no asymmetry."""

    source: ClassVar[str] = "Rasch, Gokmen and Haensch, arXiv:1906.02698 (2019), after Gokmen and Vlasov, doi:10.3389/fnins.2016.00333"
    status: ClassVar[str] = "illustrative"

    def build(self) -> UnitCell:
        """Return the device."""
        return ConstantStep(dw_min=0.0002, w_max=1.0, w_min=-1.0, up_down_dtod=0.0)


class GokmenVlasov(DevicePreset):
    """The resistive processing unit that would train without loss of accuracy: about 1200 states."""

    source: ClassVar[str] = "Gokmen and Vlasov, Front. Neurosci. 10, 333 (2016), doi:10.3389/fnins.2016.00333"
    status: ClassVar[str] = "table"

    def build(self) -> UnitCell:
        """Return the device."""
        return ConstantStep(dw_min=0.0016, w_max=1.0, w_min=-1.0)
