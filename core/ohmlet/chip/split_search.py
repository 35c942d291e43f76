"""The search behind weight-programming optimisation: differential evolution of every weight's split, then the best path through them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ohmlet.chip.moments import Moments
from ohmlet_kernels.noise import Stream

__all__ = ["BETWEEN", "SplitSearch"]

BETWEEN = 4
"""Weights between two levels at which the criterion is evaluated."""
POPULATION, GENERATIONS, ROUNDS, KEPT = 32, 50, 3, 8
"""Splits of each level that evolve at once, for how long, how often the factors against drift are worked out anew, and how many of the
population the path may choose from."""
STEP, CROSSOVER = 0.6, 0.7
BISECTIONS = 32
"""Halvings of the window's width, to a hundred-millionth of it."""


class SplitSearch(NamedTuple):
    """Splits of evenly spaced weights over pairs of devices, for one set of factors and one part of the range.

    A split is what a level's devices are programmed to, [devices] in uS, and amounts to level full = sum_d s_d g_d with s_d = f_k or
    -f_k. Between levels devices are interpolated, so the criterion counts what lies between too: a path through neighbouring splits.
    """

    moments: Moments
    factors: tuple[float, ...]
    use: float
    levels: Tensor
    """[levels] from 0 to 1"""
    share: Tensor
    """[levels - 1, BETWEEN], how many of the weights lie in each part of each interval; sums to 1"""
    compensated: bool
    noise: Stream

    @property
    def signed(self) -> Tensor:
        """The factor of each device, negative for the second of each pair."""
        return self.levels.new_tensor([sign * f for f in self.factors for sign in (1.0, -1.0)])

    @property
    def full(self) -> float:
        """What a weight of 1 amounts to, in uS."""
        return self.use * sum(self.factors) * (self.moments.window.g_max - self.moments.window.g_min)

    def projected(self, g: Tensor) -> Tensor:
        """Return the splits [levels, n, devices] nearest to g that stay in the window and amount to their level.

        g_d = clip(g_d + s_d x), with the x that makes sum_d s_d g_d = level full; the sum ascends with x, so x is bisected.
        """
        low, high = self.moments.window.g_min, self.moments.window.g_max
        signed, wanted = self.signed, (self.levels * self.full)[:, None]
        g = g.clamp(low, high)
        far = (high - low) / min(self.factors)
        left, right = (torch.full_like(g[..., 0], side * far) for side in (-1.0, 1.0))
        for _ in range(BISECTIONS):
            x = 0.5 * (left + right)
            less = ((g + signed * x[..., None]).clamp(low, high) * signed).sum(-1) < wanted
            left, right = x.where(less, left), right.where(less, x)
        return (g + signed * (0.5 * (left + right))[..., None]).clamp(low, high)

    def filled(self) -> Tensor:
        """Return the splits [levels, devices] that fill one pair before the next, as `n_pair` does."""
        window, wanted = self.moments.window, self.levels * self.full
        span, split, filled = window.g_max - window.g_min, [], 0.0
        for f in self.factors:
            split += [window.g_min + ((wanted - filled) / f).clamp(0.0, span), torch.full_like(wanted, window.g_min)]
            filled += f * span
        return torch.stack(split, -1)

    def effective(self, g: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and variance [..., times] of the weights that splits [..., devices] are read as."""
        mean, variance = self.moments.at(g)
        signed = self.signed[:, None]
        return (signed * mean).sum(-2) / self.full, (signed.square() * variance).sum(-2) / self.full**2

    def cost(self, g: Tensor, wanted: Tensor, alpha: Tensor) -> Tensor:
        """Return the mean square error over time of splits [..., devices] that stand for weights [...]."""
        mean, variance = self.effective(g)
        return ((alpha * mean - wanted[..., None]).square() + alpha.square() * variance).mean(-1)

    def between(self, path: Tensor) -> tuple[Tensor, Tensor]:
        """Return splits [levels - 1, BETWEEN, devices] between those of the levels [levels, devices], and the weights that they are."""
        part = ((torch.arange(BETWEEN, dtype=path.dtype) + 0.5) / BETWEEN)[:, None]
        levels = self.levels[:, None]
        return path[:-1, None] + part * (path[1:] - path[:-1])[:, None], levels[:-1] + part.T * (levels[1:] - levels[:-1])

    def factor(self, path: Tensor) -> Tensor:
        """Return the factor [times] on outputs with which a path errs least, 1 without compensation."""
        g, wanted = self.between(path)
        mean, variance = self.effective(g)
        if not self.compensated:
            return torch.ones_like(mean[0, 0])
        share = self.share[..., None]
        return (share * wanted[..., None] * mean).sum((0, 1)) / (share * (mean.square() + variance)).sum((0, 1)).clamp_min(1e-30)

    def total(self, path: Tensor) -> float:
        """Return the criterion: the mean square error over all weights and times."""
        g, wanted = self.between(path)
        return float((self.share * self.cost(g, wanted, self.factor(path))).sum())

    def evolved(self, g: Tensor, alpha: Tensor, noise: Stream) -> Tensor:
        """Return splits [levels, n, devices] after differential evolution, the best of each level first."""
        levels, wanted = torch.arange(len(g))[:, None], self.levels[:, None]
        cost, like = self.cost(g, wanted, alpha), g.new_empty(g.shape[0] * g.shape[1], g.shape[2])
        for generation in range(GENERATIONS):
            its_noise = noise.child(str(generation))
            u = its_noise.uniform("parents", like).view_as(g)
            one, other = ((u[..., i] * g.shape[1]).long() for i in (0, 1))
            leader = g[levels, cost.argmin(1, keepdim=True)]
            tried = g + STEP * (leader - g) + STEP * (g[levels, one] - g[levels, other])
            tried = self.projected(tried.where(its_noise.uniform("crossover", like).view_as(g) < CROSSOVER, g))
            its_cost = self.cost(tried, wanted, alpha)
            better = its_cost < cost
            g, cost = tried.where(better[..., None], g), its_cost.where(better, cost)
        return g[levels, cost.argsort(1)]

    def path(self, choices: Tensor, alpha: Tensor) -> Tensor:
        """Return the path [levels, devices] of least cost through choices [levels, n, devices]; exact, by dynamic programming."""
        part = ((torch.arange(BETWEEN, dtype=choices.dtype) + 0.5) / BETWEEN)[:, None]
        reached, came = torch.zeros_like(choices[0, :, 0]), []
        for level in range(len(choices) - 1):
            here, there = choices[level, :, None, None], choices[level + 1, None, :, None]
            wanted = self.levels[level] + part[:, 0] * (self.levels[level + 1] - self.levels[level])
            step = (self.share[level] * self.cost(here + part * (there - here), wanted, alpha)).sum(-1)
            reached, back = (reached[:, None] + step).min(0)
            came.append(back)
        at = [int(reached.argmin())]
        for back in reversed(came):
            at.append(int(back[at[-1]]))
        return choices[torch.arange(len(choices)), torch.tensor(at[::-1])]

    def __call__(self) -> tuple[float, Tensor]:
        """Return the least criterion found and its path [levels, devices]; never more than that of `filled`."""
        window, count = self.moments.window, len(self.levels)
        like = self.levels.new_empty(count * POPULATION, len(self.signed))
        start = window.g_min + (window.g_max - window.g_min) * self.noise.uniform("start", like)
        g = self.projected(start.view(count, POPULATION, -1))
        best = self.filled()
        least = self.total(best)
        for turn in range(ROUNDS):
            alpha = self.factor(best)
            g = self.evolved(g, alpha, self.noise.child(str(turn)))
            # What is good for one weight, moved to all others, lets a path stay on one kind of split.
            moved = [self.projected(each.expand(count, count, -1)) for each in (g[:, 0], best)]
            found = self.path(torch.cat((g[:, :KEPT], best[:, None], *moved), dim=1), alpha)
            its = self.total(found)
            best, least = (found, its) if its < least else (best, least)
        return least, best
