"""The pulse response of devices: a few of them pulsed up, down, and up and down in turn, and what that says of them."""

from __future__ import annotations

import math

import numpy as np
import torch
from attrs import field, frozen
from numpy.typing import NDArray

from ohmlet.cells import CellArray, DeviceArray, build_array
from ohmlet.errors import ConfigError
from ohmlet.interfaces.device import ArraySite, UnitCell
from ohmlet.interfaces.pulses import PulsedUpdate
from ohmlet.nn.kernels import kernels_of
from ohmlet_kernels.noise import Stream

__all__ = ["Response", "Steps", "measure"]

Array = NDArray[np.float64]

ONE_PULSE = PulsedUpdate(desired_bl=1, update_management=False, update_bl_management=False)
"""With errors of one and a learning rate of the cells' step, each vector is one pulse for each cell."""

LOOKS = 1000
"""Most weights that are kept of a device for one train of pulses."""

SATURATED = 0.02
"""Share of the way that the last quarter of a train may go before more pulses are given."""

LONGEST = 16.0
"""Full scales that pulses of mean size may go before a device counts as one without bounds."""

SAME = 1e-5
"""Weights that differ by less than this share of the window are one level."""

MET = 0.1
"""Share of the window within which weights that come from both ends of it have met in the symmetry point."""


@frozen(kw_only=True)
class Steps:
    """Sizes of steps in bins of the weight: over all devices, and the spread from pulse to pulse of single ones."""

    w: Array
    """Middle of each bin."""
    mean: Array
    cycle_to_cycle: Array
    """Standard deviation of a device's steps, mean over devices."""


