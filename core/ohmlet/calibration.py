"""Input ranges from data: what a full-scale input stands for, measured crossbar by crossbar."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from attrs import field, frozen
from torch import Tensor, nn

from ohmlet.conversion import analog_layers
from ohmlet.errors import ConfigError, OrderError, UnprogrammedWarning
from ohmlet.nn.layer import arrays_of, joined
from ohmlet.quantile import Magnitudes

__all__ = ["Calibration", "RangeRow", "calibrate"]


@frozen(kw_only=True)
class RangeRow:
    """One crossbar's input range in model units, or the range of one of its converters in those of one full input times weight."""

    crossbar: str
    before: float | None = field(metadata={"doc": "None for a range that had never been set"})
    after: float
    clipped: float = field(metadata={"doc": "fraction of the inputs, or outputs, beyond the new range"})
    values: int = field(metadata={"doc": "inputs, or outputs, seen"})


@frozen
class Calibration:
    """What `calibrate` did: a row per crossbar, and the crossbars that have no range of their own."""

    rows: tuple[RangeRow, ...]
    skipped: tuple[str, ...] = ()

    def __str__(self) -> str:
        cells = [("crossbar", "before", "after", "clipped", "inputs")]
        for row in self.rows:
            before = "-" if row.before is None else f"{row.before:.4g}"
            cells.append((row.crossbar, before, f"{row.after:.4g}", f"{row.clipped:.2g}", str(row.values)))
        widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]
        lines += [f"without a range of their own, and left as they are: {', '.join(self.skipped)}"] if self.skipped else []
        return "\n".join(lines)


class _Crossbar:
    """One crossbar that is calibrated, and the inputs that it has seen."""

    def __init__(self, name: str, module: Any) -> None:
        self.name, self.module, self.seen = name, module, Magnitudes()
        self.count: Callable[[Magnitudes, Tensor], None] = Magnitudes.see

    def before(self) -> float | None:
        """Return the range as it stands, None where there is none yet."""
        try:
            return float(self.module.full_scale())
        except OrderError:
            return None

    def mvm(self, x: Tensor, w: Tensor, noise: object) -> Tensor:
        """Count inputs on their way to the exact product."""
        try:
            self.count(self.seen, x)
        except ValueError as error:
            raise ConfigError(f"the inputs of {self.name}: {error}; look at the data and at the layers before it") from None
        return _exact(x, w, noise)

    def mapped_mvm(self, x: Tensor, weight: Tensor, divisor: Tensor, noise: object) -> Tensor:
        """Do so for weights that are still to be divided."""
        return self.mvm(x, weight / divisor, noise)


@torch.no_grad()
def calibrate(
    model: nn.Module,
    batches: Iterable[Any],
    *,
    quantile: float = 0.9999,
    output_quantile: float | None = None,
    exact: bool = False,
    progress: Callable[[int], object] | None = None,
) -> Calibration:
    """Set the input range of every crossbar that has one of its own to a quantile of the |inputs| it sees, and return a report.

    `batches` yields a model's input, a tuple that starts with it (inputs, labels), or a mapping of keyword arguments. Ranges of type
    `learned` stop following the data and are learned from there; those of type `fixed` without a value get one. The range is at most
    2^-8 of its value above the quantile, from a histogram of constant size; with `exact` a second pass over the batches, which must then
    give the same inputs again, finds the quantile itself, to float32. `quantile` 1 is the largest input. `progress` is called after
    each batch with their number so far.

    Converters whose `adc.bound` is `calibrated` get a range of their own each, afterwards and from a further pass over the batches, in
    which crossbars have all their noise and converters let everything pass: that of the smallest mean squared error of an ideal
    quantiser, or one that holds the quantile `output_quantile` of the |outputs|. On slices of whole digits a step is a power of two of
    the smallest difference that there is, so that slices are shifted and added.

    For the input ranges the model runs in evaluation mode with exact products of its mapped weights, so that no layer sees the old
    ranges, converters or noise of those before it; afterwards its modes and counters are what they were. Call it before the model is
    distributed over processes. Raises ConfigError when no crossbar has such a range, for a quantile outside (0, 1], for inputs that are
    not finite and for a quantile of zero, OrderError for a crossbar that sees no input; then no range has changed.
    """
    if isinstance(quantile, bool) or not isinstance(quantile, int | float) or not 0.0 < quantile <= 1.0:
        raise ConfigError(f"quantile must be above 0 and at most 1, got {quantile!r}")
    if output_quantile is not None and not (isinstance(output_quantile, int | float) and 0.0 < output_quantile <= 1.0):
        raise ConfigError(f"output_quantile must be above 0 and at most 1, got {output_quantile!r}")
    if exact and iter(batches) is batches:
        raise ConfigError("exact=True goes through the batches twice, and these can be used up: pass a list or a DataLoader")
    analog_layers(model, "calibrate")
    converters = _converters(model)
    crossbars, skipped = _crossbars(model, bool(converters))
    if output_quantile is not None and not converters:
        raise ConfigError("output_quantile has no effect: no converter has a range to calibrate (adc.bound calibrated)")
    if converters and crossbars and iter(batches) is batches:
        raise ConfigError("converters go through the batches once more, and these can be used up: pass a list or a DataLoader")
    rows = _calibrated_inputs(model, batches, crossbars, quantile, exact, progress) if crossbars else []
    if converters:
        rows += _calibrated_outputs(model, batches, converters, output_quantile, progress)
    return Calibration(tuple(rows), tuple(skipped))


