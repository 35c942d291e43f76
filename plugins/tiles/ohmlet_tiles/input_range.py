"""Input scaling: what number a crossbar's full-scale input stands for."""

from __future__ import annotations

import math
from collections import deque
from typing import Any, ClassVar

import torch
from attrs import frozen
from torch import Tensor, nn

from ohmlet.errors import ConfigError, OrderError
from ohmlet.spec import integer, number
from ohmlet_kernels.analog_mvm.scaling import running_abs_max
from ohmlet_kernels.ranks import gathered, rank_and_world, tell_unequal
from ohmlet_kernels.recompute import recomputing

__all__ = [
    "AbsMax",
    "AbsMaxSum",
    "AverageAbsMax",
    "Calibrated",
    "Fixed",
    "InputRange",
    "Learned",
    "LearnedRange",
    "Max",
    "RunningRange",
    "Unscaled",
    "check_unreached",
]


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
    """Inputs are divided by one number, which stays as it is; larger ones clip at the DAC's bound.

    The config states it for all crossbars; or `value` is left out, and each crossbar has its own, which `ohmlet.calibrate` measures.
    """

    type_name: ClassVar[str] = "fixed"
    value: float | None = number(None, "the input that is full scale; left out, what ohmlet.calibrate measures", gt=0.0)


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


def check_unreached(pass_name: str, scaling: InputRange) -> None:
    """Raise ConfigError for a range that nothing would set: no gradient and no calibration reaches passes other than the forward one."""
    if isinstance(scaling, Learned):
        raise ConfigError(
            f"{pass_name}.input_range learned learns nothing: the pass itself makes gradients or is read between steps, so none flows back "
            "through it; use average_abs_max, which follows the data, or abs_max, which scales each vector"
        )
    if isinstance(scaling, Fixed) and scaling.value is None:
        raise ConfigError(f"{pass_name}.input_range fixed needs a value: ohmlet.calibrate sees the inputs of the forward pass only")


class _Clip(torch.autograd.Function):
    """Clips to +-r; the gradient of x is masked, that of r is the rule that `Learned` states."""

    @staticmethod
    def forward(x: Tensor, r: Tensor, inside: Tensor | None, decay: float, min_unclipped: float) -> Tensor:
        return x.clamp(-r, r)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Keep r, the rule's numbers, and of x only its side: 0 inside, +-1 at the range, +-2 beyond it."""
        x, r, inside, ctx.decay, ctx.min_unclipped = inputs
        side = (x >= r).to(torch.int8) + (x > r) - (x <= -r).to(torch.int8) - (x < -r).to(torch.int8)
        ctx.save_for_backward(side, r, inside)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        side, r, inside = ctx.saved_tensors
        g = grads[0]
        pull = torch.where(side > 0, g.clamp_max(0), 0).sum() - torch.where(side < 0, g.clamp_min(0), 0).sum()
        unclipped = (side == 0).to(torch.float32).mean() if inside is None else inside
        dr = r * pull.to(r.dtype) + torch.where(unclipped > ctx.min_unclipped, ctx.decay * r, torch.zeros_like(r))
        return torch.where(side.abs() > 1, torch.zeros_like(g), g), dr, None, None, None


class LearnedRange(nn.Module):
    """State of a learned range: r = |start + shift|, `start` following the data at first, `shift` a parameter afterwards.

    Two tensors, so that a forward pass never writes a parameter (which may be sharded). Where several processes train one model,
    the range follows the inputs of all of them: each forward pass in training exchanges four numbers, as batch statistics do.
    """

    def __init__(self, settings: Learned) -> None:
        super().__init__()
        self.settings = settings
        # A vector of one number: FSDP shards no scalars.
        self.shift = nn.Parameter(torch.zeros(1))
        self.start: Tensor
        self.batches: Tensor
        self.register_buffer("start", torch.tensor(settings.init))
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))
        # Of the latest forward passes, last first: checkpointing runs them again in that order, inside backward.
        self._passes: deque[tuple[Tensor, Tensor, Tensor | None]] = deque(maxlen=256)

    @torch.no_grad()
    def set(self, r: float) -> None:
        """Make r the range: it follows the data no more and is learned from there."""
        self.start.fill_(r)
        self.shift.zero_()
        self.batches.fill_(max(int(self.batches), self.settings.init_batches))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the clipped inputs and the range, which is detached; in training the range first follows the data."""
        if self._passes and recomputing():
            following, start, inside = self._passes.pop()
        else:
            following, start, inside = self.batches < self.settings.init_batches, self.start, None
            if self.training and (x.numel() or rank_and_world()[1] > 1):
                with torch.no_grad():
                    spread, inside = self._seen(x.detach())
                    seen = self.batches.to(torch.float32)
                    followed = (self.start * seen + self.settings.init_std * spread) / (seen + 1)
                    use = following & (spread > 0)
                    self.start.copy_(torch.where(use, followed, self.start))
                    self.batches.add_(use)
                if not torch.compiler.is_compiling():
                    self._passes.append((following, start.clone(), inside))
        shift = torch.where(following, self.shift.detach(), self.shift)[0]
        r = (start + shift).abs().clamp_min(torch.finfo(torch.float32).tiny)
        clipped: Tensor = _Clip.apply(x, r.to(x.dtype), inside, self.settings.decay, self.settings.min_unclipped)  # type: ignore[no-untyped-call]
        return clipped, r.detach().to(x.dtype)

    def _seen(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the standard deviation of the inputs of all processes and, where there are several, their unclipped fraction."""
        exact = x.to(torch.float32)
        if rank_and_world()[1] == 1:
            return exact.std(correction=0), None
        parts = exact.new_zeros(4)
        if x.numel():
            r = (self.start + self.shift[0]).abs().to(x.dtype)
            unclipped = (x.abs() < r).to(torch.float32).sum()
            parts = torch.stack((exact.new_tensor(float(x.numel())), exact.mean(), exact.var(correction=0), unclipped))
        count, mean, variance, unclipped = gathered(parts).unbind(1)
        if x.is_cpu and not torch.compiler.is_compiling():  # a GPU would wait for all work before
            tell_unequal([int(each) // max(x.shape[-1], 1) for each in count])
        share = count / count.sum().clamp_min(1.0)
        spread = (share * (variance + (mean - (share * mean).sum()).square())).sum().sqrt()
        return spread, unclipped.sum() / count.sum().clamp_min(1.0)


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


class Calibrated(nn.Module):
    """State of a fixed range that data determine: NaN until `set`, and an OrderError for who uses it before."""

    def __init__(self) -> None:
        super().__init__()
        self.value: Tensor
        self.register_buffer("value", torch.tensor(torch.nan))
        self._known = False

    def set(self, r: float) -> None:
        """Make r the range."""
        self.value.fill_(r)

    def forward(self) -> Tensor:
        """Return the range."""
        # Asked until there is a value and not again: on a GPU the question waits for all work before it.
        if not self._known and not torch.compiler.is_compiling():
            if bool(self.value.isnan()):
                raise OrderError(
                    "input_range fixed states no value and was not calibrated: call ohmlet.calibrate(model, batches), or state one"
                )
            self._known = True
        return self.value
