"""Updates that the engine makes in one call: planned when the first one comes, and kept while nothing that they depend on has changed."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from torch import Tensor, nn

from ohmlet.cells import DeviceArray

__all__ = ["Planned"]


KEPT = 8
"""Plans that are kept, for batches of several sizes."""


class Planned(nn.Module):
    """An algorithm's module whose update of so many vectors at a learning rate may be a plan of the engine's: all of it or nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.plans: dict[Any, Any] = {}

    def plan(self, samples: int, lr: float, path: str = "update") -> Any:
        """Return the plan of an update with noise of a path, or None where the engine has none for the devices and settings."""
        views: list[Any] = []
        # Not by attribute, which modules look up in three places.
        for array in self._modules["arrays"]._modules.values():  # type: ignore[union-attr]
            seen = array.seen_by_engine() if isinstance(array, DeviceArray) else None
            if seen is None:
                return None
            views.append(seen)
        plans, told, places = self.plans, (samples, path), [*map(Tensor.data_ptr, self._buffers.values())]  # type: ignore[arg-type]
        known = plans.get(told)
        if known is not None and known[0] == places and known[1] == views:
            plan = known[2]
            if plan is None:
                if known[3] == lr:
                    return None
            # Rates change with every step of some schedules.
            elif plan.lr == lr or self.paced(plan, samples, lr):
                plan.lr = lr
                return plan
        if len(plans) >= KEPT:
            plans.clear()
        plan = self.made(views, samples, lr, path)
        if plan is not None:
            plan.lr = lr
        plans[told] = (places, views, plan, lr)
        return plan

    def paced(self, plan: Any, samples: int, lr: float) -> bool:
        """Bring a plan to another learning rate; return whether that is possible."""
        rates = self.rates(samples, lr)
        # Until it is known to take the new rate, it has none: who holds it must not take it for one of the old rate.
        plan.lr = None
        return rates is not None and plan.pace(*rates)

    @abstractmethod
    def rates(self, samples: int, lr: float) -> tuple[Any, ...] | None:
        """Return what of a plan depends on the learning rate, or None for settings that no plan knows."""

    @abstractmethod
    def made(self, views: Any, samples: int, lr: float, path: str) -> Any:
        """Return a plan for the engine's views of the arrays, or None for what it does not know."""

    def at_once(self, given: Any, lr: float) -> bool:
        """Make the update for vectors as the engine takes them, where there is a plan for it; return whether it was made."""
        plan = self.plan(len(given.x), lr, given.path)
        if plan is not None:
            plan(given.x, given.d, given.ordinals, given.key)
        return plan is not None
