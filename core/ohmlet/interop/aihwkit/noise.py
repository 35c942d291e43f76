"""aihwkit's noise models, conductance converters and drift compensations as parts of a tile."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ohmlet.errors import ConfigError
from ohmlet.interop.aihwkit.plain import class_of, real
from ohmlet.interop.aihwkit.report import ImportRow

__all__ = ["conductance_converter", "drift_compensation", "noise_model"]

Part = tuple[dict[str, Any], list[ImportRow]]

HERMES = {
    1: (200.0, 10.35, (0.15781817, 2.32443916, -2.16310839, 0.68841818)),
    2: (300.0, 20.7, (0.16603222, 4.71806468, -8.48101252, 4.68961419)),
}
"""For each number of devices t_0, g_max and prog_coeff that the source takes unless told otherwise."""


def reals(values: Sequence[Any]) -> list[float]:
    """Return a list of numbers."""
    return [real(value) for value in values]


def chosen(parameters: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Return settings that are called the same in Ohmlet."""
    return {name: real(parameters[name]) for name in names}


def ignored_window(parameters: Mapping[str, Any], rows: list[ImportRow]) -> None:
    """Add a row for each end of a window that the model states and its converter overrules."""
    converter = parameters["g_converter"]
    stated = [name for name in ("g_max", "g_min") if name in parameters and name in converter]
    differing = [name for name in stated if real(parameters[name]) != real(converter[name])]
    rows += [ImportRow(name, parameters[name], f"{real(converter[name]):g}, that of the conductance converter") for name in differing]


POWER_LAW = ("t_0", "t_read", "prog_noise_scale", "read_noise_scale", "drift_scale")


def pcm(parameters: Mapping[str, Any], rows: list[ImportRow]) -> dict[str, Any]:
    """Return PCMLikeNoiseModel."""
    return {
        "type": "pcm",
        **chosen(parameters, *POWER_LAW),
        "prog_coeff": reals(parameters["prog_coeff"]),
        "g_max_reference_uS": real(parameters["prog_coeff_g_max_reference"]),
    }


def custom_drift_pcm(parameters: Mapping[str, Any], rows: list[ImportRow]) -> dict[str, Any]:
    """Return CustomDriftPCMLikeNoiseModel."""
    table = parameters["custom_drift_model"]
    made = {"g_uS": reals(table["g_lst"]), "nu_mean": reals(table["nu_mean_lst"]), "nu_std": reals(table["nu_std_lst"])}
    return {**pcm(parameters, rows), "type": "custom_drift_pcm", **made}


def hermes(parameters: Mapping[str, Any], rows: list[ImportRow]) -> dict[str, Any]:
    """Return HermesNoiseModel; what it has from its number of devices is left out."""
    devices = int(real(parameters["num_devices"]))
    if devices not in HERMES:
        raise ConfigError(f"num_devices must be 1 or 2: {parameters['num_devices']!r}")
    t_0, g_max, coefficients = HERMES[devices]
    made: dict[str, Any] = {"type": "hermes", "num_devices": devices, **chosen(parameters, *POWER_LAW[1:])}
    if real(parameters["t_0"]) != t_0:
        made["t_first"] = real(parameters["t_0"])
    given, reference = reals(parameters["prog_coeff"]), real(parameters["prog_coeff_g_max_reference"])
    if (tuple(given), reference) != (coefficients, g_max):
        made.update(prog_coeff=given, g_max_reference_uS=reference)
    return made


def state_independent(parameters: Mapping[str, Any], rows: list[ImportRow]) -> dict[str, Any]:
    """Return StateIndependentNoiseModel."""
    numbers = chosen(parameters, *POWER_LAW, "drift_nu_mean", "drift_nu_std")
    return {"type": "state_independent", **numbers, "prog_coeff": reals(parameters["prog_coeff"])}


def reram_wan2022(parameters: Mapping[str, Any], rows: list[ImportRow]) -> dict[str, Any]:
    """Return ReRamWan2022NoiseModel."""
    spread = sorted([float(time), *reals(coefficients)] for time, coefficients in parameters["coeff_dic"].items())
    reference, stored = real(parameters["coeff_g_max_reference"]), parameters.get("prog_coeff_g_max_reference")
    if stored is not None and real(stored) != reference:
        words = f"nothing: the source scales by coeff_g_max_reference, {reference:g} uS here, and keeps what it should be under this name"
        rows.append(ImportRow("prog_coeff_g_max_reference", stored, words))
    rows.append(
        ImportRow("coeff_dic", [row[0] for row in spread], "spreads at these times that each device keeps a place in; drawn anew there")
    )
    return {"type": "reram_wan2022", "spread": spread, "g_max_reference_uS": reference, **chosen(parameters, "noise_scale")}


def reram_cmo(parameters: Mapping[str, Any], rows: list[ImportRow]) -> dict[str, Any]:
    """Return ReRamCMONoiseModel; an acceptance range that its table lacks becomes the smallest, as in the source."""
    programming = sorted([float(percent), *reals(coefficients)] for percent, coefficients in parameters["coeff_dict"].items())
    known, wanted = [row[0] for row in programming], real(parameters["acceptance_range"])
    if wanted not in known:
        rows.append(ImportRow("acceptance_range", parameters["acceptance_range"], f"{known[0]:g} percent: the table has {known} only"))
        wanted = known[0]
    reference = parameters.get("coeff_g_max_reference")
    if reference is not None and real(reference) != real(parameters["g_max"]):
        rows.append(ImportRow("coeff_g_max_reference", reference, "nothing: the source does not scale by it"))
    rows.append(
        ImportRow("decay_dict", parameters["decay_dict"], "a relaxation drawn once per device; the source draws it anew at each time")
    )
    mean, std, read = parameters["decay_dict"]["mean"], parameters["decay_dict"]["std"], parameters["read_dict"]
    if len(mean) != 1 or len(std) != 2:
        raise ConfigError(f"decay_dict needs one mean and two std coefficients: {parameters['decay_dict']!r}")
    return {
        "type": "reram_cmo",
        "acceptance_range": wanted,
        "programming": programming,
        **chosen(parameters, "prog_noise_scale", "read_noise_scale", "drift_scale"),
        "relaxation_mean": real(mean[0]),
        "relaxation_std": real(std[1]),
        "relaxation_std_slope": real(std[0]),
        "K": real(read["K"]),
        "t_read": real(read["t_read"]),
    }


