"""From inputs, errors and a learning rate to pulse trains: probabilities, update management, train lengths."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ohmlet_kernels.noise import Stream
from ohmlet_kernels.pulsed_update.cells import LEVELS, SLOTS, Trains

__all__ = ["managed", "quantised", "trains"]


def managed(x: Tensor, d: Tensor, lr: float | Tensor, granularity: float, pulses: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Return the train length BL of each sample, int64 [S], and the factors of |x| and |d| to probabilities, float64 [S].

    BL p_x p_d g = lr |x| |d|. Fixed: BL = desired_bl and both factors sqrt(lr / (g BL)). With update_bl_management BL is
    ceil(lr max|x| max|d| / g), at most desired_bl; with update_management the factors are balanced by sqrt(max|x| / max|d|).
    `pulses` has the fields of PulsedUpdate; lr is one number or one per sample [S].
    Source: Gokmen, Onen and Haensch, Front. Neurosci. 11, 538 (2017), doi:10.3389/fnins.2017.00538.
    """
    samples, rate = len(x), torch.as_tensor(lr, dtype=torch.float64, device=x.device).abs().expand(len(x))
    lengths = torch.full((samples,), pulses.desired_bl, dtype=torch.int64, device=x.device)
    if x.numel() == 0 or d.numel() == 0:
        none = torch.zeros(samples, dtype=torch.float64, device=x.device)
        return torch.zeros_like(lengths), none, none
    largest_x, largest_d = x.abs().amax(-1).to(torch.float64), d.abs().amax(-1).to(torch.float64)
    silent = (largest_x == 0) | (largest_d == 0) | (rate == 0)
    largest_x, largest_d = torch.where(silent, 1.0, largest_x), torch.where(silent, 1.0, largest_d) * pulses.um_grad_scale
    wanted = rate * largest_x * largest_d / granularity
    if pulses.update_bl_management:
        lengths = wanted.ceil().clamp(max=pulses.desired_bl).to(torch.int64)
    factor = (rate / (granularity * lengths.clamp(min=1).to(torch.float64))).sqrt()
    if not (pulses.update_bl_management or pulses.fixed_bl):
        longer = granularity * pulses.desired_bl < rate
        lengths = torch.where(longer, (rate / granularity).ceil().to(torch.int64), lengths)
        factor = torch.where(longer, 1.0, factor)
    for_x = for_d = factor
    if pulses.update_management:
        # Rather the errors than the inputs are clipped where the longest train is too short.
        largest_d = torch.where(wanted > pulses.desired_bl, largest_d * pulses.desired_bl / wanted, largest_d)
        for_x, for_d = factor * (largest_d / largest_x).sqrt(), factor * (largest_x / largest_d).sqrt()
    return torch.where(silent, 0, lengths), for_x, for_d


def quantised(p: Tensor, step: float, noise: Stream | None, name: str) -> Tensor:
    """Return probabilities rounded to multiples of `step` (0: as they are), at random with `noise`, else half to even."""
    if step == 0:
        return p
    steps = p / step
    if noise is not None:
        steps = steps + noise.uniform(name, steps[:, None]).squeeze(-2) - 0.5
    return steps.round() * step


def trains(
    x: Tensor,
    d: Tensor,
    lr: float | Tensor,
    granularity: float,
    pulses: Any,
    noise: Stream,
    pulse_bits: Callable[..., Tensor],
) -> Trains:
    """Return the pulses that move w by -lr d x^T in expectation, for inputs x [S, in] and errors d [S, out]; `pulses` as PulsedUpdate's.

    `noise.ordinals` int64 [S] address the random slots; `pulse_bits` is an engine's kernel of that name.
    Where that has a method `trains`, it is asked first; it returns None for what it has not compiled.
    """
    compiled = getattr(pulse_bits, "trains", None)
    if compiled is not None:
        known = compiled(x, d, lr, granularity, pulses, noise)
        if known is not None:
            return known  # type: ignore[no-any-return]
    lengths, for_x, for_d = managed(x, d, lr, granularity, pulses)
    p_x, p_d = x.abs().to(torch.float64) * for_x[:, None], d.abs().to(torch.float64) * for_d[:, None]
    rising = torch.as_tensor(lr, device=d.device).reshape(-1, 1) < 0
    x_negative, d_negative = x < 0, (d < 0) ^ (rising & (d != 0))
    rounding = noise if pulses.stochastic_rounding else None
    if pulses.pulse_type == "deterministic_implicit":
        q_x = quantised(p_x, pulses.x_resolution, rounding, "x rounding").clamp(0, 1)
        q_d = quantised(p_d, pulses.d_resolution, rounding, "d rounding").clamp(0, 1)
        period = torch.ones(len(x), dtype=torch.float32, device=x.device)
        return Trains(q_x.float(), (q_d * lengths[:, None]).float(), x_negative, d_negative, period)
    p_x = quantised(p_x, pulses.resolution, rounding, "x rounding").clamp(0, 1)
    p_d = quantised(p_d, pulses.resolution, rounding, "d rounding").clamp(0, 1)
    if pulses.pulse_type == "mean_count":
        c_x, c_d = (p_x * lengths[:, None]).round(), (p_d * lengths[:, None]).round()
        return Trains(c_x.float(), c_d.float(), x_negative, d_negative, lengths.clamp(min=1).float())
    words = -(-max(int(lengths.max()) if len(lengths) else 0, 1) // SLOTS)
    assert noise.ordinals is not None
    made = [
        pulse_bits(
            (p * LEVELS).round().to(torch.int64), lengths, words, noise.key, noise.word(f"{pulses.pulse_type} {line}"), noise.ordinals
        )
        for line, p in (("x", p_x), ("d", p_d))
    ]
    return Trains(made[0], made[1], x_negative, d_negative)
