"""What every drift compensation promises: it undoes a drift that all devices share, and does no harm where nothing drifted."""

from __future__ import annotations

import torch
from torch import Tensor

from ohmlet.interfaces.drift_compensation import DriftCompensation
from ohmlet.testing.draws import addressed
from ohmlet.testing.expect import close, expect, finite, identical, shaped
from ohmlet.testing.spec import SpecTests
from ohmlet.testing.streams import spread

__all__ = ["DriftCompensationTests"]

OUT, IN = 5, 7
LEADING: tuple[tuple[int, ...], ...] = ((), (3,), (3, 2))
"""One crossbar; three chip instances; three instances of two convolution groups."""


class Crossbar:
    """A crossbar without noise, as a compensation gets to see it."""

    def __init__(self, w: Tensor) -> None:
        self.w, self.calls = w, 0

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return outputs [..., S, out] of inputs [S, in]."""
        good = isinstance(inputs, Tensor) and inputs.ndim == 2 and inputs.shape[-1] == self.w.shape[-1] and inputs.dtype == self.w.dtype
        expect(good, f"mvm takes inputs [S, {self.w.shape[-1]}] in {self.w.dtype}, as `like` states; it got {inputs!r:.200}")
        self.calls += 1
        return torch.matmul(inputs, self.w.mT)


def read(spec: DriftCompensation, w: Tensor) -> Tensor | None:
    """Return the read-out of a crossbar with weights [..., out, in], its shape checked."""
    crossbar = Crossbar(w)
    value = spec.read_out(crossbar, w.shape[-1], w)
    if value is None:
        return None
    lead, out = w.shape[:-2], w.shape[-2]
    whole = isinstance(value, Tensor) and tuple(value.shape) == (*lead, 1, 1)
    value = shaped(value, (*lead, 1, 1) if whole else (*lead, 1, out), w.dtype, "read_out")
    expect(crossbar.calls > 0, "read_out never called mvm: it must measure the crossbar, since nothing else knows how far it drifted")
    return value


def factor(spec: DriftCompensation, before: Tensor, after: Tensor) -> Tensor | None:
    """Return the factor for a crossbar whose weights were `before` and are `after`, its shape checked."""
    reference, now = read(spec, before), read(spec, after)
    expect(
        (reference is None) == (now is None),
        "read_out returned None for one crossbar and a tensor for another: decide by the settings alone",
    )
    if reference is None or now is None:
        return None
    return shaped(spec.factor(reference, now), tuple(reference.shape), before.dtype, "factor")


def weights(*lead: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return weights over [-1, 1]."""
    return spread(*lead, OUT, IN, dtype=dtype)


class DriftCompensationTests(SpecTests):
    """Inherit it with a fixture `spec` that returns a drift compensation; one that remembers nothing passes by changing nothing."""

    def test_nothing_drifted(self, spec: DriftCompensation) -> None:
        """The factor is 1 where nothing drifted and nothing is noisy, for one crossbar and for many."""
        for dtype in (torch.float32, torch.float64):
            for lead in LEADING:
                w = weights(*lead, dtype=dtype)
                alpha = factor(spec, w, w)
                if alpha is not None:
                    close(alpha, torch.ones_like(alpha), f"nothing drifted, and the factor is not 1 (leading sizes {list(lead)})")

    def test_uniform_drift_is_undone(self, spec: DriftCompensation) -> None:
        """When all conductances of a crossbar fall by one factor, the outputs come back."""
        for kept in (0.8, 0.1):
            w = weights()
            alpha = factor(spec, w, kept * w)
            if alpha is not None:
                close(
                    alpha * kept,
                    torch.ones_like(alpha),
                    f"all weights fell to {kept:g} of their value, so the factor must be {1 / kept:g}, got {alpha}",
                )

    def test_each_crossbar_has_its_own_factor(self, spec: DriftCompensation) -> None:
        """Chip instances and groups that drift by different factors are each compensated by their own."""
        w = weights(3, 2)
        kept = spread(3, 2, 1, 1, low=0.2, high=0.9)
        alpha = factor(spec, w, kept * w)
        if alpha is not None:
            close(
                alpha * kept,
                torch.ones_like(alpha),
                "instances drifted by different factors: average over outputs, never over leading sizes",
            )

    def test_each_output_has_its_own_factor(self, spec: DriftCompensation) -> None:
        """A compensation that remembers one number per output undoes a drift that differs between outputs."""
        w = weights(3)
        kept = spread(3, OUT, 1, low=0.2, high=0.9)
        alpha = factor(spec, w, kept * w)
        if alpha is not None and alpha.shape[-1] == OUT:
            close(alpha * kept.mT, torch.ones_like(alpha), "outputs drifted by different factors, and theirs do not undo it")

    def test_an_empty_crossbar(self, spec: DriftCompensation) -> None:
        """Weights that are all zero, or have all decayed to zero, give finite factors."""
        w = weights(3)
        for words, before, after in (("are all zero", 0 * w, 0 * w), ("have all decayed to zero", w, 0 * w)):
            alpha = factor(spec, before, after)
            if alpha is not None:
                finite(
                    alpha,
                    f"weights {words}, and the factor is {alpha.flatten().tolist()}: keep the read-out above a small number with clamp_min",
                )

    def test_a_crossbar_of_one_device(self, spec: DriftCompensation) -> None:
        """One input and one output are a crossbar, too."""
        w = torch.full((1, 1), 0.5)
        alpha = factor(spec, w, 0.5 * w)
        if alpha is not None:
            close(alpha, torch.full_like(alpha, 2.0), "a crossbar of one weight fell to half, so the factor must be 2")

    def test_arguments_stay_as_they_are(self, spec: DriftCompensation) -> None:
        """Neither `like` nor the read-outs are written into."""
        w = weights(3)
        reference, now = read(spec, w), read(spec, 0.5 * w)
        identical(w, weights(3), "read_out wrote into `like`: use out-of-place operations")
        if reference is not None and now is not None:
            kept = reference.clone(), now.clone()
            spec.factor(reference, now)
            identical(reference, kept[0], "factor wrote into the reference: use out-of-place operations")
            identical(now, kept[1], "factor wrote into the read-out: use out-of-place operations")

    def test_draws_nothing(self, spec: DriftCompensation) -> None:
        """The same crossbar gives the same read-out, however often it is asked; all noise is the crossbar's."""
        reference = addressed(lambda: read(spec, weights(3)), "read_out")
        now = addressed(lambda: read(spec, 0.5 * weights(3)), "read_out")
        if reference is not None and now is not None:
            addressed(lambda: spec.factor(reference.clone(), now.clone()), "factor")