@frozen(kw_only=True, eq=False)
class Response:
    """What `measure` saw: weights [looks, devices], `every` pulses apart, the first one before the first pulse."""

    granularity: float = field(metadata={"doc": "mean step that the device states"})
    every: int
    up: Array
    down: Array
    """From where `up` ended."""
    held_up: Array
    """As `up`, without write noise: what pulses act on, where reads see more than that."""
    held_down: Array
    from_top: Array
    """Pulses down and up in turn, from the top; `every` pairs apart."""
    from_bottom: Array
    """Pulses up and down in turn, from the bottom."""
    saturates: bool
    """Whether further pulses no longer move the devices much."""

    @property
    def window(self) -> tuple[Array, Array]:
        """The lowest and the highest weight that each device comes to, [devices] each."""
        return _end(self.down), _end(self.up)

    @property
    def symmetry_point(self) -> Array | None:
        """The weight [devices] where steps up and down are equal, or None where pulses in turn from both ends do not meet."""
        top, bottom = _end(self.from_top), _end(self.from_bottom)
        low, high = self.window
        if not self.saturates or abs(float((top - bottom).mean())) > MET * float((high - low).mean()):
            return None
        point: Array = (top + bottom) / 2
        return point

    def steps(self, train: str, bins: int = 12) -> Steps:
        """Return sizes of single steps of the train `up` or `down` in bins of equal width over its weights."""
        weights: Array = getattr(self, f"held_{train}")
        before, change = weights[:-1], np.diff(weights, axis=0) / self.every
        edges = np.linspace(weights.min(), weights.max(), bins + 1)
        which = np.clip(np.digitize(before, edges) - 1, 0, bins - 1)
        middle, mean, spread = [], [], []
        for number in range(bins):
            inside = which == number
            own = [change[inside[:, device], device] for device in range(weights.shape[1])]
            own = [each for each in own if len(each) >= 3]
            if own:
                deviations = [float(each.std(ddof=1)) for each in own]
                middle.append((edges[number] + edges[number + 1]) / 2)
                # Devices count alike, however long they dwell in a bin.
                mean.append(float(np.mean([each.mean() for each in own])))
                # Several pulses between looks: their spreads add up in squares.
                spread.append(float(np.mean(deviations)) * math.sqrt(self.every))
        return Steps(w=np.array(middle), mean=np.array(mean), cycle_to_cycle=np.array(spread))

    @property
    def levels(self) -> int | None:
        """How many weights a device takes, at most, where pulses up and down lead through the same ones; None for a continuum."""
        most = 0
        if not self.saturates:
            return None
        for up, down in zip(self.held_up.T, self.held_down.T, strict=True):
            unit = SAME * max(float(np.ptp(np.concatenate((up, down)))), 1e-12)
            one, other = (set(np.round(each / unit).tolist()) for each in (up, down))
            inside = (one | other) - {min(one | other), max(one | other)}
            if len(one | other) < 2 or 2 * len(one & other & inside) < len(inside):
                return None
            most = max(most, len(one | other))
        return most

    def switching(self, train: str) -> float:
        """Return the part of pulses of the train `up` or `down` that switch a device of two states which is not there yet."""
        weights: Array = getattr(self, f"held_{train}")
        middle = (self.held_up.max(axis=0) + self.held_up.min(axis=0)) / 2
        there = weights > middle if train == "up" else weights < middle
        waiting = ~there[:-1]
        switched = float((waiting & there[1:]).sum()) / max(float(waiting.sum()), 1.0)
        return float(1 - (1 - switched) ** (1 / self.every))

    def summary(self) -> dict[str, str]:
        """Return the table: words -> value, with the standard deviation between devices."""
        levels = self.levels
        (low, high), point = self.window, self.symmetry_point
        wide, sizes = high - low, np.abs(np.diff(self.up, axis=0)).mean() / self.every
        up, down = (self.at_middle(train) for train in ("up", "down"))
        return {
            "devices": str(len(low)),
            "step stated (granularity)": f"{self.granularity:.3g}",
            "step up at mid-window": _spread(up) if len(up) else "none seen",
            "step down at mid-window": _spread(down) if len(down) else "none seen",
            "window, lowest weight": _spread(low) if self.saturates else "no bound seen",
            "window, highest weight": _spread(high) if self.saturates else "no bound seen",
            **(
                {"states (window / granularity)": _spread(wide / self.granularity) if self.saturates else "no bound seen"}
                if levels is None
                else {"states (distinct weights)": str(levels)}
            ),
            **({f"pulses {way} that switch": f"{self.switching(way):.3g}" for way in ("up", "down")} if levels == 2 else {}),
            "symmetry point": "none: pulses up and down in turn do not meet" if point is None else _spread(point),
            "cycle-to-cycle spread of a step": "none" if sizes == 0 else self._noise(),
        }

    def at_middle(self, train: str) -> Array:
        """Return the mean step of each device in the middle half of its own window; devices that take no step there are left out."""
        weights: Array = getattr(self, f"held_{train}")
        low, high = weights.min(axis=0), weights.max(axis=0)
        inside = np.abs(weights[:-1] - (low + high) / 2) <= (high - low) / 4
        change = np.diff(weights, axis=0) / self.every
        return np.array([change[inside[:, device], device].mean() for device in range(weights.shape[1]) if inside[:, device].any()])

    def _noise(self) -> str:
        found = self.steps("up")
        if not len(found.mean):
            return "too few steps to tell"
        near = int(np.argmin(np.abs(found.w - float(np.mean((self.held_up.min(), self.held_up.max()))))))
        size = abs(float(found.mean[near]))
        return f"{float(found.cycle_to_cycle[near]):.3g}" + (f", {float(found.cycle_to_cycle[near]) / size:.0%} of a step" if size else "")


