"""What an engine's pulse trains and pulsed updates promise: the reference's bits, and weights that only roundings separate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest import SkipTest

import torch
from torch import Tensor

from ohmlet.interfaces.engine import Engine
from ohmlet.interfaces.pulses import PulsedUpdate
from ohmlet.testing.buffers import Guards, poisoned
from ohmlet.testing.engine_parts import device_of, reference, stream_on
from ohmlet.testing.expect import close, expect, identical, shaped
from ohmlet.testing.streams import spread
from ohmlet_kernels.noise import Stream
from ohmlet_kernels.pulsed_update import Cells, Trains, read_step
from ohmlet_kernels.pulsed_update.cells import BOTH, DOWN_AS_UP, LEVELS, SLOTS, UP_ONLY, Probe
from ohmlet_kernels.pulsed_update.trains import trains

__all__ = ["EngineUpdateTests"]

SHAPES = ((9, 1, 1), (3, 1, 5), (3, 7, 1), (2, 5, 33), (0, 3, 4), (2, 0, 4), (2, 4, 0))
"""(samples, rows, columns)."""

FORMS = {
    "trains": (1, BOTH, False),
    "trains of three words": (3, BOTH, False),
    "pulses up alone": (1, UP_ONLY, False),
    "pulses down as up": (1, DOWN_AS_UP, False),
    "counts": (0, BOTH, False),
    "looks at columns": (1, BOTH, True),
    "looks at rows": (0, DOWN_AS_UP, True),
}
"""Words of a train, or 0 for counts; the pulses that reach the cells; whether a probe looks on."""

PULSES = {
    "managed": PulsedUpdate(),
    "unmanaged": PulsedUpdate(update_management=False, update_bl_management=False, desired_bl=100),
    "coarse, rounded at random": PulsedUpdate(resolution=0.1, stochastic_rounding=True),
    "counts": PulsedUpdate(pulse_type="mean_count"),
    "rounded products": PulsedUpdate(pulse_type="deterministic_implicit"),
}

ops: Any = None
"""Each engine's own."""


def plain(w: Any, up: Any, noise: Any, cell: Any, hidden: Any, params: Any) -> tuple[Any, Any]:
    """Steps that shrink towards a bound, with noise; nothing is remembered."""
    size = ops.where(up, cell.size * (1 - w / cell.bound), -cell.size * (1 + w / cell.bound))
    return ops.minimum(ops.maximum(w + size * (1 + params.sigma * noise[0]), -cell.bound), cell.bound), hidden


def remembering(w: Any, up: Any, noise: Any, cell: Any, hidden: Any, params: Any) -> tuple[Any, Any]:
    """Steps that heat their cell, follow a table and fail at random: two hidden states, a normal and two uniforms."""
    heat = hidden.heat * params.decay + ops.abs(noise[0]) * noise[1]
    size = cell.size * ops.interpolate(params.shape, (w + 1) / 2) * ops.exp(-heat)
    size = ops.where(noise[2] < 0.8, size, 0.0)
    return w + ops.where(up, size, -size), (heat, hidden.seen + 1)


DEVICES = {
    "plain": (read_step(plain, ("size", "bound"), (), ("sigma",), (), 1, 0), (0.3,), ()),
    "remembering": (read_step(remembering, ("size",), ("heat", "seen"), ("decay",), ("shape",), 1, 2), (0.9,), ((0.2, 1.0, 0.7, 0.3),)),
}


def cells_of(name: str, rows: int, columns: int, device: str, keep: Callable[[Tensor], Tensor]) -> Cells:
    """Return fresh cells with a spread, the same at each call, each tensor as `keep` returns it."""
    step, params, tables = DEVICES[name]
    means = {"size": 0.02, "bound": 0.3}

    def varied(mean: float, seed: int) -> Tensor:
        return keep((mean * spread(rows, columns, low=0.8, high=1.2, seed=seed)).to(device))

    return Cells(
        step=step,
        w=keep((0.2 * spread(rows, columns, seed=4)).to(device)),
        cell=tuple(varied(means[part], 5 + at) for at, part in enumerate(step.cell)),
        hidden=tuple(varied(0.1, 8 + at) for at in range(len(step.hidden))),
        params=params,
        tables=tables,
        pulses=keep(torch.zeros((2, rows, columns), dtype=torch.int64, device=device)),
        touched=keep(torch.zeros((rows, columns), dtype=torch.bool, device=device)),
    )


def trains_of(samples: int, rows: int, columns: int, words: int, select: int, noise: Stream) -> Trains:
    """Return trains of so many words or, for 0, counts with exact halves, some lines being silent."""
    device = noise.key.device
    x, d = (spread(samples, lines, seed=seed).to(device) for lines, seed in ((columns, 1), (rows, 2)))
    sides = x.abs(), d.abs()
    if not words:
        period = torch.full((samples,), 2.0, device=device)
        return Trains((sides[0] * 4).round(), (sides[1] * 4).round(), x < 0, d < 0, period, select)
    lengths = torch.full((samples,), SLOTS * words - 5, device=device)
    made = [
        reference("pulse_bits")(
            ((side - 0.2).clamp_min(0) / words * LEVELS).round().to(torch.int64), lengths, words, noise.key, 7 + at, noise.ordinals
        )
        for at, side in enumerate(sides)
    ]
    return Trains(made[0], made[1], x < 0, d < 0, None, select)


