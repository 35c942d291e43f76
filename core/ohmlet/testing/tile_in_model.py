"""What a tile promises inside a model: layers train on it, and a programmable one becomes chips."""

from __future__ import annotations

import copy
import io
import warnings
from unittest import SkipTest

import torch
from attrs import frozen
from torch import Tensor, nn

from ohmlet.chip import program
from ohmlet.config.analog import AnalogConfig, Mapping
from ohmlet.conversion import convert
from ohmlet.errors import UnprogrammedWarning
from ohmlet.interfaces.engine import Engine
from ohmlet.interfaces.noise_model import ConductanceWindow, NoiseModel
from ohmlet.interfaces.tile import ProgrammableTile, Tile
from ohmlet.optim import AnalogSGD
from ohmlet.registry import registry
from ohmlet.testing.draws import addressed
from ohmlet.testing.expect import close, expect, finite, identical
from ohmlet.testing.streams import spread
from ohmlet_kernels.noise import Stream

__all__ = ["TileInModelTests"]


@frozen(kw_only=True)
class SomeNoise(NoiseModel):
    """A noise model for tiles that name none: every stage does something."""

    def program(self, g_target: Tensor, window: ConductanceWindow, noise: Stream) -> Tensor:
        """Return conductances with a constant error."""
        return (g_target + 0.5 * noise.normal("programming", g_target)).clamp_min(0)

    def drift(self, g_programmed: Tensor, coefficients: Tensor | None, t: float, window: ConductanceWindow) -> Tensor:
        """Return conductances that all drift alike."""
        return g_programmed * float((1 + t / self.t_0) ** -0.05)


def runs_here(tile: Tile) -> None:
    """Raise SkipTest for a tile that pins an engine which cannot run on the kit's tensors, those of a CPU."""
    if tile.engine is not None:
        engine: Engine = registry("engine").get(tile.engine)()
        reason = engine.unavailable() or (engine.preference("cpu") is None and f"engine {tile.engine} does not run on CPU tensors")
        if reason:
            raise SkipTest(reason)


def converted(tile: Tile) -> nn.Module:
    """Return a small model on this tile: a convolution in two groups and a linear layer, each split over several crossbars."""
    runs_here(tile)
    with torch.random.fork_rng(devices=[]):
        model = nn.Sequential(nn.Conv2d(4, 6, 2, groups=2), nn.ReLU(), nn.Flatten(), nn.Linear(24, 5))
    with torch.no_grad():
        for index, parameter in enumerate(model.parameters()):
            parameter.copy_(0.3 * spread(*parameter.shape, seed=index))
    return convert(model, AnalogConfig(tile=tile, mapping=Mapping(max_in=10, max_out=4, scales=tile.scales), seed=0)).model


def evaluated(model: nn.Module, x: Tensor) -> Tensor:
    """Return the outputs of a copy in evaluation mode, so that no counter of the model moves."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnprogrammedWarning)
        y: Tensor = copy.deepcopy(model).eval()(x)
    return y.detach()


def images(count: int = 4) -> Tensor:
    """Return inputs of the small model."""
    return spread(count, 4, 3, 3, seed=9)


class TileInModelTests:
    """The part of the tile kit that builds layers and chips; `TileTests` inherits it."""

    def test_model_trains(self, spec: Tile) -> None:
        """A converted model takes an optimizer step: every parameter gets a finite gradient, and the weights move."""
        model = converted(spec).train()
        before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
        optimizer = AnalogSGD(model.parameters(), lr=0.1)
        loss = model(images()).square().mean()
        finite(loss.detach(), "the loss of a model on this tile")
        loss.backward()
        for name, parameter in model.named_parameters():
            if parameter.grad is not None:
                finite(parameter.grad, f"the gradient of {name}")
        optimizer.step()
        for name, parameter in model.named_parameters():
            finite(parameter.detach(), f"parameter {name} after a step")
            if name.endswith("weight") and torch.equal(parameter, before[name]):
                raise AssertionError(f"an optimizer step left {name} as it was: no gradient comes through the tile")

    def test_model_is_addressed(self, spec: Tile) -> None:
        """The same config seed gives the same outputs, whatever the batches and other generators do."""
        together = addressed(lambda: evaluated(converted(spec), images()), "a model on this tile")
        model = converted(spec).eval()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UnprogrammedWarning)
            parts = [model(images()[first:last]).detach() for first, last in ((0, 1), (1, 4))]
        close(torch.cat(parts), together, "a batch of 4 and batches of 1 and 3 give different outputs: address noise by sample")

    def test_model_loads(self, spec: Tile) -> None:
        """A state_dict saved after a training pass loads with weights_only and computes the same."""
        model = converted(spec).train()
        model(images())
        saved = io.BytesIO()
        torch.save(model.state_dict(), saved)
        fresh = converted(spec)
        fresh.load_state_dict(torch.load(io.BytesIO(saved.getvalue()), weights_only=True))
        identical(evaluated(fresh, images()), evaluated(model, images()), "a loaded model computes something else than the saved one")

    def test_becomes_a_chip(self, spec: Tile) -> None:
        """A programmable tile gives chips whose instances and times come out the same at every look, alone or together."""
        if not isinstance(spec, ProgrammableTile):
            raise SkipTest("the tile is no ProgrammableTile, so no chip is made of it")
        tile = spec if spec.noise_model is not None else spec.with_noise_model(SomeNoise())
        model, x = converted(tile), images()
        chip = addressed(lambda: [program(model, instances=2, seed=1).at(t)(x) for t in (0.0, 3600.0)], "programming or reading a chip")
        for y in chip:
            finite(y, "outputs of a chip")
            expect(tuple(y.shape) == (2, 4, 5), f"a chip of 2 instances gave outputs {list(y.shape)} for 4 samples and 5 classes")
        made = program(model, instances=2, seed=1)
        made.at("10 years")(x)
        view = made.at("1 h")
        identical(view(x), chip[1], "the chip at 1 h differs after a look at 10 years: keep no state that a look changes")
        view.rewind()
        close(torch.cat((view(x[:1]), view(x[1:])), dim=1), chip[1], "a chip's outputs depend on how its samples are batched")
        for i in range(2):
            alone = made.at("1 h").instance(i)(x).detach()
            close(alone, chip[1][i], f"instance {i} alone differs from instance {i} among two: reduce over the last sizes only")