def _end(weights: Array) -> Array:
    """Return the mean of the last quarter of a train, [devices]."""
    mean: Array = weights[-max(len(weights) // 4, 1) :].mean(axis=0)
    return mean


def _spread(values: Array) -> str:
    return f"{values.mean():.3g} ± {values.std(ddof=1) if len(values) > 1 else 0.0:.2g}"


class _Bench:
    """The devices, and how many pulses they have had."""

    def __init__(self, cell: UnitCell, devices: int, seed: int, engine: str) -> None:
        def read(w: torch.Tensor, x: torch.Tensor, noise: Stream) -> torch.Tensor:
            del noise
            return x.to(w.dtype) @ w.mT

        self.site = ArraySite(devices, 1, torch.tensor(seed), kernels_of(engine), read)
        self.array: CellArray = build_array(cell, self.site)
        self.given = 0

    def weights(self) -> Array:
        found: Array = self.array.weights()[:, 0].to(torch.float64).numpy().copy()
        return found

    def held(self) -> Array:
        """Return the weights that pulses act on, of cells of several devices put together as reads put them."""
        # Only the cell knows how its devices' weights make up its own: it is asked with the devices as they are, not as reads see them.
        single = [part for part in self.array.modules() if isinstance(part, DeviceArray) and part.noisy]
        for part in single:
            part.noisy = False
        try:
            return self.weights()
        finally:
            for part in single:
                part.noisy = True

    def pulse(self, up: list[bool]) -> None:
        """Give every device these pulses, one after the other."""
        ordinals = torch.arange(self.given, self.given + len(up))
        direction = torch.tensor([-1.0 if each else 1.0 for each in up])[:, None]
        noise = Stream(self.site.key, ordinals, ordinals[:1], "response")
        errors = direction.expand(-1, self.site.rows).contiguous()
        self.array.pulse(torch.ones(len(up), 1), errors, self.array.granularity, ONE_PULSE, noise)
        self.given += len(up)

    def train(self, looks: int, each: list[bool]) -> tuple[Array, Array]:
        """Return the weights before and after each of `looks` times the pulses `each`: as reads see them, and as held."""
        seen, held = [self.weights()], [self.held()]
        for _ in range(looks):
            self.pulse(each)
            seen.append(self.weights())
            held.append(self.held())
        return np.stack(seen), np.stack(held)


def _enough(cell: UnitCell, devices: int, seed: int, engine: str) -> tuple[int, bool]:
    """Return how many pulses bring devices from one end of their window to the other, and whether they have ends."""
    # What pulses act on: reads of few devices with write noise would seem to move for ever.
    bench, count = _Bench(cell, devices, seed, engine), 32
    bench.pulse([False] * count)
    while True:
        start = bench.held()
        bench.pulse([True] * (count - count // 4))
        late = bench.held()
        bench.pulse([True] * (count // 4))
        end = bench.held()
        way = float((end - start).mean())
        if way > cell.granularity and abs(float((end - late).mean())) <= SATURATED * way:
            return count, True
        if count * cell.granularity > LONGEST:
            return count, False
        count *= 2
        bench.pulse([False] * count)


def measure(cell: UnitCell, *, devices: int = 24, pulses: int | None = None, seed: int = 0, engine: str = "auto") -> Response:
    """Return the pulse response of fresh devices: up, down, and in turn from both ends of the window.

    `cell` is what sits at a crosspoint, one device or several; `devices` of them are made, each with its own parameters. `pulses` is the
    length of a train, as many as the devices need to saturate unless given. Raises ConfigError for less than two devices, less than
    eight pulses, or devices that no pulse moves.
    """
    if devices < 2:
        raise ConfigError(f"devices = {devices} shows no spread between devices: give at least 2")
    if pulses is not None and pulses < 8:
        raise ConfigError(f"pulses = {pulses} is too short a train to see a response: give at least 8")
    count, saturates = _enough(cell, devices, seed, engine) if pulses is None else (pulses, True)
    every = -(-count // LOOKS)
    looks, bench = count // every, _Bench(cell, devices, seed, engine)
    fresh = bench.weights()
    if saturates:
        bench.pulse([False] * count)
    up, held_up = bench.train(looks, [True] * every)
    down, held_down = bench.train(looks, [False] * every)
    from_bottom, _ = bench.train(looks, [True, False] * every)
    bench.pulse([True] * looks * every)
    from_top, _ = bench.train(looks, [False, True] * every)
    if np.array_equal(up[0], up[-1]) and np.array_equal(down[0], fresh):
        raise ConfigError(f"no pulse moves {type(cell).__name__}: its step is zero, or its bounds leave no room")
    if pulses is not None:
        late = abs(float((up[-1] - up[-1 - max(looks // 4, 1)]).mean()))
        saturates = late <= SATURATED * abs(float((up[-1] - up[0]).mean()))
    return Response(
        granularity=cell.granularity,
        every=every,
        up=up,
        down=down,
        held_up=held_up,
        held_down=held_down,
        from_top=from_top,
        from_bottom=from_bottom,
        saturates=saturates,
    )
