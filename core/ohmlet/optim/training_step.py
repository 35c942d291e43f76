"""TrainingStep: a training step of a model, made at once by the engine where it can."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ohmlet.errors import OrderError
from ohmlet.nn.chain import Chain
from ohmlet.nn.layer import changes
from ohmlet.nn.plain import plain
from ohmlet.optim.rates import Rates
from ohmlet_kernels.ranks import rank_and_world

__all__ = ["TrainingStep"]


class TrainingStep:
    """One step of training: forward pass, loss, backward pass and the optimizer's step.

        loss = step(x, y)

    does what these lines do, and returns the loss detached:

        optimizer.zero_grad()
        loss = loss_of(model(x), y)
        loss.backward()
        optimizer.step()

    For an `nn.Sequential` of AnalogLinear layers that learn in memory, with Sigmoid, Tanh, ReLU, GELU or nothing between them, and
    AnalogSGD or an attached SGD without momentum and weight decay, small mini-batches are taken through all layers in a few calls of the
    engine, which takes a fraction of the time; what comes behind the layers, and the loss, is left to torch. The numbers are the same,
    but gradients are not kept: `.grad` stays None. Everything else, such as other layers, hooks, data parallelism or autocast, is trained
    by the lines above.

    The loss is a function of the outputs and of what else is given to the step. `output` is what the model returned last, detached.
    """

    def __init__(self, model: nn.Module, loss_of: Callable[..., Tensor], optimizer: torch.optim.Optimizer) -> None:
        self.model, self.loss_of, self.optimizer = model, loss_of, optimizer
        self.output: Any = None
        self.chain: Chain | None = None
        self.rates: Rates | None = None
        self.searched = -1
        """How many changes to layers there had been when no chain was found."""
        self.alone = True
        """Whether the loss depends on the model by its outputs alone, as far as is known."""

    def __call__(self, x: Any, *targets: Any) -> Tensor:
        """Make the step for inputs x and return the loss; raises what the loss, the model or the optimizer raise."""
        if self.alone and (self.chain is not None or self.searched != changes()):
            loss = self._at_once(x, targets)
            if loss is not None:
                return loss
        return self._line_by_line(x, targets)

    def _line_by_line(self, x: Any, targets: tuple[Any, ...]) -> Tensor:
        self.optimizer.zero_grad()
        output = self.model(x)
        loss = self.loss_of(output, *targets)
        loss.backward()
        self.optimizer.step()
        self.output = output.detach() if isinstance(output, Tensor) else output
        return loss.detach()

    def _network(self, x: Any) -> tuple[Any, Tensor] | None:
        """Return the engine's network and what goes into it, or None."""
        if self.chain is None or not self.chain.stands():
            self.chain, self.searched = Chain.of(self.model), changes()
            if self.chain is None:
                return None
            self.rates = Rates(self.optimizer, self.chain)
        assert self.rates is not None
        if not torch.is_grad_enabled() or torch.is_autocast_enabled("cpu") or rank_and_world()[1] > 1:
            return None
        if self.chain.is_watched() or not isinstance(x, Tensor) or x.requires_grad:
            return None
        rates = self.rates.now()
        if rates is None:
            return None
        if any(each.grad is not None for each in self.rates.parameters):
            self.optimizer.zero_grad()
        for module in self.chain.before:
            x = module(x)
        if not plain(x) or x.ndim != 2 or x.requires_grad or not x.shape[0]:
            return None
        network = self.chain.network(x, rates, self.rates.count)
        return None if network is None else (network, x)

    def _at_once(self, x: Any, targets: tuple[Any, ...]) -> Tensor | None:
        """Make the step in a few calls of the engine and return the loss, or None where it cannot be done."""
        found = self._network(x)
        if found is None:
            return None
        (network, inputs), chain, rates = found, self.chain, self.rates
        assert chain is not None
        assert rates is not None
        y = network.forward(inputs).requires_grad_()
        output = y
        for module in chain.behind:
            output = module(output)
        loss = self.loss_of(output, *targets)
        loss.backward()
        g = y.grad
        if g is None or any(each.grad is not None for each in rates.parameters):
            # The loss depends on the model by other ways than its outputs, as one that punishes large biases.
            self.alone = False
            network.uncount()
            return self._line_by_line(x, targets)
        bad = network.learn(g)
        if bad >= 0:
            raise OrderError(chain.arrays()[bad].in_situ.NOT_FINITE.format(chain.arrays()[bad].name))
        chain.note()
        self.optimizer._opt_called = True  # type: ignore[attr-defined]
        self.output = output.detach()
        return loss.detach()
