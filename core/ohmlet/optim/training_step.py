"""TrainingStep: a training step of a model, made at once by the engine where it can."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ohmlet.errors import ConfigError, OrderError
from ohmlet.nn.chain import Chain
from ohmlet.nn.in_situ import NOT_FINITE
from ohmlet.nn.layer import changes
from ohmlet.nn.networks import Networks, Ready
from ohmlet.nn.outputs import outputs
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
    but gradients are not kept: `.grad` is None, unless something beside the layers has one. Everything else, such as other layers, hooks,
    data parallelism or autocast, is trained by the lines above.

    The loss is a function of the outputs and of what else is given to the step. `output` is what the model returned last, detached.
    Raises ConfigError for anything but a model, a function and an optimizer, in this order.
    """

    def __init__(self, model: nn.Module, loss_of: Callable[..., Tensor], optimizer: torch.optim.Optimizer) -> None:
        if not isinstance(model, nn.Module) or not callable(loss_of) or not isinstance(optimizer, torch.optim.Optimizer):
            raise ConfigError(
                "TrainingStep takes a model, a loss function and an optimizer, in this order, got "
                f"{type(model).__name__}, {type(loss_of).__name__}, {type(optimizer).__name__}"
            )
        self.model, self.loss_of, self.optimizer = model, loss_of, optimizer
        self.output: Any = None
        self.chain: Chain | None = None
        self.networks: Networks | None = None
        self.rates: Rates | None = None
        self.searched: Any = None
        """The model in which no chain was found, and how many changes to layers there had been."""

    def __call__(self, x: Any, *targets: Any) -> Tensor:
        """Make the step for inputs x and return the loss; raises what the loss, the model or the optimizer raise."""
        found = self._network(x) if self.chain is not None or self.searched != (self.model, changes()) else None
        if found is None:
            self.optimizer.zero_grad()
            output = self.model(x)
            loss = self.loss_of(output, *targets)
            loss.backward()
            self.optimizer.step()
        else:
            output, loss = self._at_once(*found, targets)
        self.output = output.detach() if isinstance(output, Tensor) else output
        return loss.detach()

    def _network(self, x: Any) -> tuple[Ready, Tensor] | None:
        """Return the engine's network and what goes into it, or None."""
        if self.chain is None or self.chain.model is not self.model or not self.chain.stands():
            self.chain, self.searched = Chain.of(self.model), (self.model, changes())
            if self.chain is None:
                return None
            self.networks, self.rates = Networks(self.chain), None
        if self.rates is None or self.rates.optimizer is not self.optimizer:
            self.rates = Rates(self.optimizer, self.chain)
        if not torch.is_grad_enabled() or torch.is_autocast_enabled("cpu") or rank_and_world()[1] > 1:
            return None
        if self.chain.is_watched() or not isinstance(x, Tensor) or x.requires_grad or x.is_inference():
            return None
        rates = self.rates.now()
        if rates is None:
            return None
        if self.rates.graded():
            self.optimizer.zero_grad()
        for module in self.chain.before:
            x = module(x)
        if not plain(x) or x.ndim != 2 or not x.shape[0]:
            return None
        assert self.networks is not None
        ready = self.networks.ready(x, rates, self.rates.count)
        return None if ready is None else (ready, x)

    def _at_once(self, ready: Ready, x: Tensor, targets: tuple[Any, ...]) -> tuple[Any, Tensor]:
        """Make the step in a few calls of the engine and return output and loss."""
        network, networks, rates = ready.network, self.networks, self.rates
        assert networks is not None
        assert rates is not None
        chain = networks.chain
        written = x._version
        calls = [affine.begin() for affine in ready.affines]
        output: Any
        output, gradients = outputs(network, x)
        for module in chain.behind:
            output = module(output)
        loss = self.loss_of(output, *targets)
        loss.backward()
        if x._version != written:
            raise RuntimeError(
                "the inputs of a training step were modified by an inplace operation between its forward and its backward pass: give it a "
                "copy, or let the loss leave them alone"
            )
        if len(gradients) == 1 and not rates.graded() and ready.stands() and rates.stands():
            done = network.learn() if network.backward(gradients[0]) else _first_not_finite(network)
            if done < len(calls):
                raise OrderError(NOT_FINITE.format(chain.arrays()[done].name))
            networks.note()
            if "step" in self.optimizer.__dict__:
                # A scheduler wants to know that its optimizer has stepped.
                self.optimizer._opt_called = True  # type: ignore[attr-defined]
            return output, loss
        # The loss is a function of the model by other ways too, or something learns beside the layers: the optimizer does the rest.
        for g in gradients:
            network.backward(g)
            networks.leave(ready, calls)
        self.optimizer.step()
        return output, loss


def _first_not_finite(network: Any) -> int:
    return next(k for k, d in enumerate(network.errors) if not d.isfinite().all())
