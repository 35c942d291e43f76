"""Files of measured conductances, checked: every problem of a folder is told, not the first."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ohmlet.chip.export import MANIFEST, SCHEMA, csv_names, stem
from ohmlet.chip.targets import Target
from ohmlet.errors import ConfigError, shortened
from ohmlet.interfaces.noise_model import ConductanceWindow
from ohmlet.units import seconds

__all__ = ["ReadBack", "read_folder"]

Array = NDArray[np.float64]

TIMED = re.compile(r"^(?P<name>.*)@(?P<time>[^@]+)$")
CSV_AGREES = 1e-6
"""How far, relative to the window, a crossbar's CSV and NPZ may be apart before one of them counts as stale."""
TARGET_AGREES = 1e-4
"""The same for the mean target of the model and that of the manifest."""
SMALL = 1e-2
"""Conductances below this fraction of the targets' are in another unit, or the array was never written."""


class ReadBack(NamedTuple):
    """What was measured of each crossbar: conductances [times, devices, groups?, out, in] in uS at times in seconds."""

    times: tuple[float, ...]
    g: dict[str, Array]


def read_folder(folder: Path, targets: Mapping[str, tuple[Target, ConductanceWindow]], margin_uS: float | None) -> ReadBack:
    """Return what the files of a folder hold for a model's crossbars; raises ConfigError with a line for each problem."""
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder")
    problems = [*_manifest(folder, targets), *_strangers(folder, targets)]
    measured: dict[str, dict[float, Array]] = {}
    for name, (target, window) in targets.items():
        try:
            measured[name] = _crossbar(folder, target)
        except ConfigError as error:
            problems.extend(error.problems)
            continue
        for time, g in measured[name].items():
            problems.extend(f"{folder}: crossbar '{name}'{_at(time)}: {words}" for words in _values(g, target, window, margin_uS))
    times = sorted({time for by_time in measured.values() for time in by_time})
    for name, by_time in measured.items():
        absent = [time for time in times if time not in by_time]
        if absent:
            problems.append(f"{folder}: crossbar '{name}' was not read at {', '.join(f'{time:g} s' for time in absent)}, as others were")
    if problems:
        raise ConfigError(*problems)
    return ReadBack(tuple(times), {name: np.stack([by_time[time] for time in times]) for name, by_time in measured.items()})


def _at(time: float) -> str:
    return f" at {time:g} s" if time else ""


def _listed(times: Iterable[float]) -> str:
    return ", ".join(f"{time:g} s" for time in sorted(times))


def _manifest(folder: Path, targets: Mapping[str, tuple[Target, ConductanceWindow]]) -> list[str]:
    path = folder / MANIFEST
    if not path.is_file():
        return []
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        unit, schema = manifest["unit"], manifest["schema"]
        means = {row["crossbar"]: float(row["mean_target_uS"]) for row in manifest["crossbars"]}
    except (ValueError, KeyError, TypeError) as error:
        return [f"{path}: not a manifest of exported targets: {type(error).__name__}: {error}"]
    if schema != SCHEMA:
        return [f"{path}: written for schema {schema!r}, and this Ohmlet reads schema {SCHEMA}; install the matching version"]
    problems = [] if unit == "uS" else [f"{path}: unit {unit!r}; convert the values to uS and say so"]
    for name, mean in means.items():
        now = float(targets[name][0].g.double().mean()) if name in targets else mean
        if abs(now - mean) > TARGET_AGREES * max(abs(mean), 1e-6):
            problems.append(
                f"{path}: crossbar '{name}' was exported with targets of {mean:.6g} uS on average, and this model's are {now:.6g} uS; "
                "attach to the model that was exported, unchanged"
            )
    return problems


def _strangers(folder: Path, targets: Mapping[str, tuple[Target, ConductanceWindow]]) -> list[str]:
    known = {f"{stem(name)}.npz" for name in targets}
    known |= {f"{file}.csv" for target, _ in targets.values() for _, file in csv_names(target)}
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in {".csv", ".npz"})
    problems = []
    for path in found:
        timed = TIMED.match(path.stem)
        if (f"{timed['name']}.csv" if timed and path.suffix == ".csv" else path.name) not in known:
            problems.append(f"{path}: of no crossbar in this model; its crossbars are {shortened(', '.join(targets))}")
    return problems


def _crossbar(folder: Path, target: Target) -> dict[float, Array]:
    """Return one crossbar's conductances [devices, groups?, out, in] by time, from its NPZ or its CSVs, which must agree."""
    archive = folder / f"{stem(target.name)}.npz"
    from_npz = _npz(archive, target) if archive.is_file() else {}
    from_csv = _csv(folder, target)
    if not from_npz and not from_csv:
        files = ", ".join(f"{file}.csv" for _, file in csv_names(target))
        raise ConfigError(f"{folder}: nothing of crossbar '{target.name}': neither {archive.name} nor {files}")
    if from_npz and from_csv:
        if from_npz.keys() != from_csv.keys():
            raise ConfigError(
                f"{folder}: crossbar '{target.name}' was read at {_listed(from_npz)} by {archive.name} and at {_listed(from_csv)} by its "
                "CSVs; delete those that are not what was read"
            )
        for time, g in from_npz.items():
            apart = ~np.isclose(g, from_csv[time], rtol=CSV_AGREES, atol=CSV_AGREES, equal_nan=True)
            if apart.any():
                raise ConfigError(
                    f"{folder}: crossbar '{target.name}'{_at(time)}: {archive.name} and its CSVs differ in {int(apart.sum())} of "
                    f"{apart.size} devices; delete those that are not what was read"
                )
    return from_npz or from_csv


