"""How probable it is that a pulse switches a bistable element: per pulse, or by thermal activation over a barrier that it lowers."""

from __future__ import annotations

import math
from typing import ClassVar

from attrs import frozen

from ohmlet.spec import number

__all__ = ["PerPulse", "ThermallyActivated", "thermal_switching"]


def thermal_switching(voltage: float, width: float, critical: float, barrier: float, attempt: float = 1e-9) -> float:
    """Return the probability that a pulse switches a bistable element, thermally activated.

        P = 1 - exp(-(t / tau_0) exp(-Delta (1 - |V| / V_c)))

    for a pulse of `voltage` V (V) and `width` t (s), the `critical` voltage V_c (V) at which no barrier is left, the `barrier` Delta in
    units of the thermal energy, and the `attempt` time tau_0 (s). It holds below V_c; above, the exponent is that of V_c.
    Source: Koch, Katine and Sun, Phys. Rev. Lett. 92, 088302 (2004), doi:10.1103/PhysRevLett.92.088302.
    """
    left = max(1 - abs(voltage) / critical, 0.0)
    return -math.expm1(-width / attempt * math.exp(-barrier * left))


@frozen(kw_only=True)
class PerPulse:
    """Each pulse switches with a given probability, whatever its voltage."""

    type_name: ClassVar[str] = "per_pulse"

    p_up: float = number(0.5, "probability that a pulse up sets a device that is low", gt=0, le=1)
    p_down: float = number(0.5, "probability that a pulse down resets a device that is high", gt=0, le=1)

    @property
    def probabilities(self) -> tuple[float, float]:
        """Those of a pulse up and of a pulse down."""
        return self.p_up, self.p_down


@frozen(kw_only=True)
class ThermallyActivated:
    """Pulses of a voltage and a width, which switch by thermal activation (`thermal_switching`)."""

    type_name: ClassVar[str] = "thermally_activated"

    up_V: float = number(0.45, "voltage of a pulse up", unit="V", gt=0)  # noqa: N815 - the unit is written so
    up_s: float = number(1e-8, "its width", unit="s", gt=0)
    down_V: float = number(0.45, "size of the voltage of a pulse down", unit="V", gt=0)  # noqa: N815
    down_s: float = number(1e-8, "its width", unit="s", gt=0)
    critical_V: float = number(0.5, "voltage at which no barrier is left", unit="V", gt=0)  # noqa: N815
    barrier: float = number(40.0, "barrier without a voltage, in units of the thermal energy", gt=0)
    attempt_s: float = number(1e-9, "attempt time", unit="s", gt=0)

    @property
    def probabilities(self) -> tuple[float, float]:
        """Those of a pulse up and of a pulse down."""
        up, down = (
            thermal_switching(voltage, width, self.critical_V, self.barrier, self.attempt_s)
            for voltage, width in ((self.up_V, self.up_s), (self.down_V, self.down_s))
        )
        return up, down
