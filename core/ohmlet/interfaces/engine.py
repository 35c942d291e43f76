"""Engines: the kernels that tiles run on."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from ohmlet.spec import Spec

__all__ = ["Engine"]


class Engine(Spec):
    """A set of kernels, one per operation, that equal the reference engine's sample by sample.

    Subclass it as a frozen attrs class. An operation's arguments and result are those of `ohmlet_kernels.<operation>.reference`; an
    engine need not have every operation. Operations today: `analog_mvm`, `mapped_mvm`, `time_coded_mvm`, `pulse_bits`, `pulsed_update`,
    `crossbar_solve`.
    """

    kind: ClassVar[str] = "engine"

    @abstractmethod
    def kernels(self) -> Mapping[str, Callable[..., Any]]:
        """Return operation -> function; heavy imports belong inside."""

    @abstractmethod
    def preference(self, device_type: str) -> int | None:
        """Return how much `auto` prefers this engine on tensors of a torch device type ("cpu", "cuda"), or None where it cannot run."""

    def unavailable(self) -> str | None:
        """Return why this engine cannot run in this environment and what to install, or None when it can; imports nothing heavy."""
        return None
