"""aihwkit's transfer and mixed-precision compounds as update algorithms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ohmlet.errors import ConfigError
from ohmlet.interop.aihwkit.device_cells import device
from ohmlet.interop.aihwkit.plain import class_of, real
from ohmlet.interop.aihwkit.pulses import pulsed_update
from ohmlet.interop.aihwkit.report import ImportRow

__all__ = ["update_algorithm"]

Rows = list[ImportRow]
MEAN = "mean"
"""The source codes gradients with the mean step of all devices."""


def same(parameters: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Return settings that are called the same in Ohmlet, switches and whole numbers as they are."""
    return {name: parameters[name] if isinstance(parameters[name], bool) else real(parameters[name]) for name in names}


def ignored(parameters: Mapping[str, Any], defaults: Mapping[str, Any], why: str, rows: Rows) -> None:
    """Add a row for each setting that differs from its default and that the source ignores."""
    for name, default in defaults.items():
        if parameters.get(name, default) != default:
            rows.append(ImportRow(name, parameters[name], f"nothing: {why}"))


def rates(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the learning rates; the source writes a fast one of 0 for that of the optimizer."""
    made = same(parameters, "scale_fast_lr", "scale_transfer_lr", "transfer_lr")
    fast = real(parameters["fast_lr"])
    return {**made, "fast_lr": fast} if fast > 0 else {**made, "fast_lr": 1.0, "scale_fast_lr": True}


def chain(parameters: Mapping[str, Any], rows: Rows) -> dict[str, Any]:
    """Return what TransferCompound and BufferedTransferCompound share."""
    cells = [device(each, rows) for each in parameters["unit_cell_devices"]]
    if len(cells) < 2:
        raise ConfigError(f"{class_of(parameters)} takes at least two unit_cell_devices, got {len(cells)}")
    made = {"fast": cells[0], "slow": cells[-1], "gradient_granularity": MEAN, **rates(parameters)}
    if len(cells) > 2:
        made["between"] = cells[1:-1]
    made |= same(parameters, "units_in_mbatch", "transfer_columns", "random_selection")
    made["n_reads_per_transfer"] = int(real(parameters["n_reads_per_transfer"]))
    made["transfer_update"] = pulsed_update(parameters["transfer_update"], rows)
    lists = {name: [real(value) for value in parameters[f"{name}_vec"]] for name in ("gamma", "transfer_every", "transfer_lr")}
    for name, values in lists.items():
        if not values:
            made[name] = real(parameters[name])
            continue
        if len(values) != len(cells):
            raise ConfigError(f"{name}_vec takes {len(cells)} numbers, got {len(values)}")
        made.pop(name, None)
        made[f"{name}_vec"] = values if name == "gamma" else values[:-1]
    if len(cells) > 2 and not lists["transfer_every"]:
        made["stage_ratio"] = "width"
    if not parameters["no_self_transfer"] and (not lists["transfer_every"] or lists["transfer_every"][-1]):
        raise ConfigError("no_self_transfer = False adds the last device to itself, which is not read here: set it to true")
    return made


def tiki_taka(parameters: Mapping[str, Any], rows: Rows) -> dict[str, Any]:
    """Return TransferCompound."""
    made = {"type": "tiki_taka", **chain(parameters, rows), **same(parameters, "with_reset_prob")}
    if made["with_reset_prob"] and not made["transfer_columns"]:
        rows.append(ImportRow("with_reset_prob", made.pop("with_reset_prob"), "nothing: transfer_columns is false"))
    return made


def ttv2(parameters: Mapping[str, Any], rows: Rows) -> dict[str, Any]:
    """Return BufferedTransferCompound."""
    ignored(parameters, {"with_reset_prob": 0.0}, "buffered transfers do not reset", rows)
    return {"type": "ttv2", **chain(parameters, rows), **same(parameters, "thres_scale", "step", "momentum", "forget_buffer")}


def chopped(parameters: Mapping[str, Any], rows: Rows) -> dict[str, Any]:
    """Return what ChoppedTransferCompound and DynamicTransferCompound share."""
    cells = [device(each, rows) for each in parameters["unit_cell_devices"]]
    if len(cells) != 2:
        raise ConfigError(f"{class_of(parameters)} takes two unit_cell_devices, got {len(cells)}")
    if real(parameters["n_reads_per_transfer"]) != 1:
        raise ConfigError(f"n_reads_per_transfer {parameters['n_reads_per_transfer']} is for unchopped transfers; leave it at 1")
    ignored(parameters, {"random_selection": False, "with_reset_prob": 0.0}, "chopped transfers go through all slices and reset none", rows)
    for name in ("gamma_vec", "transfer_every_vec", "transfer_lr_vec"):
        if parameters[name]:
            raise ConfigError(f"{name} of a chopped transfer is not read here: state {name.removesuffix('_vec')}")
    if not parameters["no_self_transfer"]:
        raise ConfigError("no_self_transfer = False adds the last device to itself, which is not read here: set it to true")
    made = {"fast": cells[0], "slow": cells[1], "gradient_granularity": MEAN, **rates(parameters)}
    made |= same(parameters, "gamma", "transfer_columns", "in_chop_prob", "auto_granularity", "step", "momentum", "forget_buffer")
    made |= same(parameters, "auto_scale", "correct_gradient_magnitudes")
    every = real(parameters["transfer_every"])
    made["transfer_every"] = abs(every)
    if every < 0:
        made["units_in_states"] = True
        rows.append(
            ImportRow("transfer_every", every, f"{-every:g} of the fast device's states; the source makes every such transfer twice")
        )
        ignored(parameters, {"units_in_mbatch": False}, "the period follows from the number of states", rows)
    else:
        made["units_in_mbatch"] = bool(parameters["units_in_mbatch"])
    if made["auto_scale"] and real(parameters["fast_lr"]) <= 0:
        made["auto_scale"] = False
        rows.append(ImportRow("auto_scale", True, "nothing: fast_lr is 0"))
    if made["auto_scale"]:
        made |= same(parameters, "auto_momentum")
    else:
        ignored(parameters, {"auto_momentum": 0.99}, "auto_scale is off", rows)
    unit = real(parameters["buffer_granularity"])
    made["buffer_granularity"] = unit if unit > 0 else 1.0
    made["transfer_update"] = pulsed_update(parameters["transfer_update"], rows)
    return made


def c_ttv2(parameters: Mapping[str, Any], rows: Rows) -> dict[str, Any]:
    """Return ChoppedTransferCompound; raises ConfigError for a visible fast device, whose signs the source undoes at wrong cells."""
    made = {"type": "c_ttv2", **chopped(parameters, rows), **same(parameters, "out_chop_prob", "no_buffer")}
    if made["gamma"]:
        rows.append(ImportRow("gamma", made["gamma"], "the same, with the signs undone where they are: the source mixes the cells up"))
    if made["in_chop_prob"]:
        made |= same(parameters, "in_chop_random")
    if made["no_buffer"]:
        for name in ("momentum", "forget_buffer"):
            made.pop(name)
        ignored(parameters, {"momentum": 0.0, "forget_buffer": True}, "no_buffer is on", rows)
    return made


def agad(parameters: Mapping[str, Any], rows: Rows) -> dict[str, Any]:
    """Return DynamicTransferCompound."""
    made = {"type": "agad", **chopped(parameters, rows), **same(parameters, "in_chop_random", "tail_weightening")}
    made["correct_accumulation"] = bool(parameters["experimental_correct_accumulation"])
    ignored(parameters, {"out_chop_prob": 0.0, "no_buffer": False}, "the source ignores it here", rows)
    if made["forget_buffer"]:
        ignored(parameters, {"buffer_cap": 0.0}, "forget_buffer is on", rows)
    else:
        made |= same(parameters, "buffer_cap")
    return made


def mixed_precision(parameters: Mapping[str, Any], rows: Rows) -> dict[str, Any]:
    """Return MixedPrecisionCompound; the source transfers after the first vector of the next period."""
    made: dict[str, Any] = {"type": "mixed_precision", "device": device(parameters["device"], rows), "transfer_phase": "first"}
    made |= {"transfer_every": int(real(parameters["transfer_every"])), **same(parameters, "transfer_lr")}
    each = int(real(parameters["n_rows_per_transfer"]))
    if each > 0:
        made |= {"n_rows_per_transfer": each, "random_row": bool(parameters["random_row"])}
    else:
        ignored(parameters, {"random_row": False}, "all rows are written", rows)
    if real(parameters["granularity"]) > 0:
        made |= same(parameters, "granularity")
    bins = {line: int(real(parameters[f"n_{line}_bins"])) for line in ("x", "d")}
    if (bins["x"] > 0) != (bins["d"] > 0):
        rows.append(ImportRow("n_x_bins, n_d_bins", tuple(bins.values()), "one rounded side: the source does not learn then"))
    for line, count in bins.items():
        if count > 0:
            made |= {f"n_{line}_bins": count, f"stoc_round_{line}": bool(parameters[f"stoc_round_{line}"])}
    return made


READERS: dict[str, Callable[[Mapping[str, Any], Rows], dict[str, Any]]] = {
    "TransferCompound": tiki_taka,
    "BufferedTransferCompound": ttv2,
    "ChoppedTransferCompound": c_ttv2,
    "DynamicTransferCompound": agad,
    "MixedPrecisionCompound": mixed_precision,
}


def update_algorithm(parameters: Mapping[str, Any], rows: Rows) -> dict[str, Any]:
    """Return the `device` of an RPU config as an update algorithm, plain SGD for a device or unit cell that is no algorithm by itself.

    Adds a row for each setting that the source ignores. Raises ConfigError for settings without a counterpart.
    """
    reader = READERS.get(class_of(parameters))
    return {"type": "sgd", "device": device(parameters, rows)} if reader is None else reader(parameters, rows)
