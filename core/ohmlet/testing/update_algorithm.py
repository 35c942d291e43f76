"""What every update algorithm promises: weights that follow the gradient, a state that travels, randomness that is addressed."""

from __future__ import annotations

import copy
import io
import pickle
import warnings
from collections.abc import Mapping
from typing import Any
from unittest import SkipTest

import torch
from torch import Tensor, nn

from ohmlet.cells import build_array
from ohmlet.cells.build import keyed
from ohmlet.errors import SaturationWarning
from ohmlet.interfaces.device import ArraySite, UnitCell
from ohmlet.interfaces.pulses import PulsedUpdate
from ohmlet.interfaces.update_algorithm import UpdateAlgorithm, operand
from ohmlet.nn.kernels import kernels_of
from ohmlet.testing.draws import addressed
from ohmlet.testing.expect import expect, finite, identical, shaped
from ohmlet.testing.spec import SpecTests
from ohmlet.testing.streams import spread
from ohmlet_kernels.noise import Stream, key

__all__ = ["UpdateAlgorithmTests"]

OUT, IN, BATCH, LR = 4, 5, 4, 0.5


def exact_read(w: Tensor, x: Tensor, noise: Stream) -> Tensor:
    """Return the read-out of a perfect tile."""
    return x.to(w.dtype) @ w.mT


def built(spec: UpdateAlgorithm, seed: int = 0) -> Any:
    """Return the module of one crossbar with fresh arrays."""
    site = ArraySite(OUT, IN, torch.tensor(key("algorithm kit", seed)), kernels_of("auto"), exact_read)
    cells = spec.arrays()
    good = isinstance(cells, Mapping) and bool(cells) and all(isinstance(cell, UnitCell) for cell in cells.values())
    expect(good, f"arrays must return the unit cell of each array by name, got {cells!r}")
    shapes = spec.shapes(OUT, IN)
    expect(set(shapes) == set(cells), f"shapes must return a size for each of {', '.join(cells)}, got {shapes!r}")
    arrays = {}
    for name, cell in cells.items():
        rows, columns = shapes[name]
        arrays[name] = build_array(cell, keyed(site, name)._replace(rows=rows, columns=columns), name)
    module = spec.build(site, arrays, PulsedUpdate())
    expect(isinstance(module, nn.Module), f"build must return a torch.nn.Module, got {module!r}")
    for method in ("update", "weights", "set_weights"):
        expect(callable(getattr(module, method, None)), f"{type(module).__name__}, which build returned, has no method {method}")
    return module


def noise(first: int = 0, count: int = BATCH, seed: int = 0) -> Stream:
    """Return the stream of the vectors first to first + count - 1."""
    return Stream(torch.tensor(key("algorithm kit noise", seed)), torch.arange(first, first + count))


def vectors(first: int, count: int = BATCH) -> tuple[Tensor, Tensor]:
    """Return inputs [count, in] and errors [count, out] of both signs."""
    return spread(count, IN, seed=first), spread(count, OUT, seed=first + 10_000)


def trained(module: Any, batches: range, size: int = BATCH) -> Any:
    """Return the module after mini-batches of vectors."""
    for batch in batches:
        x, d = vectors(batch, size)
        module.update(x, d, LR, noise(batch * size, size))
    return module


def state(module: nn.Module) -> dict[str, Tensor]:
    """Return a copy of the state."""
    return {name: value.clone() for name, value in module.state_dict().items()}


def alike(one: Any, other: Any, words: str) -> None:
    """Raise AssertionError unless two modules have the same state and weights, bit by bit."""
    theirs = other.state_dict()
    for name, value in one.state_dict().items():
        identical(value, theirs[name], f"{words}: buffer '{name}' differs")
    identical(one.weights(), other.weights(), f"{words}: weights differ")


