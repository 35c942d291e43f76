"""What every device promises: a step that all engines run alike, cells as declared, and randomness that is addressed."""

from __future__ import annotations

import copy
import itertools
import math
import re
from collections.abc import Callable, Mapping
from typing import TypeVar
from unittest import SkipTest

import torch
from torch import Tensor

from ohmlet.cells import CellArray, DeviceArray, build_array
from ohmlet.cells.array import fabricated
from ohmlet.interfaces.device import ArraySite, Device, UnitCell
from ohmlet.interfaces.pulses import PulsedUpdate
from ohmlet.nn.kernels import kernels_of
from ohmlet.registry import registry
from ohmlet.testing.draws import addressed
from ohmlet.testing.expect import TOLERANCES, expect, finite, identical, shaped
from ohmlet.testing.spec import SpecTests
from ohmlet.testing.streams import own_purposes, recording, spread, stream
from ohmlet_kernels.noise import Stream, key
from ohmlet_kernels.pulsed_update.reference import stepper

__all__ = ["DeviceTests"]

OUT, IN = 5, 7
MANY = (20, 25)
ONE_PULSE = PulsedUpdate(desired_bl=1, update_management=False, update_bl_management=False)

Built = TypeVar("Built", bound=CellArray)


def exact_read(w: Tensor, x: Tensor, noise: Stream) -> Tensor:
    """Return the read-out of a perfect tile."""
    return x.to(w.dtype) @ w.mT


def built(spec: UnitCell, size: tuple[int, int] = (OUT, IN), *, seed: int = 0, engine: str = "reference") -> CellArray:
    """Return a fresh array."""
    return build_array(spec, ArraySite(*size, torch.tensor(key("device kit", seed)), kernels_of(engine), exact_read))


def noise_of(seed: int = 0, samples: int = 0, start: int = 0) -> Stream:
    """Return the stream of an update of so many vectors."""
    ordinals = torch.arange(start, start + samples) if samples else None
    return Stream(torch.tensor(key("device kit noise", seed)), ordinals)


def pulsed(array: Built, ways: str, seed: int = 0, start: int = 0) -> Built:
    """Return the array after one pulse to every cell for each letter, u up and d down."""
    rows, columns = array.weights().shape
    signs = torch.tensor([1.0 if way == "u" else -1.0 for way in ways])
    # Both certain to fire, and a product of one step for cells that take no pulses; the excess survives rounding.
    size = 1.0001 * math.sqrt(array.granularity)
    x, d = torch.full((len(ways), columns), -size), size * signs[:, None].expand(-1, rows)
    array.pulse(x, d.contiguous(), 1.0, ONE_PULSE, noise_of(seed, len(ways), start))
    return array


def trained(array: Built, samples: int = 6, start: int = 0) -> Built:
    """Return the array after the updates of a mini-batch, with trains of different lengths and both signs."""
    rows, columns = array.weights().shape
    x, d = spread(samples, columns, low=-1.0, high=1.0), spread(samples, rows, low=-1.0, high=1.0).flip(0)
    array.pulse(x, d, 12 * array.granularity, PulsedUpdate(), noise_of(samples=samples, start=start))
    return array


def plain(spec: UnitCell) -> Device:
    """Return the spec when it is a device of its own; skips the test for several devices that act as one."""
    if not isinstance(spec, Device):
        raise SkipTest(f"{type(spec).__name__} is composed of devices, which have tests of their own")
    return spec


def state(array: CellArray) -> dict[str, Tensor]:
    """Return a copy of an array's buffers."""
    return {name: value.clone() for name, value in array.state_dict().items()}


def same(one: Mapping[str, Tensor], other: Mapping[str, Tensor], message: str) -> None:
    """Raise AssertionError unless two arrays hold the same, bit by bit."""
    expect(one.keys() == other.keys(), f"{message}: {sorted(one)} and {sorted(other)}")
    for name, value in one.items():
        identical(value, other[name], f"{message} ({name})")


