"""What every tile promises: a module that computes w x with all that hardware does to it, sample by sample, addressed and portable."""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any
from unittest import SkipTest

import torch
from torch import Tensor, nn

from ohmlet.cells import build_array
from ohmlet.interfaces.tile import Site, Tile
from ohmlet.nn.in_situ import learns
from ohmlet.nn.kernels import kernels_of
from ohmlet.testing.draws import addressed
from ohmlet.testing.expect import close, expect, finite, identical, shaped
from ohmlet.testing.spec import SpecTests
from ohmlet.testing.streams import own_purposes, recording, silent, spread, stream
from ohmlet.testing.tile_in_model import TileInModelTests, runs_here
from ohmlet_kernels.noise import Stream
from ohmlet_kernels.noise import key as stream_key

__all__ = ["TileTests"]

S, R, OUT, IN = 6, 2, 5, 7


def built(spec: Tile, *, training: bool = False, out: int = OUT, inputs: int = IN) -> nn.Module:
    """Return the module of one crossbar."""
    runs_here(spec)
    keys = torch.tensor([stream_key("kit")])
    module = spec.build(Site(out_features=out, in_features=inputs, kernel=kernels_of(spec.engine or "auto"), keys=keys, cells=build_array))
    expect(isinstance(module, nn.Module), f"build must return a torch.nn.Module, got {module!r}")
    expect(callable(getattr(module, "mvm", None)), f"{type(module).__name__}, which build returned, has no method mvm(x, w, noise)")
    return module.train(training)


def mvm(module: nn.Module, x: Tensor, w: Tensor, noise: Stream) -> Tensor:
    """Return what the crossbar computes, its shape and type checked."""
    lead = w.shape[:-2]
    y = module.mvm(x, w, noise)  # type: ignore[operator]
    return shaped(y, (*lead, *x.shape[-3:-1], w.shape[-2]), x.dtype, f"mvm of x {list(x.shape)} and w {list(w.shape)}")