def _npz(path: Path, target: Target) -> dict[float, Array]:
    shape = tuple(target.g.shape)
    try:
        with np.load(path, allow_pickle=False) as arrays:
            held = {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, AttributeError) as error:
        raise ConfigError(f"{path}: not an NPZ file: {type(error).__name__}: {error}") from None
    if "g_uS" not in held:
        raise ConfigError(f"{path}: no array 'g_uS' in it, only {', '.join(held) or 'nothing'}")
    g = held["g_uS"]
    if not np.issubdtype(g.dtype, np.number) or np.iscomplexobj(g):
        raise ConfigError(f"{path}: 'g_uS' holds {g.dtype}, not real numbers")
    if "t_s" not in held:
        if g.shape != shape:
            raise ConfigError(f"{path}: 'g_uS' has shape {g.shape}, crossbar '{target.name}' {shape}; several times need 't_s' [times]")
        return {0.0: g.astype(np.float64)}
    times = np.atleast_1d(held["t_s"]).astype(np.float64)
    if g.shape != (len(times), *shape):
        raise ConfigError(f"{path}: 'g_uS' has shape {g.shape}, expected {(len(times), *shape)} for {len(times)} times 't_s'")
    if len({*times.tolist()}) != len(times):
        raise ConfigError(f"{path}: 't_s' states a time twice: {shortened(times.tolist())}")
    return {seconds(float(time)): g[i].astype(np.float64) for i, time in enumerate(times)}


def _csv(folder: Path, target: Target) -> dict[float, Array]:
    names, by_time, problems = csv_names(target), {}, []
    found: dict[float, dict[tuple[int, ...], Path]] = {}
    for index, name in names:
        for path in sorted(folder.glob(f"{_literal(name)}*.csv")):
            timed = TIMED.match(path.stem)
            if path.stem == name:
                found.setdefault(0.0, {})[index] = path
            elif timed and timed["name"] == name:
                try:
                    time = seconds(timed["time"])
                except ConfigError as error:
                    problems.append(f"{path}: {error}")
                    continue
                if index in found.setdefault(time, {}):
                    problems.append(f"{path}: a second file for the same time as {found[time][index].name}")
                found[time][index] = path
    for time, paths in found.items():
        absent = [name for index, name in names if index not in paths]
        problems += [f"{folder}: crossbar '{target.name}'{_at(time)}: no {name}.csv beside the others" for name in absent]
        by_time[time] = np.full(tuple(target.g.shape), np.nan)
        for index, path in paths.items():
            try:
                values = np.loadtxt(path, delimiter=",", ndmin=2, dtype=np.float64)
            except (OSError, ValueError) as error:
                problems.append(f"{path}: not a table of numbers separated by commas: {error}")
                continue
            if values.shape != tuple(target.g.shape[-2:]):
                problems.append(f"{path}: {values.shape[0]} rows of {values.shape[1]} values, expected {_times(target.g.shape[-2:])}")
                continue
            by_time[time][index] = values
    if problems:
        raise ConfigError(*problems)
    return by_time


def _times(shape: tuple[int, ...]) -> str:
    return f"{shape[0]} rows (outputs) of {shape[1]} (inputs)"


def _literal(name: str) -> str:
    return re.sub(r"([\[\]*?])", r"[\1]", name)


def _values(g: Array, target: Target, window: ConductanceWindow, margin_uS: float | None) -> list[str]:
    """Return what is wrong with measured conductances [devices, groups?, out, in]."""
    missing = np.isnan(g)
    if missing.any():
        first = tuple(int(i) for i in np.argwhere(missing)[0])
        return [f"{int(missing.sum())} of {g.size} devices are missing (NaN), the first at {first}; read them again, or fill them in"]
    margin = 0.5 * (window.g_max - window.g_min) if margin_uS is None else margin_uS
    low, high = window.g_min - margin, window.g_max + margin
    outside = (g < low) | (g > high)
    if outside.any():
        worst = g.flat[int(np.abs(g - 0.5 * (low + high)).argmax())]
        return [
            f"{int(outside.sum())} of {g.size} devices are outside {low:g} to {high:g} uS, such as {worst:g} uS, and the converter's "
            f"window is {window.g_min:g} to {window.g_max:g} uS; convert the values to uS, or allow more with margin_uS"
        ]
    wanted = float(target.g.abs().max())
    if np.abs(g).max() < SMALL * wanted:
        return [f"no device conducts more than {np.abs(g).max():.3g} uS, and targets reach {wanted:.3g} uS; convert the values to uS"]
    return []