class UpdateAlgorithmTests(SpecTests):
    """Inherit it with a fixture `spec` that returns an update algorithm."""

    def test_weights_can_be_set(self, spec: UpdateAlgorithm) -> None:
        """Weights are [out, in] and, set to one half and to minus one half of the range, differ in this direction."""
        module, w = built(spec), torch.full((OUT, IN), 0.2)
        shaped(module.weights(), (OUT, IN), torch.float32, "weights()")
        module.set_weights(w, noise().shared())
        above = module.weights().clone()
        module.set_weights(-w, noise().shared())
        finite(above, "weights() after set_weights")
        expect(
            float((above - module.weights()).mean()) > 0.1,
            "weights set to 0.2 are not above those set to -0.2: set_weights brings them to w",
        )

    def test_weights_follow_the_gradient(self, spec: UpdateAlgorithm) -> None:
        """Under a constant gradient most weights move against it."""
        module = built(spec)
        module.set_weights(torch.zeros(OUT, IN), noise().shared())
        x, d = 0.5 + 0.5 * spread(BATCH, IN).abs(), 1.0 - 2.0 * (torch.arange(OUT) % 2)
        d = (0.5 * d).expand(BATCH, OUT).contiguous()
        before = module.weights().clone()
        with warnings.catch_warnings():
            # So much of one gradient brings devices to their bounds.
            warnings.simplefilter("ignore", SaturationWarning)
            for batch in range(150):
                module.update(x, d, LR, noise(batch * BATCH))
        moved = module.weights() - before
        finite(moved, "weights() after updates")
        right = float(((moved * d[0][:, None]) < 0).float().mean())
        expect(right > 0.7, f"only {right:.0%} of the weights moved against a constant gradient: an update subtracts lr d x^T")

    def test_draws_from_the_stream_only(self, spec: UpdateAlgorithm) -> None:
        """Construction, updates and setting weights take all random numbers from the streams that are handed over."""

        def life() -> dict[str, Tensor]:
            module = built(spec)
            module.set_weights(0.1 * torch.ones(OUT, IN), noise().shared())
            return state(trained(module, range(6)))

        addressed(life, "an update algorithm")

    def test_keys_decide(self, spec: UpdateAlgorithm) -> None:
        """Crossbars with keys of their own have devices of their own, or pulses of their own."""
        one, other = built(spec, 0), built(spec, 1)
        for batch in range(6):
            x, d = vectors(batch)
            one.update(x, d, LR, noise(batch * BATCH, seed=0))
            other.update(x, d, LR, noise(batch * BATCH, seed=1))
        same = all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())
        expect(not same, "two crossbars with different keys and streams are alike: draw from the site's key and the stream")

    def test_state_is_buffers(self, spec: UpdateAlgorithm) -> None:
        """The state is tensors in buffers, and there are no parameters, which an optimizer would change."""
        module = trained(built(spec), range(2))
        parameters = [name for name, _ in module.named_parameters()]
        expect(not parameters, f"{', '.join(parameters)}: state belongs into buffers, which no optimizer changes")
        odd = {name: type(value).__name__ for name, value in module.state_dict().items() if not isinstance(value, Tensor)}
        expect(not odd, f"the state_dict must hold tensors only, it has {odd}")

    def test_resumes(self, spec: UpdateAlgorithm) -> None:
        """A fresh module with the saved state goes on as if there had been no break, bit by bit, at any vector of the schedule."""
        for stop in (1, 5, 12):
            whole = trained(built(spec), range(stop))
            file = io.BytesIO()
            torch.save(whole.state_dict(), file)
            file.seek(0)
            resumed = built(spec)
            resumed.load_state_dict(torch.load(file, weights_only=True))
            after = range(stop, stop + 14)
            alike(trained(whole, after), trained(resumed, after), f"resumed after {stop} mini-batches, the state_dict misses something")

    def test_travels(self, spec: UpdateAlgorithm) -> None:
        """Deep copies and pickles go on as the original does."""
        module = trained(built(spec), range(3))
        copies = {"a deep copy": copy.deepcopy(module), "a pickle": pickle.loads(pickle.dumps(module))}
        trained(module, range(3, 8))
        for words, other in copies.items():
            alike(module, trained(other, range(3, 8)), words)

    def test_nothing_to_do(self, spec: UpdateAlgorithm) -> None:
        """A learning rate of zero and an empty mini-batch change nothing."""
        module = trained(built(spec), range(3))
        before = state(module)
        module.update(*vectors(0), 0.0, noise(12))
        module.update(torch.empty(0, IN), torch.empty(0, OUT), LR, noise(12, 0))
        for name, value in before.items():
            identical(module.state_dict()[name], value, f"an update without a learning rate or without vectors changed buffer '{name}'")

    def test_setting_weights_starts_anew(self, spec: UpdateAlgorithm) -> None:
        """What the rule remembers is gone when weights are set: trained and fresh modules are then alike but for the devices' own state."""
        one, other = trained(built(spec), range(7)), built(spec)
        for module in (one, other):
            module.set_weights(torch.zeros(OUT, IN), noise().shared())
        devices = {f"{prefix}{name}" for prefix, cells in _arrays(one) for name, _ in cells.named_buffers()}
        theirs = other.state_dict()
        for name, value in one.state_dict().items():
            if name not in devices:
                identical(value, theirs[name], f"set_weights leaves '{name}' as training made it: clear what the rule remembers")

    def test_passes_read_the_weights(self, spec: UpdateAlgorithm) -> None:
        """Where passes put several arrays together, perfect ones come to what `weights()` says, and backward ones have a result."""
        if not spec.operands:
            raise SkipTest("passes read weights() as one matrix")
        module = trained(built(spec), range(3))
        x, d = (each[:, None] for each in vectors(3))
        arrays = {name: operand(module, name) for name in spec.operands}
        y = spec.product(x, arrays, lambda name, v, w: v @ w.mT)
        shaped(y, (BATCH, 1, OUT), torch.float32, "product")
        apart = float((y - x @ module.weights().mT).abs().max())
        expect(apart < 1e-4, f"product of perfect passes is {apart:.3g} from x @ weights().mT: weights() is what forward passes read")
        gradient = spec.transposed_product(d, arrays, lambda name, e, w: e @ w)
        shaped(gradient, (BATCH, 1, IN), torch.float32, "transposed_product")

    def test_arguments_stay_as_they_are(self, spec: UpdateAlgorithm) -> None:
        """Neither inputs nor errors nor weights to be set are written into."""
        module, (x, d), w = built(spec), vectors(0), 0.3 * torch.ones(OUT, IN)
        kept = x.clone(), d.clone(), w.clone()
        for _ in range(3):
            module.update(x, d, LR, noise())
        module.set_weights(w, noise().shared())
        trained(module, range(3))
        for words, value, before in zip(("inputs", "errors", "weights to be set"), (x, d, w), kept, strict=True):
            identical(value, before, f"the {words} were written into: use out-of-place operations")


def _arrays(module: nn.Module) -> list[tuple[str, nn.Module]]:
    from ohmlet.cells import CellArray

    return [(f"{name}.", cells) for name, cells in module.named_modules() if isinstance(cells, CellArray)]
