"""AnalogSGD: plain gradient descent, digital parameters and crossbars alike."""

from __future__ import annotations

from typing import Any

import torch

from ohmlet.optim.attach import drop, learn, take, watched

__all__ = ["AnalogSGD"]


class AnalogSGD(torch.optim.SGD):
    """`torch.optim.SGD` that also updates the layers that learn in memory among its parameters, with their group's learning rate.

    Takes SGD's arguments. Momentum and weight decay act on digital parameters only: devices remember nothing.
    """

    def __init__(self, params: Any, lr: float = 1e-3, **kwargs: Any) -> None:
        super().__init__(params, lr=lr, **kwargs)
        self._attach()

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._attach()

    def _attach(self) -> None:
        for _, array, _ in watched(self):
            assert array.in_situ is not None
            array.in_situ.attached = True
        if learn not in self._optimizer_step_post_hooks.values():
            self.register_step_pre_hook(take)
            self.register_step_post_hook(learn)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear the gradients, and the updates that wait for a step."""
        if set_to_none:
            # What torch does, without what it does around it, which takes ten times as long for a small network.
            for group in self.param_groups:
                for parameter in group["params"]:
                    parameter.grad = None
        else:
            super().zero_grad(False)
        drop(self)
