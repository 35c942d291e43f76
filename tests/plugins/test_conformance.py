"""Every plugin of this distribution passes the kit of its kind, as it is and with settings that switch its physics on."""

from __future__ import annotations

from typing import Any

import pytest

from ohmlet.config import structure
from ohmlet.errors import PluginError
from ohmlet.registry import KINDS, registry
from ohmlet.testing import kit_tests, kits, run_kit

WITH_KIT = sorted(kits())

BUILT_IN = [
    (kind, name) for kind in WITH_KIT for name, entries in registry(kind).entries().items() for entry in entries if entry.dist == "ohmlet"
]

CONVERTERS = {"dac": {"bits": 8, "rounding": "stochastic"}, "adc": {"bits": 8, "bound": 8.0, "rounding": "stochastic"}}
EVERYTHING = {
    "forward": {
        **CONVERTERS,
        "input_range": {"type": "learned", "init": 0.9, "init_batches": 2},
        "out_noise": 0.04,
        "weight_noise": {"type": "additive_constant", "std": 0.02},
    },
    "training": {"modifier": {"type": "add_normal", "std": 0.08}, "clip": {"type": "layer_gaussian", "sigma": 2.0}},
    "conductance_converter": {"type": "single_pair", "g_max_uS": 40.0, "g_min_uS": 2.0},
    "noise_model": {"type": "pcm", "prog_noise_scale": 4.0},
    "drift_compensation": "global",
}

VARIANTS: list[tuple[str, str, dict[str, Any]]] = [
    ("noise_model", "pcm", {"prog_noise_scale": 4.0, "read_noise_scale": 4.0, "drift_scale": 4.0}),
    ("noise_model", "pcm", {"prog_noise_scale": 0.0, "read_noise_scale": 0.0, "drift_scale": 0.0}),
    ("noise_model", "pcm", {"t_0": 1e-6, "t_read": 1.0}),
    ("noise_model", "pcm", {"prog_coeff": [0.5, 1.0], "g_max_reference_uS": 10.0}),
    ("noise_model", "custom_drift_pcm", {"g_uS": [2.0, 20.0], "nu_mean": [0.1, 0.0], "nu_std": [0.0, 0.05]}),
    ("noise_model", "hermes", {"num_devices": 1, "t_first": 20.0, "prog_noise_scale": 4.0, "read_noise_scale": 4.0}),
    ("noise_model", "hermes", {"prog_coeff": [1.0], "g_max_reference_uS": 25.0}),
    ("noise_model", "state_independent", {"prog_coeff": [2.0, 4.0], "drift_nu_std": 0.3, "read_noise_scale": 2.0}),
    ("noise_model", "reram_wan2022", {"noise_scale": 3.0, "g_max_reference_uS": 25.0}),
    ("noise_model", "reram_wan2022", {"spread": [[1.0, 2.0], [60.0, 1.0, 0.5], [3600.0, 3.0]]}),
    ("noise_model", "reram_cmo", {"acceptance_range": 2.0, "prog_noise_scale": 20.0, "read_noise_scale": 20.0, "drift_scale": 10.0}),
    ("conductance_converter", "single_pair", {"g_max_uS": 40.0, "g_min_uS": 2.0}),
    ("conductance_converter", "n_pair", {"factors": [1.0, 3.0, 0.5, 2.0], "g_max_uS": 5.0, "g_min_uS": 0.2}),
    ("conductance_converter", "dual_pair", {"factors": [4.0, 1.0], "g_min_uS": 3.0}),
    ("conductance_converter", "single_device", {"g_max_uS": 40.0, "g_min_uS": 0.0}),
    ("conductance_converter", "sign_magnitude", {"g_max_uS": 5.0}),
    ("conductance_converter", "custom_pair", {"conductances": [[5.0, 5.0, 2.5, 15.0, 25.0], [25.0, 15.0, 2.5, 5.0, 5.0]]}),
    (
        "conductance_converter",
        "custom_pair",
        {"factors": [1.0, 3.0], "conductances": [[1, 1, 1, 10, 10], [10, 10, 1, 1, 1], [1, 1, 1, 1, 8], [8, 1, 1, 1, 1]]},
    ),
    ("drift_compensation", "global", {"reference": "exact"}),
    ("update_algorithm", "sgd", {"device": "one_sided"}),
    (
        "update_algorithm",
        "tiki_taka",
        {"between": ["exp_step", "constant_step"], "gamma_vec": [0.1, 0.2, 0.3, 1.0], "transfer_columns": False},
    ),
    ("update_algorithm", "tiki_taka", {"n_reads_per_transfer": 2, "random_selection": True, "with_reset_prob": 0.01}),
    ("update_algorithm", "ttv2", {"units_in_mbatch": False, "fast_lr": 0.3, "forget_buffer": False, "slow": "vector"}),
    ("update_algorithm", "c_ttv2", {"out_chop_prob": 0.2, "auto_scale": True, "fast_lr": 0.1, "gamma": 0.1, "fast": "reference_pair"}),
    ("update_algorithm", "agad", {"in_chop_random": True, "transfer_columns": False, "forget_buffer": False, "buffer_cap": 2.0}),
    ("update_algorithm", "lrtt", {"rank": 2, "unit": "sample", "transfer_every": 5, "reinit_mode": "orthogonal_decay", "reinit_gain": 0.5}),
    ("update_algorithm", "lrtt", {"forward_inject": False, "transfer_write": "program_verify", "reinit_write": "pulsed", "up": "vector"}),
    ("update_algorithm", "lrtt", {"reinit_mode": "hybrid", "transfer_every": 2, "filter": {"type": "chopper", "momentum": 0.5}}),
    ("update_algorithm", "mixed_precision", {"n_rows_per_transfer": 2, "random_row": True, "n_x_bins": 15, "stoc_round_x": True}),
    (
        "device",
        "soft_bounds_reference",
        {
            "subtract_symmetry_point": True,
            "reference_std": 0.05,
            "slope_up_dtod": 0.1,
            "dw_min_dtod_log_normal": True,
            "write_noise_std": 1.4,
            "write_noise_unit": "dw_min",
            "count_pulses": True,
        },
    ),
    (
        "device",
        "constant_step",
        {
            "corrupt_devices_prob": 0.2,
            "diffusion": 0.01,
            "diffusion_dtod": 0.3,
            "lifetime": 100.0,
            "lifetime_dtod": 0.3,
            "reset": 0.1,
            "reset_dtod": 0.2,
            "drift": {"nu": 0.1, "nu_dtod": 0.2, "nu_std": 0.1, "w_noise_std": 0.01},
            "perfect_bias": True,
        },
    ),
    ("device", "piecewise_step", {"piecewise_up": [1.4, 1.0, 0.2], "piecewise_down": [0.3, 0.9, 1.5]}),
    ("device", "vector", {"unit_cell_devices": ["soft_bounds", "exp_step"], "update_policy": "single_random"}),
    ("device", "one_sided", {"copy_inverted": "mirrored"}),
    ("device", "one_sided", {"refresh_every": 2, "refresh_upper_thres": 0.01, "refresh_lower_thres": 0.0}),
    ("tile", "inference", EVERYTHING),
    ("tile", "inference", {"forward": {"input_range": "none", **CONVERTERS, "out_noise": 0.1}, "noise_model": "pcm"}),
    ("tile", "inference", {"forward": {"input_range": {"type": "fixed", "value": 0.7}, "dac": {"levels": 9}}}),
    ("tile", "inference", {"forward": {"dac": None, "adc": {"bound": 1.5}}, "training": {"clip": {"type": "fixed_value", "value": 0.5}}}),
]