def _calibrated_inputs(
    model: nn.Module,
    batches: Iterable[Any],
    crossbars: list[_Crossbar],
    quantile: float,
    exact: bool,
    progress: Callable[[int], object] | None,
) -> list[RangeRow]:
    """Set the input ranges of crossbars and return a row for each."""
    with _exact_products(model), torch.compiler.set_stance("force_eager"):
        _feed(model, batches, crossbars, Magnitudes.see, progress)
        _check(crossbars, quantile)
        if exact:
            for crossbar in crossbars:
                crossbar.seen.narrow(quantile)
            done = _feed(model, batches, crossbars, Magnitudes.see_again, progress)
            if any(crossbar.seen.count != crossbar.seen.counted_again for crossbar in crossbars):
                raise OrderError(
                    f"the second pass, {done} batches, gave another number of inputs: pass batches that repeat, or exact=False"
                )
    rows = []
    for crossbar in crossbars:
        before, after = crossbar.before(), crossbar.seen.quantile(quantile)
        crossbar.module.set_full_scale(after)
        rows.append(
            RangeRow(crossbar=crossbar.name, before=before, after=after, clipped=crossbar.seen.beyond(quantile), values=crossbar.seen.count)
        )
    return rows


def _converters(model: nn.Module) -> dict[str, Any]:
    """Return the converters whose range is measured, by crossbar and name."""
    return {
        f"{joined(path, f'block{index}')} {module.name}": module
        for path, array in arrays_of(model).items()
        for index, crossbar in enumerate(array.crossbars)
        for module in crossbar.modules()
        if getattr(module, "calibrates_outputs", False)
    }


def _calibrated_outputs(
    model: nn.Module,
    batches: Iterable[Any],
    converters: dict[str, Any],
    quantile: float | None,
    progress: Callable[[int], object] | None,
) -> list[RangeRow]:
    """Set the ranges of converters and return a row for each."""
    try:
        for module in converters.values():
            module.observed = Magnitudes()
        with _as_before(model), torch.compiler.set_stance("force_eager"):
            _feed(model, batches, [], Magnitudes.see, progress)
        seen: dict[str, Magnitudes] = {name: module.observed for name, module in converters.items()}
    except ValueError as error:
        raise error if isinstance(error, ConfigError) else ConfigError(f"outputs of crossbars: {error}; look at the data") from None
    finally:
        for module in converters.values():
            module.observed = None
    for name, magnitudes in seen.items():
        if not magnitudes.count:
            raise OrderError(f"no batch reached {name}: pass batches that use every layer")
        # A slice of whole digits may hold none.
        reach = magnitudes.largest if quantile is None else magnitudes.quantile(quantile)
        if reach == 0.0 and converters[name].unit is None:
            raise ConfigError(f"the outputs that {name} converts are zero: pass other batches or a larger output_quantile")
    rows = []
    for name, module in converters.items():
        magnitudes, before = seen[name], float(module.bound)
        sizes, counts = magnitudes.histogram()
        after = module.settle(sizes, counts, None if quantile is None else magnitudes.quantile(quantile))
        clipped = float(counts[sizes > after].sum() / counts.sum())
        known = None if math.isnan(before) else before
        rows.append(RangeRow(crossbar=name, before=known, after=after, clipped=clipped, values=magnitudes.count))
    return rows


