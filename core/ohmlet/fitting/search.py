"""The search for the settings of devices: where it begins, and its turns between settings and scatter."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from attrs import evolve, frozen
from numpy.typing import NDArray

from ohmlet.errors import ConfigError
from ohmlet.fitting.devices import own_settings, spread_settings
from ohmlet.fitting.least_squares import Solution, minimise
from ohmlet.fitting.measurements import Trace
from ohmlet.fitting.residuals import Residuals, padded
from ohmlet.fitting.scatter import Scatter, noise_settings, scatter, without_noise
from ohmlet.fitting.settings import coordinate, known_settings, numeric_settings, setting, with_settings
from ohmlet.fitting.starts import determined, edges, first_guess, screened
from ohmlet.fitting.step_model import StepModel
from ohmlet.interfaces.device import Device

__all__ = ["Search", "levels", "search"]

Array = NDArray[np.float64]
Said = Callable[[str], None]

OBSERVER = 0.1
"""Share of what a read differs by that the weight follows while a search looks for where to begin: far-off settings stay comparable."""

SCREENED = 4
"""Devices that a search begins with."""

ROUNDS = 6
"""Most turns of settings and scatter."""


@frozen(eq=False)
class Search:
    """What a search ended with."""

    residuals: Residuals
    solution: Solution
    shared: NDArray[np.bool_]
    scatter: Scatter
    noise: tuple[str, ...]
    undetermined: Mapping[str, str]


def _box(residuals: Residuals) -> tuple[Array, Array]:
    return np.array([each.low for each in residuals.coordinates]), np.array([each.high for each in residuals.coordinates])


def _asked(device: Device, free: Sequence[str] | Mapping[str, object] | None, model: StepModel) -> tuple[str, ...]:
    """Return the settings to look for: those asked for, or all that the step depends on and that spread no devices."""
    spreading, names = spread_settings(device), numeric_settings(device)
    if free is not None:
        wanted = known_settings(device, tuple(free))
        for name in wanted:
            if name in spreading:
                raise ConfigError(f"{name} is how devices differ: it comes of many traces by itself and is not to be freed")
        return wanted
    here, out = model.inputs(device), []
    for name in names:
        value = setting(device, name)
        for nudge in (1e-3, -1e-3):
            try:
                moved = model.inputs(with_settings(device, {name: value + nudge * (abs(value) or 1.0)}))
            except (ValueError, ArithmeticError):
                continue
            if name not in spreading and not np.array_equal(moved, here, equal_nan=True):
                out.append(name)
            break
    return tuple(out)


def search(
    device: Device,
    traces: tuple[Trace, ...],
    free: Sequence[str] | Mapping[str, tuple[float, float, float]] | None,
    estimator: str,
    read: float | None,
    starts: int,
    said: Said,
) -> Search:
    """Return the settings that fit traces best: from several starts, then in turns with the scatter of steps and reads.

    Raises ConfigError for traces without a read after a pulse, and for settings that none of the reads depends on.
    """
    model = StepModel(device)
    asked = _asked(device, free, model)
    guess = {name: value for name, value in first_guess(device, traces).items() if name in asked}
    limits: dict[str, tuple[float, float]] = {}
    if isinstance(free, Mapping):
        for name in asked:
            start, low, high = free[name.partition("[")[0]] if name not in free else free[name]
            guess[name], limits[name] = min(max(start, low), high), (low, high)
    for name, value in guess.items():
        try:
            device = with_settings(device, {name: value})
        except (ValueError, ArithmeticError):
            continue
    direction, seen = padded(traces)
    if not (direction != 0).any() or np.isfinite(seen).sum() - len(traces) < 1:
        raise ConfigError("no read follows a pulse: there is nothing to fit")
    coordinates = tuple(coordinate(device, name, setting(device, name), limits.get(name)) for name in asked)
    few = slice(0, SCREENED)
    shape = (*seen.shape, model.states)
    gains = np.zeros(shape)
    gains[..., 0] = OBSERVER
    first = Residuals(model, device, coordinates, direction[:, few], seen[:, few], gains[:, few])
    middle: Array = np.array([each.at(setting(device, each.path)) for each in coordinates])
    at_edges = middle.copy()
    for place, each in enumerate(coordinates):
        if each.path in guess and each.path in edges(traces) and each.path not in limits:
            at_edges[place] = each.at(edges(traces)[each.path])
    places = screened(first, middle, at_edges, 32 * max(starts, 1), max(starts, 1))
    if not places:
        raise ConfigError(f"{type(device).__name__} takes none of the settings that were tried: set those that it needs")
    kept, undetermined = determined(first, places)
    names = {coordinates[place].path for place in range(len(asked)) if place not in kept}
    tiled = np.tile(places[0], (first.seen.shape[1], 1))
    noise = noise_settings(first, device, tiled, tuple(names if free is None else names & set(asked))) if estimator == "filter" else ()
    noise = tuple(name for name in asked if name in noise)
    no_effect = {coordinates[place].path: why for place, why in undetermined.items() if coordinates[place].path not in noise}
    if not kept:
        raise ConfigError(f"the reads tell none of {', '.join(asked)}: " + "; ".join(f"{name}: {why}" for name, why in no_effect.items()))
    chosen = tuple(coordinates[place] for place in kept)
    first = evolve(first, coordinates=chosen, known={})
    shared_all = np.zeros(len(chosen), dtype=np.bool_)
    # Every start with every device of a few, side by side, each searched by itself.
    few_count, many = first.seen.shape[1], len(places)
    side = evolve(
        first,
        direction=np.tile(first.direction, (1, many)),
        seen=np.tile(first.seen, (1, many)),
        gains=np.tile(gains[:, few], (1, many, 1)),
        known={},
    )
    said(f"{many} starts of {len(chosen)} settings")
    found = minimise(side.normal, np.concatenate([np.tile(place[kept], (few_count, 1)) for place in places]), shared_all, _box(side), 50)
    cost = found.normal.cost.reshape(many, few_count)
    at = found.at.reshape(many, few_count, -1)
    winners = at[cost.argmin(0), np.arange(few_count)]
    said(f"best of each device, rms {' '.join(f'{each:.3g}' for each in np.sqrt(2 * cost.min(0) / np.isfinite(first.seen).sum(0)))}")
    interrupted = found.interrupted
    whole = Residuals(model, device, chosen, direction, seen, gains)
    common = np.median(winners, axis=0)
    shared = ~own_settings(whole, common) if len(traces) > 1 else shared_all
    begin = np.tile(common, (seen.shape[1], 1))
    begin[:few_count, ~shared] = winners[:, ~shared]
    if estimator == "trajectory":
        whole = evolve(whole, gains=None, known={})
        others = [np.tile(np.median(each, axis=0), (seen.shape[1], 1)) for each in at]
        begins = [begin, *sorted(others, key=lambda each: float(whole.normal(each).cost.sum()))[:2]]
        solution = _best_of(whole, begins, shared, 80)
        left = without_noise(whole, solution.at)
        whole = evolve(whole, variance=left.filter.variance)
        solution = Solution(solution.at, whole.normal(solution.at), interrupted or solution.interrupted)
        return Search(whole, solution, shared, left, (), no_effect)
    solution = _best_of(whole, [begin, *winners[:, None].repeat(seen.shape[1], 1)], shared, 30)
    guessed: Scatter | None = None
    for turn in range(ROUNDS):
        interrupted = interrupted or solution.interrupted
        made = scatter(whole, solution.at, shared, noise, read, guessed)
        whole = evolve(whole, device=with_settings(device, made.settings), gains=made.filter.gains, variance=made.filter.variance, known={})
        settled = guessed is not None and all(
            abs(math.log(new / old)) < 0.02 for new, old in zip(levels(made), levels(guessed), strict=True) if min(new, old) > 1e-4
        )
        guessed = made
        said(f"turn {turn + 1}: read noise {made.read:.3g}" + "".join(f", {name} {value:.3g}" for name, value in made.settings.items()))
        if interrupted or settled:
            break
        begins = [solution.at]
        if turn == 0:
            # What came out of other starts may be likelier, now that the scatter is known.
            others = [np.tile(np.median(each, axis=0), (seen.shape[1], 1)) for each in at]
            begins += sorted(others, key=lambda each: float(whole.normal(each).cost.sum()))[:2]
        solution = _best_of(whole, begins, shared, 30)
    assert guessed is not None
    at_end = _unbounded(whole, solution.at, shared, device)
    final = Solution(at_end, whole.normal(at_end), interrupted)
    return Search(whole, final, shared, guessed, noise, no_effect)


def _unbounded(residuals: Residuals, t: Array, shared: NDArray[np.bool_], start: Device) -> Array:
    """Return the coordinates [B, p] with bounds back where they began, beyond all reads, where no read shows that the weight stops.

    The highest of many noisy reads always lies near some bound; a bound has to be likelier than none by as much as AIC asks of a setting.
    """
    for place, each in enumerate(residuals.coordinates):
        if each.path not in {"w_max", "w_min"}:
            continue
        beyond = t.copy()
        beyond[:, place] = np.maximum(t[:, place], each.at(setting(start, each.path))) if each.sign else t[:, place]
        worse = residuals.normal(beyond).cost - residuals.normal(t).cost
        needless = np.full(len(t), bool(worse.sum() < 1.0)) if shared[place] else worse < 1.0
        t = np.where(needless[:, None], beyond, t)
    return t


def _best_of(residuals: Residuals, begins: Sequence[Array], shared: NDArray[np.bool_], iterations: int) -> Solution:
    """Return the best of the solutions from several beginnings [B, p]: of each device by itself where nothing is shared."""
    best: Solution | None = None
    for begin in begins:
        found = minimise(residuals.normal, begin, shared, _box(residuals), iterations)
        if best is None:
            best = found
        elif shared.any():
            best = found if found.normal.cost.sum() < best.normal.cost.sum() else best
        else:
            at = np.where((found.normal.cost < best.normal.cost)[:, None], found.at, best.at)
            best = Solution(at, residuals.normal(at), found.interrupted)
        if found.interrupted:
            return evolve(best, interrupted=True)
    assert best is not None
    return best


def levels(found: Scatter) -> tuple[float, ...]:
    """Return the noise settings and the standard deviation of reads."""
    return (*found.settings.values(), found.read)