def failures(kind: str, spec: Any) -> list[str]:
    return [f"{result.name}: {result.message}" for result in run_kit(kind, spec) if not result.passed]


@pytest.mark.parametrize(("kind", "name"), BUILT_IN)
def test_built_in_passes_its_kit(kind: str, name: str) -> None:
    assert not failures(kind, registry(kind).get(name)())


@pytest.mark.parametrize(("kind", "name", "settings"), VARIANTS)
def test_built_in_passes_its_kit_with_other_settings(kind: str, name: str, settings: dict[str, Any]) -> None:
    spec = structure({"type": name, **settings}, registry(kind).base())
    assert not failures(kind, spec)


@pytest.mark.parametrize("kind", WITH_KIT)
def test_kit_tests_are_not_skipped_for_all(kind: str) -> None:
    """A test that is skipped for every built-in tests nothing."""
    specs = [registry(kind).get(name)() for of, name in BUILT_IN if of == kind]
    skipped = [{result.name for result in run_kit(kind, spec) if result.skipped} for spec in specs]
    assert not set.intersection(*skipped)


def test_every_kind_with_a_built_in_has_a_kit() -> None:
    for kind in sorted(KINDS):
        built_in = [entry for entries in registry(kind).entries().values() for entry in entries if entry.dist == "ohmlet"]
        if built_in:
            assert kit_tests(kind)
        else:
            with pytest.raises(PluginError, match=f"kind '{kind}' has no conformance kit"):
                kit_tests(kind)