def _crossbars(model: nn.Module, or_none: bool) -> tuple[list[_Crossbar], list[str]]:
    """Return the crossbars with a range of their own, and the names of the others; raises ConfigError when there is none."""
    found, skipped = [], []
    for path, array in arrays_of(model).items():
        for index, module in enumerate(array.crossbars):
            name = joined(path, f"block{index}")
            if getattr(module, "adjustable", False):
                found.append(_Crossbar(name, module))
            else:
                skipped.append(name)
    if not found and not or_none:
        raise ConfigError(
            "no crossbar has an input range that can be calibrated: "
            "set tile.forward.input_range to learned, or to fixed without a value, with ohmlet.retarget"
        )
    return found, skipped


def _check(crossbars: list[_Crossbar], quantile: float) -> None:
    """Raise an error when a crossbar has seen nothing that could be a range."""
    idle = [crossbar.name for crossbar in crossbars if not crossbar.seen.count]
    if idle:
        raise OrderError(f"no batch reached {', '.join(idle)}: pass batches that use every layer")
    for crossbar in crossbars:
        if crossbar.seen.quantile(quantile) <= 0.0:
            words = "all of its inputs are zero" if crossbar.seen.largest <= 0.0 else f"its largest input is {crossbar.seen.largest:.4g}"
            raise ConfigError(f"the {quantile!r} quantile of {crossbar.name} is zero ({words}); pass other batches or a larger quantile")


def _feed(
    model: nn.Module,
    batches: Iterable[Any],
    crossbars: list[_Crossbar],
    count: Callable[[Magnitudes, Tensor], None],
    progress: Callable[[int], object] | None,
) -> int:
    """Run a model on batches, counting what each crossbar gets; returns how many batches there were."""
    for crossbar in crossbars:
        crossbar.count = count
        crossbar.module.mvm = crossbar.mvm
        crossbar.module.mapped_mvm = crossbar.mapped_mvm
    done = 0
    for batch in batches:
        if isinstance(batch, Mapping):
            model(**batch)
        else:
            model(batch[0] if isinstance(batch, tuple | list) else batch)
        done += 1
        if progress is not None:
            progress(done)
    return done


def _exact(x: Tensor, w: Tensor, noise: object) -> Tensor:
    """Return w x [..., S, R, out] for inputs [..., S, R, in]."""
    del noise
    product: Tensor = torch.matmul(x.flatten(-3, -2), w.mT).unflatten(-2, x.shape[-3:-1])
    return product


def _mapped_exact(x: Tensor, weight: Tensor, divisor: Tensor, noise: object) -> Tensor:
    return _exact(x, weight / divisor, noise)


@contextmanager
def _as_before(model: nn.Module) -> Iterator[None]:
    """Let a model run in evaluation mode; modes, counters and all other state of its crossbars are as before afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    # Counters and running averages are single numbers; larger buffers are what cells hold, which reading leaves alone.
    kept = [(buffer, buffer.clone()) for array in arrays_of(model).values() for buffer in array.buffers() if buffer.numel() == 1]
    model.eval()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UnprogrammedWarning)
            yield
    finally:
        for module, training in modes:
            module.training = training
        for buffer, value in kept:
            buffer.copy_(value)


@contextmanager
def _exact_products(model: nn.Module) -> Iterator[None]:
    """Let every crossbar multiply exactly, in evaluation mode; modes and counters are as before afterwards."""
    modules = [module for array in arrays_of(model).values() for module in array.crossbars]
    with _as_before(model):
        try:
            for module in modules:
                module.mvm, module.mapped_mvm = _exact, _mapped_exact  # type: ignore[assignment]
            yield
        finally:
            for module in modules:
                del module.mvm, module.mapped_mvm
