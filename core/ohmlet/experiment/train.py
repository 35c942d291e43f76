"""One phase of training by backpropagation, step by step, so that it can stop and go on anywhere."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ohmlet.errors import ConfigError
from ohmlet.experiment.checkpoint import Interrupted, Stopper
from ohmlet.experiment.data import Split
from ohmlet.experiment.progress import Stage
from ohmlet.experiment.schema import Phase
from ohmlet.nn import AnalogLayer
from ohmlet.optim import TrainingStep, attach
from ohmlet_kernels.noise import key

__all__ = ["accuracy", "train"]

SAVE_EVERY = 10
"""Epochs between checkpoints that nobody asked for."""


def order(samples: int, seed: int, phase: str, epoch: int) -> Tensor:
    """Return the order of an epoch's samples: a function of seed, phase and epoch, so that any epoch can be resumed."""
    generator = torch.Generator().manual_seed(key(seed, "order", phase, epoch) & (2**63 - 1))
    return torch.randperm(samples, generator=generator)


@torch.no_grad()
def accuracy(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """Return the fraction of samples whose largest output is the labelled one, in evaluation mode."""
    was = model.training
    model.eval()
    right = sum(int((model(x[i : i + 512]).argmax(-1) == y[i : i + 512]).sum()) for i in range(0, len(x), 512))
    model.train(was)
    return right / len(x)


def train(
    model: nn.Module,
    split: Split,
    settings: Phase,
    seed: int,
    phase: str,
    state: dict[str, Any],
    save: Callable[[], None],
    stopper: Stopper,
    stage: Stage,
    *,
    place: str | None = None,
    after_epoch: Callable[[], None] | None = None,
) -> None:
    """Train a model in place from where `state` stands, keeping `state` current; raises Interrupted after saving when asked to stop.

    `state` holds plain values and tensors: step, model, optimizer, torch's generator. `place` is where the settings stand in the file,
    training.`phase` unless given; `after_epoch` is called after each epoch.
    """
    per_epoch = math.ceil(len(split.train_x) / settings.batch_size)
    total = settings.epochs * per_epoch
    optimizer = settings.optimizer.build(model.parameters())
    layers = [module for module in model.modules() if isinstance(module, AnalogLayer)]
    if any(array.in_situ is not None for layer in layers for array in layer.arrays().values()):
        attach(optimizer, model)
    if state:
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["generator"])
    step: int = state.get("step", 0)

    def record() -> None:
        state.update(step=step, model=model.state_dict(), optimizer=optimizer.state_dict(), generator=torch.get_rng_state())

    def loss_of(output: Tensor, target: Tensor) -> Tensor:
        loss = nn.functional.cross_entropy(output, target)
        if not bool(torch.isfinite(loss.detach())):
            raise ConfigError(
                f"the loss became {float(loss.detach())} at step {step} of {total} of the {phase} training; "
                f"lower {place or f'training.{phase}'}.optimizer.lr"
            )
        return loss

    make_step = TrainingStep(model, loss_of, optimizer)
    model.train()
    shuffled = order(len(split.train_x), seed, phase, step // per_epoch)
    while step < total:
        if stopper.asked:
            record()
            raise Interrupted
        epoch, batch = divmod(step, per_epoch)
        if batch == 0:
            shuffled = order(len(split.train_x), seed, phase, epoch)
        some = shuffled[batch * settings.batch_size : (batch + 1) * settings.batch_size]
        for group in optimizer.param_groups:
            group["lr"] = settings.rate(step, per_epoch)
        loss = make_step(split.train_x[some], split.train_y[some])
        step += 1
        stage.advance()
        if batch == per_epoch - 1:
            stage.note(f"loss {float(loss):.3f}")
            if after_epoch is not None:
                after_epoch()
            if epoch % SAVE_EVERY == SAVE_EVERY - 1:
                record()
                save()
    record()