class DeviceTests(SpecTests):
    """Inherit it with a fixture `spec` that returns a device, or a cell of several."""

    def test_step_compiles(self, spec: UnitCell) -> None:
        """An array can be built: the step is one that every engine can compile, and reads what the device declares."""
        weights = built(spec).weights()
        shaped(weights, (OUT, IN), torch.float32, "weights")
        finite(weights, "weights of fresh devices")

    def test_granularity(self, spec: UnitCell) -> None:
        """`granularity` is a positive number, and about what one pulse does where it can do most."""
        step = spec.granularity
        expect(isinstance(step, float) and 0 < step < 1e6, f"granularity must be a positive float, got {step!r}")
        moved = [
            (pulsed(built(spec, MANY), before + way).weights() - pulsed(built(spec, MANY), before).weights()).abs().mean()
            for before, way in itertools.product(("", "u" * 8, "d" * 8), "ud")
        ]
        largest = float(max(moved))
        expect(
            0.2 * step < largest < 50 * step,
            f"pulses move weights by {largest:.3g} on average, and granularity says {step:.3g}: pulse probabilities are worked out with it",
        )

    def test_cells_are_fabricated(self, spec: UnitCell) -> None:
        """Every per-cell array and hidden state is finite, [out, in], of one type, and what `step` reads is there."""
        device, like = plain(spec), torch.zeros(MANY)
        cell, hidden = fabricated(device, *MANY, stream(), like)
        for name, value in {**cell, **hidden}.items():
            finite(shaped(value, MANY, torch.float32, f"derive, for '{name}',"), f"'{name}' of fresh devices")
        if "w_min" in cell and "w_max" in cell:
            expect(bool((cell["w_min"] <= cell["w_max"]).all()), "w_min is above w_max in some cells: sort them in `derive`")

    def test_spreads_are_as_declared(self, spec: UnitCell) -> None:
        """Arrays with a declared spread vary from cell to cell; devices of one key are the same, those of another are not."""
        device, size = plain(spec), (100, 100)
        cell, _ = fabricated(device, *size, stream(), torch.zeros(size))
        again, _ = fabricated(device, *size, stream(), torch.zeros(size))
        other, _ = fabricated(device, *size, stream(seed=1), torch.zeros(size))
        for name, declared in device.cells().items():
            if name not in cell:
                continue
            identical(cell[name], again[name], f"'{name}' differs between two arrays of the same key: draw from the stream only")
            varies = declared.spread > 0 and (declared.mean != 0 or declared.distribution == "normal_absolute")
            if varies:
                expect(not torch.equal(cell[name], other[name]), f"'{name}' is the same in two arrays of different keys")
                distinct = len(cell[name].unique())
                expect(distinct > 100, f"'{name}' has {distinct} values in 10000 cells and a declared spread of {declared.spread:g}")

    def test_up_is_up(self, spec: UnitCell) -> None:
        """On average pulses up lead above pulses down."""
        up, down = (float(pulsed(built(spec, MANY), way * 20).weights().mean()) for way in "ud")
        expect(up > down, f"20 pulses up lead to {up:.4g} on average and 20 pulses down to {down:.4g}: turn the sign of the step")

    def test_pulses_do_not_run_away(self, spec: UnitCell) -> None:
        """Weights stay finite, and within w_min and w_max where the device has such, however many pulses come."""
        for ways in ("u" * 150, "d" * 150, "uuuddduuddud" * 5):
            array = pulsed(built(spec), ways)
            finite(array.weights(), f"weights after {len(ways)} pulses")
            if isinstance(spec, Device) and isinstance(array, DeviceArray) and type(spec).placed is Device.placed:
                cell = array.cell()
                if "w_min" in cell and "w_max" in cell:
                    out = int(((array.w < cell["w_min"]) | (array.w > cell["w_max"])).sum())
                    expect(out == 0, f"{out} of {array.w.numel()} weights are beyond w_min and w_max after pulses: clip at the end of step")

    def test_weights_can_be_set(self, spec: UnitCell) -> None:
        """Weights that are set are finite and as close as the device allows: setting what came out changes nothing."""
        for value in (0.0, 0.05, -0.05, 1e3, -1e3):
            array = built(spec)
            array.set_weights(torch.full((OUT, IN), value), noise_of())
            finite(array.weights(), f"weights after {value:g} was set")
        device = plain(spec)
        cell, _ = fabricated(device, *MANY, stream(), torch.zeros(MANY))
        wanted = spread(*MANY, low=-2.0, high=2.0)
        placed = device.placed(wanted, cell)
        identical(device.placed(placed, cell), placed, "placed(placed(w)) differs from placed(w): return what cells can hold")

    def test_engines_agree(self, spec: UnitCell) -> None:
        """Every engine that has pulses changes weights and hidden states like the reference, noise included."""
        wanted = trained(built(spec)).state_dict()
        compared = 0
        for name, entries in registry("engine").entries().items():
            engine = registry("engine").get(name)() if entries else None
            if name == "reference" or engine is None or engine.unavailable() or engine.preference("cpu") is None:
                continue
            if "pulsed_update" not in engine.kernels():
                continue
            found, compared = trained(built(spec, engine=name)).state_dict(), compared + 1
            rtol, atol = TOLERANCES[torch.float32]
            for part, value in wanted.items():
                off = (found[part].to(torch.float64) - value.to(torch.float64)).abs()
                apart = int((off > atol + 10 * rtol * value.abs()).sum())
                expect(
                    apart == 0, f"{part} on {name}: {apart} of {value.numel()} differ from the reference, by {float(off.max()):.3g} at most"
                )
        if not compared:
            raise SkipTest("no other engine with pulses can run here")

    def test_draws_from_the_stream_only(self, spec: UnitCell) -> None:
        """All randomness comes from the array's key and the update's stream."""

        def life() -> dict[str, Tensor]:
            array = trained(built(spec))
            array.diffuse(noise_of())
            array.reset(torch.ones(OUT, IN, dtype=torch.bool), noise_of())
            return state(array)

        addressed(life, "a device's life")

    def test_each_draw_has_a_purpose_of_its_own(self, spec: UnitCell) -> None:
        """No purpose is drawn twice when devices are fabricated."""
        device = plain(spec)
        noise, purposes = recording(stream())
        fabricated(device, OUT, IN, noise, torch.zeros(OUT, IN))
        own_purposes(purposes, "derive")

    def test_between_updates(self, spec: UnitCell) -> None:
        """Decay, diffusion, reset and drift leave finite weights, and a reset leaves the other cells alone."""

        def drifting(array: CellArray) -> None:
            array.drift(1.0, noise_of())
            array.drift(100.0, noise_of())

        actions: dict[str, Callable[[CellArray], None]] = {
            "decay": lambda array: array.decay(1.0, noise_of()),
            "diffuse": lambda array: array.diffuse(noise_of()),
            "drift": drifting,
        }
        for name, action in actions.items():
            array = pulsed(built(spec), "u" * 5)
            action(array)
            finite(shaped(array.weights(), (OUT, IN), torch.float32, name), f"weights after {name}")
        array, mask = pulsed(built(spec), "u" * 5), torch.zeros(OUT, IN, dtype=torch.bool)
        before = array.weights().clone()
        mask[1] = True
        array.reset(mask, noise_of())
        identical(array.weights()[~mask], before[~mask], "a reset of one row changed others")
        finite(array.weights(), "weights after a reset")

    def test_resumes(self, spec: UnitCell) -> None:
        """A state_dict loaded into other devices continues like the original, bit by bit."""
        array = trained(built(spec))
        other = built(spec, seed=1)
        other.load_state_dict(state(array))
        again = copy.deepcopy(array)
        for each in (array, other, again):
            trained(each, start=6)
        same(state(other), state(array), "after loading a state_dict the devices go another way: keep every tensor in a buffer")
        same(state(again), state(array), "a deep copy goes another way")

    def test_step_leaves_its_arguments(self, spec: UnitCell) -> None:
        """`derive`, `placed` and what happens between updates return new tensors and write into none that they are given."""
        device = plain(spec)
        cell, _ = fabricated(device, OUT, IN, stream(), torch.zeros(OUT, IN))
        kept, w = {name: value.clone() for name, value in cell.items()}, spread(OUT, IN, low=-1.0, high=1.0)
        before = w.clone()
        device.placed(w, cell)
        device.decayed(w, cell, 1.0)
        device.diffused(w, cell, stream())
        device.reset_to(w, cell, stream())
        device.drifted(w, {name: torch.zeros(OUT, IN) for name in device.drift_state()}, cell, 10.0, stream())
        identical(w, before, "a method wrote into the weights: use out-of-place operations")
        same(cell, kept, "a method wrote into the cells: use out-of-place operations")

    def test_step_has_exact_gradients(self, spec: UnitCell) -> None:
        """The step's derivatives with respect to weight, cells, hidden states and parameters are finite and right."""
        device = plain(spec)
        array = built(device)
        assert isinstance(array, DeviceArray)
        step, double = array.step, torch.float64
        low, high = (device.placed(torch.full((OUT, IN), at), array.cell()).flatten() for at in (-0.3, 0.3))
        # A cell whose weight cannot move has no derivative there.
        free = ((high - low) > 0.01).nonzero().flatten()[:IN]
        if not len(free):
            raise SkipTest("no cell of a small array has a weight that can move")
        cell = tuple(getattr(array, f"cell_{name}").flatten()[free].to(double).requires_grad_() for name in step.cell)
        hidden = tuple(getattr(array, f"hidden_{name}").flatten()[free].to(double).requires_grad_() for name in step.hidden)
        params = tuple(torch.tensor(value, dtype=double, requires_grad=True) for value in array.params)
        size = len(free)
        noise = tuple(spread(size, 1, low=-0.5, high=0.5).flatten().to(double) * 0.7 + 0.01 for _ in range(step.draws))
        w = (low[free] + (high - low)[free] * torch.linspace(0.2, 0.8, size)).to(double).requires_grad_()
        run, count = stepper(step), len(cell)

        for way in (True, False):
            up = torch.full((size,), way)

            def after(w: Tensor, *given: Tensor, up: Tensor = up) -> tuple[Tensor, ...]:
                cells, states, numbers = given[:count], given[count : count + len(hidden)], given[count + len(hidden) :]
                moved, remembered = run(w, up, noise, cells, states, numbers, array.tables)
                return moved, *(each for each in remembered if each.requires_grad)

            try:
                torch.autograd.gradcheck(after, (w, *cell, *hidden, *params), eps=1e-7, atol=1e-5, rtol=1e-3)
            except RuntimeError as error:
                names = ["w", *(f"cell.{name}" for name in step.cell), *(f"hidden.{name}" for name in step.hidden)]
                names += [f"params.{name}" for name in step.params]
                found = re.search(r"output (\d+) with respect to input (\d+)", str(error))
                result = "hidden state" if found and int(found[1]) else "weight"
                where = f" of the new {result} with respect to {names[int(found[2])]}" if found else ""
                raise AssertionError(
                    f"the derivative{where} of a pulse {'up' if way else 'down'} is wrong or not finite; a step that jumps where it "
                    f"starts, as a comparison with a hidden state's initial value may, has none there: {error}"
                ) from error
