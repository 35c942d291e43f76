"""Input scaling: what number a crossbar's full-scale input stands for."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from attrs import frozen
from torch import Tensor, nn

from ohmlet.spec import integer, number
from ohmlet_kernels.analog_mvm.scaling import running_abs_max
from ohmlet_kernels.recompute import recomputing

__all__ = ["AbsMax", "AbsMaxSum", "AverageAbsMax", "Fixed", "InputRange", "Learned", "LearnedRange", "Max", "RunningRange", "Unscaled"]


@frozen(kw_only=True)
class Unscaled:
    """Inputs reach the DAC as they are."""

    type_name: ClassVar[str] = "none"


@frozen(kw_only=True)
class AbsMax:
    """Each input vector is divided by its largest |x| and the outputs are multiplied by it; no gradient flows through the scale."""

    type_name: ClassVar[str] = "abs_max"
    limit: float = number(math.inf, "largest scale; larger inputs clip at the DAC's bound", gt=0.0, infinite=True)


@frozen(kw_only=True)
class Max:
    """Each input vector is divided by its largest x, the sign counted; vectors without a positive entry give outputs of zero."""

    type_name: ClassVar[str] = "max"
    limit: float = number(math.inf, "largest scale; larger inputs clip at the DAC's bound", gt=0.0, infinite=True)


@frozen(kw_only=True)
class AbsMaxSum:
    """Each input vector is divided by the scale under which no output can pass the ADC's bound, were all weights `assumed_w_max`.

    s = max(m, q), m = max|x|, q = max(sum of positive x, -sum of negative x) assumed_w_max / bound, at most m max_in_resolution / DAC step.
    """

    type_name: ClassVar[str] = "abs_max_sum"
    limit: float = number(math.inf, "largest m", gt=0.0, infinite=True)
    assumed_w_max: float = number(0.6, "largest |weight| that the scale assumes", gt=0.0, le=1.0)
    max_in_resolution: float = number(0.25, "coarsest DAC step, as a part of full scale", gt=0.0)


@frozen(kw_only=True)
class AverageAbsMax:
    """Input vectors are divided by a running average of their largest |x|: a <- (1 - decay) a + decay max|x|, vector by vector."""

    type_name: ClassVar[str] = "average_abs_max"
    decay: float = number(1e-3, "weight of the newest vector", gt=0.0, lt=1.0)


@frozen(kw_only=True)
class Fixed:
    """Inputs are divided by one number; larger ones clip at the DAC's bound."""

    type_name: ClassVar[str] = "fixed"
    value: float = number(1.0, "the input that is full scale", gt=0.0)


@frozen(kw_only=True)
class Learned:
    """Inputs are clipped to a range r that starts as a running mean of `init_std` standard deviations and is then learned.

    With g the gradient at the clipped input, dr = r (sum_{x >= r} min(g, 0) - sum_{x <= -r} max(g, 0)), plus decay r while a fraction
    of more than `min_unclipped` of the inputs is inside: clipping widens the range, decay narrows it.
    """

    type_name: ClassVar[str] = "learned"
    init: float = number(3.0, "range before any data", gt=0.0)
    init_batches: int = integer(100, "training batches over which the range follows the data before it is learned", ge=0)
    init_std: float = number(3.0, "range in standard deviations of the inputs while it follows them", gt=0.0)
    decay: float = number(0.001, "pull towards a smaller range", ge=0.0)
    min_unclipped: float = number(0.95, "fraction of unclipped inputs above which the decay acts", ge=0.0, le=1.0)


InputRange = Unscaled | AbsMax | Max | AbsMaxSum | AverageAbsMax | Fixed | Learned


class _Clip(torch.autograd.Function):
    """Clips to +-r; the gradient of x is masked, that of r is the rule that `Learned` states."""

    @staticmethod
    def forward(x: Tensor, r: Tensor, decay: float, min_unclipped: float) -> Tensor:
        return x.clamp(-r, r)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Keep x, r and the rule's numbers."""
        x, r, ctx.decay, ctx.min_unclipped = inputs
        ctx.save_for_backward(x, r)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        x, r = ctx.saved_tensors
        g = grads[0]
        up, down = x >= r, x <= -r
        pull = torch.where(up, g.clamp_max(0), 0).sum() - torch.where(down, g.clamp_min(0), 0).sum()
        unclipped = (x.abs() < r).to(torch.float32).mean()
        dr = r * pull.to(r.dtype) + torch.where(unclipped > ctx.min_unclipped, ctx.decay * r, torch.zeros_like(r))
        return torch.where(x.abs() > r, torch.zeros_like(g), g), dr, None, None


class LearnedRange(nn.Module):
    """State of a learned range: r = |start + shift|, `start` following the data at first, `shift` a parameter afterwards.

    Two tensors, so that a forward pass never writes a parameter (which may be sharded).
    """

    def __init__(self, settings: Learned) -> None:
        super().__init__()
        self.settings = settings
        self.shift = nn.Parameter(torch.zeros(()))
        self.start: Tensor
        self.batches: Tensor
        self.register_buffer("start", torch.tensor(settings.init))
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))
        self._followed: Tensor | None = None

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the clipped inputs and the range, which is detached; in training the range first follows the data."""
        following = self.batches < self.settings.init_batches
        again = recomputing()
        if again and self._followed is not None:
            following = self._followed
        elif self.training and not torch.compiler.is_compiling():
            self._followed = following
        if self.training and x.numel() and not again:
            with torch.no_grad():
                seen = self.batches.to(torch.float32)
                spread = self.settings.init_std * x.detach().to(torch.float32).std(correction=0)
                followed = (self.start * seen + spread) / (seen + 1)
                use = following & (spread > 0)
                self.start.copy_(torch.where(use, followed, self.start))
                self.batches.add_(use)
        shift = torch.where(following, self.shift.detach(), self.shift)
        r = (self.start + shift).abs().clamp_min(torch.finfo(torch.float32).tiny)
        clipped: Tensor = _Clip.apply(x, r.to(x.dtype), self.settings.decay, self.settings.min_unclipped)  # type: ignore[no-untyped-call]
        return clipped, r.detach().to(x.dtype)


class RunningRange(nn.Module):
    """State of a running average of the inputs' largest |x|; it moves in training and in evaluation, as the periphery's register does."""

    def __init__(self, settings: AverageAbsMax) -> None:
        super().__init__()
        self.settings = settings
        self.average: Tensor
        self.register_buffer("average", torch.tensor(-1.0))

    def forward(self, x: Tensor) -> Tensor:
        """Return the scale [S, R, 1] of each vector of x [..., S, R, in] in order."""
        scales, last = running_abs_max(x, self.average, self.settings.decay)
        self.average.copy_(last)
        return scales