def inputs(*lead: int, samples: int = S, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return inputs [*lead, S, R, in]."""
    return spread(*lead, samples, R, IN, dtype=dtype, seed=1)


def weights(*lead: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return normalised weights [*lead, out, in]."""
    return spread(*lead, OUT, IN, dtype=dtype, seed=2)


class TileTests(TileInModelTests, SpecTests):
    """Inherit it with a fixture `spec` that returns a tile."""

    def test_shapes(self, spec: Tile) -> None:
        """Outputs are [..., S, R, out] and finite for one crossbar, for many, and for inputs or weights that many share."""
        for dtype in (torch.float32, torch.float64):
            for lead in ((), (3,), (3, 2)):
                module, noise = built(spec), stream(*lead, samples=S)
                finite(mvm(module, inputs(*lead, dtype=dtype), weights(*lead, dtype=dtype), noise), f"mvm with leading sizes {list(lead)}")
                finite(
                    mvm(module, inputs(dtype=dtype), weights(*lead, dtype=dtype), noise),
                    f"mvm of shared inputs, leading sizes {list(lead)}",
                )

    def test_edges(self, spec: Tile) -> None:
        """No sample, zero inputs, zero weights, and a crossbar of one device are ordinary cases."""
        x, w, noise = inputs(), weights(), stream(samples=S)
        mvm(built(spec), x[:0], w, noise.at(torch.arange(0)))
        for training in (False, True):
            finite(mvm(built(spec, training=training), 0 * x, w, noise), f"mvm of zero inputs, training={training}")
            finite(mvm(built(spec, training=training), x, 0 * w, noise), f"mvm with zero weights, training={training}")
            one = mvm(built(spec, training=training, out=1, inputs=1), x[..., :1], w[:1, :1], noise)
            finite(one, f"mvm of one device, training={training}")

    def test_is_a_product_in_model_units(self, spec: Tile) -> None:
        """Without noise the outputs follow w x: their slope against it lies between one half and two."""
        x, w = inputs(samples=100), weights()
        exact = torch.matmul(x, w.mT)
        y = mvm(built(spec), x, w, silent(stream(samples=100))).detach()
        slope = float((y * exact).sum() / (exact * exact).sum())
        expect(
            0.5 < slope < 2.0,
            f"outputs must be in the units of w x; the slope against it is {slope:.4g}: undo the input scaling",
        )

    def test_draws_from_the_stream_only(self, spec: Tile) -> None:
        """All randomness comes from `noise`, in building, training and evaluation; no other generator is used or moved."""
        addressed(lambda: list(built(spec).state_dict().values()), "build")
        for training in (False, True):
            module, noise = built(spec, training=training), stream(3, samples=S)
            addressed(lambda: mvm(copy.deepcopy(module), inputs(3), weights(3), noise), f"mvm, training={training},")  # noqa: B023

    def test_without_noise_equal_samples_stay_equal(self, spec: Tile) -> None:
        """With a stream of zeros, equal samples give equal outputs on every crossbar, so none comes from elsewhere (a fixed seed, say)."""
        x = inputs()[:1, :1].expand(3, S, R, IN)
        for training in (False, True):
            y = mvm(built(spec, training=training), x, weights().expand(3, OUT, IN), silent(stream(3, samples=S)))
            message = f"equal samples gave different outputs though the stream gave no noise, training={training}: draw only from `noise`"
            close(y, y[0, 0, 0].expand(y.shape), message)

    def test_each_draw_has_a_purpose_of_its_own(self, spec: Tile) -> None:
        """No purpose is drawn twice in one product, or two kinds of noise would be the same numbers."""
        for training in (False, True):
            noise, purposes = recording(stream(samples=S))
            mvm(built(spec, training=training), inputs(), weights(), noise)
            own_purposes(purposes, f"mvm, training={training},")

    def test_batches_may_be_split(self, spec: Tile) -> None:
        """A sample's output depends on its ordinal, not on the batch it comes in; in training for tiles without state."""
        for training in (False, True):
            module = built(spec, training=training)
            if training and module.state_dict():
                continue
            noise = stream(3, samples=S)
            whole = mvm(module, inputs(3), weights(3), noise)
            for first, last in ((0, 1), (1, 4), (4, S)):
                some = mvm(module, inputs(3)[:, first:last], weights(3), noise.at(torch.arange(first, last)))
                message = f"samples {first} to {last - 1} differ alone and among {S}, training={training}: address noise by sample, "
                close(some, whole[:, first:last], message + 'noise.normal("purpose", y) with y [..., S, R, out]')

    def test_instances_are_addressed(self, spec: Tile) -> None:
        """Crossbar i of several computed at once gives what it gives alone."""
        for training in (False, True):
            module = built(spec, training=training)
            if training and module.state_dict():
                continue
            noise, x, w = stream(3, samples=S), inputs(3), weights(3)
            together = mvm(module, x, w, noise)
            for i in range(3):
                alone = mvm(module, x[i], w[i], noise._replace(key=noise.key[i]))
                close(
                    alone,
                    together[i],
                    f"crossbar {i} alone differs from crossbar {i} among three, training={training}: reduce over the last sizes only",
                )

    def test_conductances_stand_for_weights(self, spec: Tile) -> None:
        """A crossbar that reads a chip's conductances makes of their targets what it makes of the weights."""
        module, noise, w = built(spec), stream(samples=S), weights().clamp(-1.0, 1.0)
        read: Any = getattr(module, "conductance_mvm", None)
        converter: Any = getattr(spec, "conductance_converter", None)
        if read is None:
            raise SkipTest("the tile reads weights, on a chip as well")
        expect(converter is not None, "the module has conductance_mvm and the tile no conductance_converter: make it a ProgrammableTile")
        of_weights, of_targets = mvm(module, inputs(), w, noise), read(inputs(), converter.to_conductances(w), noise)
        close(of_targets, of_weights, "conductance_mvm of the targets differs from mvm of their weights: divide by the converter's window")

    def test_gradients(self, spec: Tile) -> None:
        """Inputs and weights get finite gradients that are not all zero, in training and in evaluation; a tile that learns, inputs."""
        for training in (False, True):
            module = built(spec, training=training)
            x, w = inputs(3).requires_grad_(), weights(3).requires_grad_()
            y = mvm(module, x, w, stream(3, samples=S))
            expect(
                y.requires_grad,
                f"outputs carry no gradient, training={training}: do not detach, and give rounding a straight-through gradient",
            )
            of = {"x": x} if learns(module) else {"x": x, "w": w}
            grads = torch.autograd.grad(y, tuple(of.values()), spread(*y.shape, seed=3), allow_unused=True)
            for name, grad in zip(of, grads, strict=True):
                if grad is None or not bool(grad.any()):
                    raise AssertionError(f"no gradient reaches {name}, training={training}: rounding needs a straight-through gradient")
                finite(grad, f"the gradient of {name}, training={training}")

    def test_learning(self, spec: Tile) -> None:
        """A tile that learns leaves inputs and errors behind each backward pass, and its update moves its weights against them."""
        module: Any = built(spec, training=True)
        if not learns(module):
            raise SkipTest("the tile does not learn in memory")
        noise = stream(samples=S)
        module.set_weights(0.1 * weights(), noise.shared())
        x, before = inputs(), module.weights().clone()
        y = mvm(module, x, before, noise)
        y.backward(spread(*y.shape, seed=3))
        left = len(module.pending)
        expect(left == 1, f"a backward pass left {left} entries in `pending`, not one with its inputs and errors")
        (errors,) = module.pending
        shaped(errors.d, tuple(y.shape), y.dtype, "the errors left in `pending`")
        flat = errors.x.flatten(-3, -2), errors.d.flatten(-3, -2)
        module.update(*flat, 0.05, noise.at(torch.arange(S * R)))
        change = module.weights() - before
        finite(change, "the change of the weights")
        exact = -0.05 * flat[1].mT @ flat[0]
        expect(float((change * exact).sum()) > 0, "the update does not move the weights against the gradient: subtract lr d x^T")

    def test_arguments_stay_as_they_are(self, spec: Tile) -> None:
        """Neither inputs nor weights are written into."""
        for training in (False, True):
            x, w = inputs(), weights()
            mvm(built(spec, training=training), x, w, stream(samples=S))
            identical(x, inputs(), f"mvm wrote into its inputs, training={training}")
            identical(w, weights(), f"mvm wrote into its weights, training={training}")

    def test_constrain_keeps_the_shape(self, spec: Tile) -> None:
        """`constrain`, where there is one, returns finite weights of the same shape and passes gradients."""
        constrain = getattr(built(spec, training=True), "constrain", None)
        for shape in ((OUT, IN), (2, OUT, IN), (1, 1)) if constrain is not None else ():
            w = (3 * spread(*shape, seed=2)).requires_grad_()
            constrained = shaped(constrain(w), shape, w.dtype, "constrain")  # type: ignore[misc]
            finite(constrained, "constrain")
            expect(constrained.requires_grad, "constrain lets no gradient through: the layer's weights could not be trained")

    def test_module_travels(self, spec: Tile) -> None:
        """Deep copies, pickles and a state_dict of plain tensors all compute the same, after training has left its traces."""
        module, noise = built(spec, training=True), stream(samples=S)
        mvm(module, inputs(), weights(), noise)
        expected = mvm(module.eval(), inputs(), weights(), noise)
        state = io.BytesIO()
        wrong = {name: type(value).__name__ for name, value in module.state_dict().items() if not isinstance(value, Tensor)}
        expect(
            not wrong, f"the state_dict must hold tensors only, it has {wrong}: make state a buffer or a parameter, drop get_extra_state"
        )
        torch.save(module.state_dict(), state)
        fresh = built(spec)
        fresh.load_state_dict(torch.load(io.BytesIO(state.getvalue()), weights_only=True))
        for words, other in (
            ("a deep copy", copy.deepcopy(module)),
            ("a pickle", pickle.loads(pickle.dumps(module))),
            ("a fresh module with the state_dict", fresh),
        ):
            identical(
                mvm(other, inputs(), weights(), noise),
                expected,
                f"{words} computes something else: state belongs into buffers and parameters",
            )