def pair(parameters: Mapping[str, Any], rows: list[ImportRow]) -> dict[str, Any]:
    """Return SinglePairConductanceConverter."""
    return {"type": "single_pair", **window(parameters)}


def window(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return a converter's window."""
    return {"g_max_uS": real(parameters["g_max"]), "g_min_uS": real(parameters["g_min"])}


def pairs(name: str) -> Callable[[Mapping[str, Any], list[ImportRow]], dict[str, Any]]:
    """Return the reader of DualPairConductanceConverter and NPairConductanceConverter."""
    return lambda parameters, rows: {"type": name, "factors": reals(parameters["f_lst"]), **window(parameters)}


def custom_pair(parameters: Mapping[str, Any], rows: list[ImportRow]) -> dict[str, Any]:
    """Return CustomPairConductanceConverter, whose states are always evenly spaced weights."""
    factors, table = reals(parameters["f_lst"]), [reals(row) for row in parameters["g_lst"]]
    made = {"type": "custom_pair", "factors": factors, "conductances": table, **window(parameters)}
    signed = [sign * f for f in factors for sign in (1.0, -1.0)]
    states = [sum(s * g for s, g in zip(signed, state, strict=True)) for state in zip(*table, strict=True)]
    full = max(map(abs, states))
    steps = [after - before for before, after in itertools.pairwise(states)]
    even = max(steps) - min(steps) <= 1e-6 * full and abs(states[0] + states[-1]) <= 1e-6 * full and states[-1] > 0
    if not even:
        made["nodes"] = "even"
        rows.append(ImportRow("g_lst", table, "a table with nodes: even; weights do not come back from it, nodes: read would make them"))
    return made


def single_device(parameters: Mapping[str, Any], rows: list[ImportRow]) -> dict[str, Any]:
    """Return SingleDeviceConductanceConverter."""
    words = "a window for -max|w| to max|w|; the source takes each crossbar's smallest and largest weight instead"
    rows.append(ImportRow("g_converter", "SingleDeviceConductanceConverter", words))
    return {"type": "single_device", **window(parameters)}


def fusion(parameters: Mapping[str, Any], rows: list[ImportRow]) -> dict[str, Any]:
    """Return FusionConductanceConverter."""
    words = "sign_magnitude; it needs mapping.scales: columnwise, and weights come back by the scales and not by a line fitted to each row"
    rows.append(ImportRow("g_converter", "FusionConductanceConverter", words))
    return {"type": "sign_magnitude", "g_max_uS": real(parameters["g_max"])}


MODELS = {
    "PCMLikeNoiseModel": pcm,
    "CustomDriftPCMLikeNoiseModel": custom_drift_pcm,
    "HermesNoiseModel": hermes,
    "StateIndependentNoiseModel": state_independent,
    "ReRamWan2022NoiseModel": reram_wan2022,
    "ReRamCMONoiseModel": reram_cmo,
}
CONVERTERS = {
    "SinglePairConductanceConverter": pair,
    "DualPairConductanceConverter": pairs("dual_pair"),
    "NPairConductanceConverter": pairs("n_pair"),
    "CustomPairConductanceConverter": custom_pair,
    "SingleDeviceConductanceConverter": single_device,
    "FusionConductanceConverter": fusion,
}
COMPENSATIONS: dict[str, dict[str, Any]] = {
    "GlobalDriftCompensation": {"type": "global"},
    "GlobalDriftCompensationWithExactReference": {"type": "global", "reference": "exact"},
    "PerColumnDriftCompensation": {"type": "per_column"},
}


def known(name: str, table: Mapping[str, Any], words: str) -> Any:
    """Return the entry of a class; raises ConfigError naming the known ones."""
    if name not in table:
        raise ConfigError(f"{words} {name!r} is not read here; known: {', '.join(table)}")
    return table[name]


def noise_model(parameters: Mapping[str, Any]) -> Part:
    """Return a noise model as plain data for `tile.noise_model`, and a row for each setting that the source ignores or treats otherwise.

    Its converter is read by `conductance_converter(parameters["g_converter"])`. Raises ConfigError for an unknown class.
    """
    rows: list[ImportRow] = []
    made = known(class_of(parameters), MODELS, "noise model")(parameters, rows)
    ignored_window(parameters, rows)
    return made, rows


def conductance_converter(parameters: Mapping[str, Any]) -> Part:
    """Return a conductance converter as plain data for `tile.conductance_converter`, and rows; raises ConfigError for an unknown class."""
    rows: list[ImportRow] = []
    return known(class_of(parameters), CONVERTERS, "conductance converter")(parameters, rows), rows


def drift_compensation(parameters: Mapping[str, Any] | None) -> Part:
    """Return a drift compensation as plain data for `tile.drift_compensation`, and rows; None is none."""
    if parameters is None:
        return {"type": "none"}, []
    return dict(known(class_of(parameters), COMPENSATIONS, "drift compensation")), []
