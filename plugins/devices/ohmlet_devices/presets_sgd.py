"""Presets of training in memory by stochastic gradient descent, one device for each weight or several."""

from __future__ import annotations

from typing import Any, ClassVar

from ohmlet_devices.training_preset import FORWARD, TrainingPreset

__all__ = [
    "ECRAMMOSGD",
    "ECRAMMOSGD2",
    "ECRAMMOSGD4",
    "ECRAMSGD",
    "ECRAMSGD2",
    "ECRAMSGD4",
    "PCMSGD",
    "CapacitorSGD",
    "CapacitorSGD2",
    "CapacitorSGD4",
    "GokmenVlasovSGD",
    "IdealizedSGD",
    "IdealizedSGD2",
    "IdealizedSGD4",
    "ReRAMESSGD",
    "ReRAMESSGD2",
    "ReRAMESSGD4",
    "ReRAMSBSGD",
    "ReRAMSBSGD2",
    "ReRAMSBSGD4",
]

SOURCE = "Gokmen and Vlasov, Front. Neurosci. 10, 333 (2016), doi:10.3389/fnins.2016.00333"


class SGDPreset(TrainingPreset):
    """Stochastic gradient descent by pulses; with several devices for a weight, a random one of them is pulsed by each vector."""

    source: ClassVar[str] = SOURCE
    devices: ClassVar[int] = 1
    """Devices of a weight."""

    def update_algorithm(self) -> dict[str, Any]:
        """Return the update algorithm."""
        if self.devices == 1:
            return super().update_algorithm()
        cells = [self.cell] * self.devices
        cell = {"type": "vector", "unit_cell_devices": cells, "update_policy": "single_random", "set_form": "same"}
        return {"type": "sgd", "device": cell}


class ReRAMESSGD(SGDPreset):
    """Stochastic gradient descent on ReRAM with exponential steps."""

    based_on: ClassVar[str] = "reram_es"


class ReRAMSBSGD(SGDPreset):
    """Stochastic gradient descent on ReRAM with soft bounds."""

    based_on: ClassVar[str] = "reram_sb"


class CapacitorSGD(SGDPreset):
    """Stochastic gradient descent on CMOS capacitor cells."""

    based_on: ClassVar[str] = "capacitor"


class ECRAMSGD(SGDPreset):
    """Stochastic gradient descent on lithium ECRAM."""

    based_on: ClassVar[str] = "ecram"


class ECRAMMOSGD(SGDPreset):
    """Stochastic gradient descent on metal-oxide ECRAM."""

    based_on: ClassVar[str] = "ecram_mo"


class IdealizedSGD(SGDPreset):
    """Stochastic gradient descent on idealized devices."""

    based_on: ClassVar[str] = "idealized"
    status: ClassVar[str] = "illustrative"


class GokmenVlasovSGD(SGDPreset):
    """Stochastic gradient descent on devices of about 1200 states."""

    based_on: ClassVar[str] = "gokmen_vlasov"
    status: ClassVar[str] = "table"


class PCMSGD(SGDPreset):
    """Stochastic gradient descent on pairs of phase-change memory, refreshed after every mini-batch by reads of the forward pass's kind."""

    based_on: ClassVar[str] = "pcm_pair"

    def read_out(self) -> dict[str, Any]:
        """Return the pass that refreshes read with."""
        return FORWARD


class ReRAMESSGD2(SGDPreset):
    """Stochastic gradient descent on two devices for each weight, ReRAM with exponential steps."""

    based_on: ClassVar[str] = "reram_es"
    devices: ClassVar[int] = 2


class ReRAMSBSGD2(SGDPreset):
    """Stochastic gradient descent on two devices for each weight, ReRAM with soft bounds."""

    based_on: ClassVar[str] = "reram_sb"
    devices: ClassVar[int] = 2


class CapacitorSGD2(SGDPreset):
    """Stochastic gradient descent on two devices for each weight, CMOS capacitor cells."""

    based_on: ClassVar[str] = "capacitor"
    devices: ClassVar[int] = 2


class ECRAMSGD2(SGDPreset):
    """Stochastic gradient descent on two devices for each weight, lithium ECRAM."""

    based_on: ClassVar[str] = "ecram"
    devices: ClassVar[int] = 2


class ECRAMMOSGD2(SGDPreset):
    """Stochastic gradient descent on two devices for each weight, metal-oxide ECRAM."""

    based_on: ClassVar[str] = "ecram_mo"
    devices: ClassVar[int] = 2


class IdealizedSGD2(SGDPreset):
    """Stochastic gradient descent on two devices for each weight, idealized devices."""

    based_on: ClassVar[str] = "idealized"
    status: ClassVar[str] = "illustrative"
    devices: ClassVar[int] = 2


class ReRAMESSGD4(SGDPreset):
    """Stochastic gradient descent on four devices for each weight, ReRAM with exponential steps."""

    based_on: ClassVar[str] = "reram_es"
    devices: ClassVar[int] = 4


class ReRAMSBSGD4(SGDPreset):
    """Stochastic gradient descent on four devices for each weight, ReRAM with soft bounds."""

    based_on: ClassVar[str] = "reram_sb"
    devices: ClassVar[int] = 4


class CapacitorSGD4(SGDPreset):
    """Stochastic gradient descent on four devices for each weight, CMOS capacitor cells."""

    based_on: ClassVar[str] = "capacitor"
    devices: ClassVar[int] = 4


class ECRAMSGD4(SGDPreset):
    """Stochastic gradient descent on four devices for each weight, lithium ECRAM."""

    based_on: ClassVar[str] = "ecram"
    devices: ClassVar[int] = 4


class ECRAMMOSGD4(SGDPreset):
    """Stochastic gradient descent on four devices for each weight, metal-oxide ECRAM."""

    based_on: ClassVar[str] = "ecram_mo"
    devices: ClassVar[int] = 4


class IdealizedSGD4(SGDPreset):
    """Stochastic gradient descent on four devices for each weight, idealized devices."""

    based_on: ClassVar[str] = "idealized"
    status: ClassVar[str] = "illustrative"
    devices: ClassVar[int] = 4
