"""Presets: named, sourced, complete settings."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from attrs import frozen

__all__ = ["CONDITIONS", "FACTS", "FAMILIES", "STATUSES", "Preset", "ReadConditions", "WritePulses", "in_words"]

STATUSES = ("measured", "fitted", "table", "illustrative")
"""Where the numbers come from: a measurement, a fit to one, a published table, or nowhere citable."""

FAMILIES = ("PCM", "RRAM", "ECRAM", "CMOS", "MRAM", "FeFET", "FTJ", "photonic", "Flash", "generic")
"""What the resistive element is; generic is none in particular."""

CONDITIONS = ("family", "g_min_uS", "g_max_uS", "write", "read", "retention", "endurance")
"""What a preset states of the device as it was measured."""

FACTS = ("gives", "status", "source", "based_on", *CONDITIONS)
"""What a preset states beside its settings."""

UNKNOWN = "not known"


def engineering(value: float, unit: str) -> str:
    """Return a number with its unit, and a prefix from pico to one."""
    for prefix, factor in (("", 1.0), ("m", 1e-3), ("u", 1e-6), ("n", 1e-9), ("p", 1e-12)):
        if abs(value) >= factor * (1 - 1e-9):
            return f"{value / factor:.4g} {prefix}{unit}"
    return f"{value:.4g} {unit}"


@frozen(kw_only=True)
class WritePulses:
    """The pulses that move a device, each voltage with its width; None is what the source does not say.

    Voltages in V as the source applies them, widths in s; `note` is whatever else matters, in words.
    """

    up_V: float | None = None  # noqa: N815
    """Voltage of a pulse that raises the conductance, V."""
    up_s: float | None = None
    """Its width, s."""
    down_V: float | None = None  # noqa: N815
    """Voltage of a pulse that lowers the conductance, V."""
    down_s: float | None = None
    """Its width, s."""
    note: str = ""

    def __str__(self) -> str:
        words = []
        for way, voltage, width in (("up", self.up_V, self.up_s), ("down", self.down_V, self.down_s)):
            known = [engineering(value, unit) for value, unit in ((voltage, "V"), (width, "s")) if value is not None]
            words += [f"{way} {' '.join(known)}"] if known else []
        return ", ".join([*words, *([self.note] if self.note else [])]) or UNKNOWN


@frozen(kw_only=True)
class ReadConditions:
    """How the conductances were read: voltage in V, time after programming in s; None is what the source does not say."""

    voltage_V: float | None = None  # noqa: N815
    """Voltage at the device, V."""
    after_s: float | None = None
    """Time between programming and reading, s."""
    note: str = ""

    def __str__(self) -> str:
        words = [] if self.voltage_V is None else [f"at {engineering(self.voltage_V, 'V')}"]
        words += [] if self.after_s is None else [f"{engineering(self.after_s, 's')} after programming"]
        return ", ".join([*words, *([self.note] if self.note else [])]) or UNKNOWN


class Preset(ABC):
    """A complete spec under a name, with its source: a part of some kind, or a whole config.

    A config names it where a part of that kind is expected (`device: reram_es`), changes fields beside the name
    (`{type: reram_es, dw_min: 0.002}`), or starts from it (`preset: pcm_inference`). A dump writes the expanded spec and `preset:`.

        class ReramES(Preset):
            \"\"\"HfOx ReRAM with exponential saturation.\"\"\"

            gives = "device"
            source = "Gong et al., Nat. Commun. 9, 2102 (2018), doi:10.1038/s41467-018-04485-1"
            status = "fitted"
            family = "RRAM"
            g_min_uS = 0.5
            g_max_uS = 50.0
            write = WritePulses(up_V=1.5, up_s=1e-7, down_V=-1.5, down_s=1e-7)

            def build(self):
                return ExpStep(dw_min=0.00135)

    `ohmlet list preset` reads these facts without running the file: write them as numbers, words and the two classes above, or as
    names of such constants in the same file, or inherit them.
    """

    kind: ClassVar[str] = "preset"
    gives: ClassVar[str]
    """The kind of the spec, or "config" for a whole AnalogConfig."""
    source: ClassVar[str]
    """The publication with its DOI."""
    status: ClassVar[str]
    """One of `STATUSES`."""
    family: ClassVar[str] = "generic"
    """One of `FAMILIES`."""
    g_min_uS: ClassVar[float | None] = None  # noqa: N815
    """The conductance of the lowest weight, uS; None where no number is known."""
    g_max_uS: ClassVar[float | None] = None  # noqa: N815
    """The conductance of the highest weight, uS; None where no number is known."""
    write: ClassVar[WritePulses | None] = None
    """The pulses that the device was measured under."""
    read: ClassVar[ReadConditions | None] = None
    """How it was read."""
    retention: ClassVar[str] = ""
    """What is known of how long it holds a state, in words."""
    endurance: ClassVar[str] = ""
    """What is known of how many pulses it survives, in words."""
    based_on: ClassVar[str] = ""
    """The name of the preset whose device a config uses: what is left out above is as there."""

    @abstractmethod
    def build(self) -> Any:
        """Return the spec; for a whole config, the plain mapping that a config file would hold."""


def in_words(known: dict[str, Any]) -> dict[str, str]:
    """Return the facts of a preset as words, from the values of its class constants by their names; what is not known says so."""
    low, high = known.get("g_min_uS"), known.get("g_max_uS")
    return {
        "gives": str(known.get("gives") or "?"),
        "family": str(known.get("family") or "generic"),
        "status": str(known.get("status") or "?"),
        "window": f"{low:.4g} to {high:.4g} uS" if low is not None and high is not None else UNKNOWN,
        "write": str(known.get("write") or UNKNOWN),
        "read": str(known.get("read") or UNKNOWN),
        **{name: str(known[name]) for name in ("retention", "endurance") if known.get(name)},
        "source": str(known.get("source") or "?"),
    }