class EngineUpdateTests:
    """The part of the engine kit for pulses; `EngineTests` inherits it."""

    def test_pulse_bits_equal_the_reference(self, spec: Engine) -> None:
        """Every slot of every train fires or stays silent as in the reference, for trains of any length and thresholds at either end."""
        device, kernel = _kernel(spec, "pulse_bits")
        for samples, lines in ((1, 1), (3, 5), (2, 33), (2, 130), (0, 4), (3, 0)):
            for words in (1, 3):
                noise = stream_on(device, samples=samples)
                thresholds = (spread(samples, lines, low=-0.2, high=1.2) * LEVELS).clamp(0, LEVELS).to(torch.int64).to(device)
                lengths = torch.tensor([SLOTS * words, 0, SLOTS * words - 7][:samples], dtype=torch.int64, device=device)
                given = (thresholds, lengths, words, noise.key, noise.word("pulses"), noise.ordinals)
                label = f"pulse_bits of {samples} samples and {lines} lines, {words} words"
                with poisoned():
                    found = kernel(*given)
                expected = reference("pulse_bits")(*given)
                identical(shaped(found, tuple(expected.shape), torch.int64, label), expected, f"{label}: other slots fire")

    def test_pulse_trains_equal_the_reference(self, spec: Engine) -> None:
        """Trains from inputs, errors and a learning rate have the reference's bits and signs, however they are managed."""
        device, kernel = _kernel(spec, "pulse_bits")
        x, d = spread(4, 9, seed=1).to(device), 0.1 * spread(4, 6, seed=2).to(device)
        d[-1] = 0.0
        for words, pulses in PULSES.items():
            for lr in (0.02, -3.0):
                noise = stream_on(device, samples=4)
                found, expected = (trains(x, d, lr, 0.01, pulses.numbers(), noise, bits) for bits in (kernel, reference("pulse_bits")))
                for name, one, other in zip(Trains._fields, found, expected, strict=True):
                    message = f"trains, {words}, learning rate {lr:g}: {name} differs from the reference's"
                    if isinstance(one, Tensor) and isinstance(other, Tensor):
                        identical(one, other, message)
                    else:
                        expect(one is other or one == other, message)

    def test_pulsed_update_equals_the_reference(self, spec: Engine) -> None:
        """Weights and hidden states end where the reference's do and pulses are counted alike, for odd shapes and trains of every kind."""
        device, kernel = _kernel(spec, "pulsed_update")
        for shape in SHAPES:
            _compare(kernel, device, "remembering", shape, "trains")
        for form in FORMS:
            _compare(kernel, device, "plain", (3, 5, 9), form)

    def test_pulsed_update_stays_in_its_tensors(self, spec: Engine) -> None:
        """Nothing beyond the cells is written, and what lies there, NaN, reaches no cell."""
        device, kernel = _kernel(spec, "pulsed_update")
        for name in DEVICES:
            for rows, columns in ((1, 1), (5, 33)):
                keep, noise = Guards(), stream_on(device, samples=2)
                cells, made = cells_of(name, rows, columns, device, keep), trains_of(2, rows, columns, 1, BOTH, noise)
                made = made._replace(x=keep(made.x), d=keep(made.d), x_negative=keep(made.x_negative), d_negative=keep(made.d_negative))
                label = f"pulsed_update of {rows} rows and {columns} columns"
                kernel(cells, made, noise.key, noise.word("update"), noise.ordinals, None)
                keep.check(label)
                expect(bool(cells.w.isfinite().all()), f"{label} reads beyond the tensors that it is given")


def _kernel(spec: Engine, operation: str) -> tuple[str, Callable[..., Any]]:
    device = device_of(spec)
    if operation not in spec.kernels():
        raise SkipTest(f"the engine has no {operation}")
    return device, spec.kernels()[operation]


def _compare(kernel: Callable[..., Any], device: str, name: str, shape: tuple[int, int, int], form: str) -> None:
    """Raise AssertionError unless a kernel and the reference make the same of the same cells."""
    (samples, rows, columns), (words, select, looks) = shape, FORMS[form]
    noise = stream_on(device, samples=samples)
    given = (trains_of(samples, rows, columns, words, select, noise), noise.key, noise.word("update"), noise.ordinals)
    cells, probes = [], []
    for function in (kernel, reference("pulsed_update")):
        cells.append(cells_of(name, rows, columns, device, lambda value: value))
        probe = None
        if looks:
            after, at = torch.tensor([0, 1, 1, 3], device=device), torch.tensor([2, 0, 4, 1], device=device)
            probe = Probe(after, at, words > 0, cells[-1].w.new_full((4, rows if words else columns), float("nan")))
        with poisoned():
            function(cells[-1], *given, probe)
        probes.append(probe)
    label = f"pulsed_update, {name} cells, {samples} samples, {rows} rows, {columns} columns, {form}"
    found, expected = cells
    close(found.w, expected.w, f"{label}: weights differ from the reference's")
    for state, one, other in zip(found.step.hidden, found.hidden, expected.hidden, strict=True):
        close(one, other, f"{label}: hidden state '{state}' differs from the reference's")
    for what, count, wanted in (("counts of pulses", found.pulses, expected.pulses), ("touched cells", found.touched, expected.touched)):
        assert count is not None
        assert wanted is not None
        identical(count, wanted, f"{label}: {what} differ from the reference's")
    if probes[0] is not None and probes[1] is not None:
        close(probes[0].seen, probes[1].seen, f"{label}: a probe sees other weights than the reference's")
