"""Analog-to-digital converters: ideal parts make the ideal quantiser, errors have the size that capacitors give them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import ohmlet
from ohmlet.config import plain, structure
from ohmlet.errors import ConfigError, OrderError
from ohmlet.interfaces.adc import ADC
from ohmlet.interfaces.tile import Site, Tile
from ohmlet.nn.kernels import kernels_of
from ohmlet.testing import ADCTests
from ohmlet_kernels.noise import Stream, key
from ohmlet_tiles.adc_capacitors import bit_levels

NAMES = ["uniform", "sar", "ramp", "pipeline", "cyclic"]
ERRORS: list[dict[str, Any]] = [
    {"type": "uniform"},
    {"type": "uniform", "bits": 5, "rounding": "stochastic"},
    {"type": "sar", "bits": 6, "sigma_capacitor": 0.05, "sigma_comparator": 0.02, "gain_db": 50.0},
    {"type": "sar", "bits": 7, "sigma_capacitor": 0.05, "split_cdac": False, "group_size": 3, "gain_db": 50.0},
    {"type": "ramp", "bits": 6, "sigma_capacitor": 0.05, "sigma_comparator": 0.02, "gain_db": 50.0},
    {"type": "ramp", "bits": 7, "sigma_capacitor": 0.05, "split_cdac": True},
    {"type": "pipeline", "bits": 6, "sigma_c1": 0.01, "sigma_c2": 0.01, "sigma_c_par": 0.05, "sigma_comparator": 0.02, "gain_db": 60.0},
    {"type": "cyclic", "bits": 6, "sigma_c1": 0.01, "sigma_c2": 0.01, "sigma_c_par": 0.05, "sigma_comparator": 0.02, "gain_db": 60.0},
]


def adc(**fields: Any) -> Any:
    return structure(fields, ADC)


def read(spec: Any, y: Tensor, bound: float, signed: bool = True, seed: int = 0) -> Tensor:
    """Return what is read of y [S, out]."""
    noise = Stream(torch.tensor(key("adc", seed)), torch.arange(len(y)))
    made = spec.fabricate(y.shape[-1], y, noise._replace(ordinals=None, path="fabrication"))
    z: Tensor = spec.convert(y[:, None], bound, signed, made, noise)
    return z.squeeze(1)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("bits", [2, 3, 8, 9])
@pytest.mark.parametrize("signed", [True, False])
def test_ideal_parts_make_the_ideal_quantiser(name: str, bits: int, signed: bool) -> None:
    """T11: the nearest of the equidistant codes, at both ends too; no tie is among the outputs."""
    y = np.linspace(-5.03, 5.02, 1999)
    codes = np.arange(-(2 ** (bits - 1)) + 1, 2 ** (bits - 1)) if signed else np.arange(2**bits)
    levels = codes * (4.0 / codes.max())
    expected = levels[np.abs(y[:, None] - levels).argmin(1)]
    z = read(adc(type=name, bits=bits), torch.from_numpy(y)[:, None], 4.0, signed)
    np.testing.assert_allclose(z[:, 0].numpy(), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("split", [True, False])
@pytest.mark.parametrize("bits", [2, 5, 8])
def test_capacitors_of_nominal_size_make_whole_levels(bits: int, split: bool) -> None:
    levels = bit_levels(torch.zeros(bits + 1, dtype=torch.float64), 0.1, split)
    torch.testing.assert_close(levels, 2.0 ** torch.arange(bits, dtype=torch.float64))


def test_a_split_array_is_the_circuit_of_its_capacitors() -> None:
    """The level is what nodal analysis of the two halves and the bridge gives, capacitor by capacitor."""
    bits, sigma, h = 7, 0.1, 3
    xi = torch.from_numpy(np.random.default_rng(0).standard_normal(bits + 1))
    orders = [0, 1, 2, 0, 1, 2, 3]
    c = [2.0**k + sigma * float(e) * 2 ** (k / 2) for k, e in zip(orders, xi[:-1], strict=True)]
    fixed, bridge = 1 + sigma * float(xi[-1]), 2.0**h / (2.0**h - 1)
    matrix = np.array([[sum(c[:h]) + fixed + bridge, -bridge], [-bridge, sum(c[h:]) + bridge]])
    levels = [2.0**bits * np.linalg.solve(matrix, [c[k], 0.0] if k < h else [0.0, c[k]])[1] for k in range(bits)]
    np.testing.assert_allclose(bit_levels(xi, sigma, True).numpy(), levels, rtol=1e-12)


@pytest.mark.parametrize("name", ["sar", "ramp"])
def test_codes_rise_with_the_output_whatever_the_mismatch(name: str) -> None:
    y = torch.linspace(-4.2, 4.2, 3000, dtype=torch.float64)[:, None].expand(3000, 32)
    z = read(adc(type=name, bits=8, sigma_capacitor=0.15, sigma_comparator=0.05), y, 4.0)
    assert float(z.diff(dim=0).min()) >= 0
    assert 100 < len(z[:, 0].unique()) <= 255


@pytest.mark.parametrize("bits", [6, 8, 10])
@pytest.mark.parametrize("name", ["sar", "ramp"])
def test_the_largest_capacitor_errs_with_the_root_of_its_size(name: str, bits: int) -> None:
    """T12: the step at the middle code is off by sigma 2^(bits/2) LSB, that of one capacitor against all smaller ones, within 20 %."""
    sigma, mid = 0.01, 2 ** (bits - 1)
    spec = adc(type=name, bits=bits, sigma_capacitor=sigma, split_cdac=False, **({"group_size": 1} if name == "sar" else {}))
    noise = Stream(torch.tensor([key("adc", i) for i in range(1500)]), path="fabrication")
    levels, _ = spec.fabricate(1, torch.zeros((), dtype=torch.float64), noise)
    if name == "sar":
        steps = levels[:, 0, -1] - levels[:, 0, :-1].sum(-1) - 1
        assert float(steps.std()) == pytest.approx(sigma * 2 ** (bits / 2), rel=0.2)
    else:  # a ramp cannot fall: half of the distribution is cut off below a step of zero, far away for this mismatch of few bits
        steps = levels[:, mid - 1] - levels[:, mid - 2] - 1
        assert float(steps.std()) == pytest.approx(sigma * 2 ** (bits / 2), rel=0.2)


def test_the_step_in_the_middle_is_seen_in_what_is_read() -> None:
    """The same through conversion: how long the code below the middle lasts, as the output rises, differs by sigma 2^(bits/2)."""
    bits, sigma, out = 6, 0.02, 1200
    spec = adc(type="sar", bits=bits, sigma_capacitor=sigma, split_cdac=False, group_size=1)
    fine = torch.linspace(-2.0, 1.0, 1201, dtype=torch.float64)  # in steps around the middle
    z = read(spec, fine[:, None].expand(1201, out), float(2 ** (bits - 1) - 1))
    lasts = (z == -1).sum(0) * (3.0 / 1200)
    assert float((lasts - 1).std()) == pytest.approx(sigma * 2 ** (bits / 2), rel=0.2)


def test_columns_of_a_group_share_a_converter_and_groups_do_not() -> None:
    y = torch.linspace(-3.9, 3.9, 500)[:, None].expand(500, 12)
    z = read(adc(type="sar", bits=6, sigma_capacitor=0.1, group_size=4), y, 4.0)
    for group in range(3):
        assert torch.equal(z[:, 4 * group : 4 * group + 4], z[:, 4 * group : 4 * group + 1].expand(500, 4))
    assert not torch.equal(z[:, 0], z[:, 4])
    assert not torch.equal(z[:, 4], z[:, 8])


def test_finite_gain_draws_levels_towards_the_middle() -> None:
    """Of a split array: levels are 1 + 1/A times closer, so that outputs are read larger by that factor, give or take a step."""
    y = torch.linspace(-3.0, 3.0, 400, dtype=torch.float64)[:, None]
    z = read(adc(type="sar", bits=12, gain_db=20 * math.log10(20.0)), y, 4.0)
    torch.testing.assert_close(z, y * 1.05, rtol=0, atol=1.5 * 4 / 2047)


def test_a_cyclic_converter_repeats_its_error_and_a_pipeline_does_not() -> None:
    """With C2 / C1 = 1 + d in each use, a cyclic one is the pipeline whose stages all have the first stage's error."""
    y = torch.linspace(-3.9, 3.9, 300, dtype=torch.float64)[:, None].expand(300, 6)
    spec = adc(type="pipeline", bits=6, sigma_c2=0.05, group_size=1)
    like, noise = y, Stream(torch.tensor(key("adc")), path="fabrication")
    pipe = spec.fabricate(6, like, noise)
    cycle = adc(type="cyclic", bits=6, sigma_c2=0.05, group_size=1)
    made = tuple(each[..., :1] for each in pipe)
    repeated = tuple(each[..., :1].expand(*each.shape) for each in pipe)
    args = (y[:, None], 4.0, True)
    assert torch.equal(cycle.convert(*args, made, noise), spec.convert(*args, repeated, noise))
    assert not torch.equal(spec.convert(*args, pipe, noise), spec.convert(*args, repeated, noise))


def test_a_stage_with_errors_follows_its_circuit() -> None:
    """One conversion by hand: 3 bits, gamma 1.1, beta 0.45, A = 100, thresholds moved by 0.02, of v = 0.3."""
    v, gamma, loss, digits = 0.3, 1.1, 1 + 1 / (100 * 0.45), []
    for _ in range(2):
        d = 1 if v > 0.27 else -1 if v < -0.23 else 0
        digits.append(d)
        v = ((1 + gamma) * v - gamma * d) / loss
    code = 4 + 2 * digits[0] + digits[1] - (v < 0.02)
    made = tuple(torch.full((1, n), x, dtype=torch.float64) for x, n in ((1.1, 2), (0.45, 2), (0.02, 2), (0.02, 2), (0.02, 1)))
    spec = adc(type="pipeline", bits=3, gain_db=40.0)
    u = torch.full((1, 1, 1), 4.0 * (1 + 0.3), dtype=torch.float64)
    assert float(spec.codes(u, made)) == code


def test_ramps_take_memory_for_their_levels_only() -> None:
    """2^16 levels against 10^5 outputs would be 50 GB, were each compared with each."""
    z = read(adc(type="ramp", bits=16, sigma_capacitor=0.001), torch.linspace(-1, 1, 100_000).reshape(1000, 100), 1.0)
    assert float((z - torch.linspace(-1, 1, 100_000).reshape(1000, 100)).abs().max()) < 0.01


@pytest.mark.parametrize("name", ["sar", "ramp", "pipeline", "cyclic"])
@pytest.mark.parametrize("engine", ["numba", "reference"])
def test_a_layer_behind_ideal_parts_is_the_layer_behind_the_quantiser(name: str, engine: str) -> None:
    torch.manual_seed(0)
    layer, x = nn.Linear(20, 12), torch.randn(30, 20)
    outputs, gradients = [], []
    for kind in ("uniform", name):
        forward = {"dac": {"bits": 7}, "adc": {"type": kind, "bits": 6, "bound": 3.0}, "out_scale": 0.9, "in_noise": 0.01}
        model: Any = nn.Sequential(nn.Linear(20, 12))
        model.load_state_dict({f"0.{each}": value for each, value in layer.state_dict().items()})
        ohmlet.convert(model, ohmlet.AnalogConfig.parse({"tile": {"type": "inference", "forward": forward}, "engine": engine, "seed": 4}))
        given = x.clone().requires_grad_()
        y = model(given)
        gradients.append(torch.autograd.grad(y.square().sum(), (given, model[0].weight)))
        outputs.append(y.detach())
    torch.testing.assert_close(outputs[0], outputs[1], rtol=0, atol=1e-5)  # no tie is among them
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-4, atol=1e-4)


def test_converters_of_chip_instances_differ_and_stay() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 8))
    forward = {"adc": {"type": "sar", "bits": 6, "bound": 4.0, "sigma_capacitor": 0.1}, "input_range": "none"}
    noise = {"type": "pcm", "prog_noise_scale": 0.0, "read_noise_scale": 0.0, "drift_scale": 0.0}
    config = {"tile": {"type": "inference", "forward": forward, "noise_model": noise}, "seed": 1}
    ohmlet.convert(model, ohmlet.AnalogConfig.parse(config))
    chip, x = ohmlet.program(model.eval(), instances=2, seed=1), torch.rand(40, 16)
    first, second = chip.at(0.0)(x)
    assert not torch.equal(first, second)
    torch.testing.assert_close(chip.at("1 h")(x)[0], first)


def site(ins: int = 10, out: int = 4) -> Site:
    return Site(out_features=out, in_features=ins, kernel=kernels_of("auto"))


def test_the_range_may_be_what_no_output_can_pass() -> None:
    tile = structure({"type": "inference", "forward": {"adc": {"bits": 8, "bound": "max"}, "input_range": "none"}}, Tile)
    y = tile.build(site()).mvm(torch.ones(1, 1, 10), torch.ones(4, 10), Stream(torch.tensor(1), torch.arange(1)))  # type: ignore[operator]
    torch.testing.assert_close(y, torch.full((1, 1, 4), 10.0))
    half = tile.build(site()).mvm(torch.full((1, 1, 10), 0.5), torch.ones(4, 10), Stream(torch.tensor(1), torch.arange(1)))  # type: ignore[operator]
    assert float(half[0, 0, 0]) == pytest.approx(round(5 / (20 / 254)) * 20 / 254)


def test_a_config_without_a_type_is_the_ideal_quantiser_and_is_written_without_one() -> None:
    for given in ({"bits": 8}, {"type": "uniform", "bits": 8}):
        spec = structure(given, ADC)
        assert type(spec).__name__ == "UniformADC"
        assert "type" not in plain(spec)
    assert plain(adc(type="sar"))["type"] == "sar"


@pytest.mark.parametrize(
    ("forward", "words"),
    [
        ({"adc": {"type": "sar"}, "bound_management": "iterative"}, "bound_management goes with an adc of type uniform"),
        ({"adc": {"bits": 8, "bound": "max"}, "nonlinearity": {"strength": 0.1}}, "nonlinearity goes with an adc of type uniform"),
        ({"adc": {"type": "ramp"}, "passes": {"type": "separate", "sum": "digital"}}, "passes goes with an adc of type uniform"),
        ({"adc": {"bits": 8, "bound": "granular"}}, "granular needs weights and inputs of whole digits"),
        ({"adc": {"type": "ramp", "bound": float("inf")}}, "needs a finite 'bound'"),
        ({"adc": {"bits": 8, "bound": "widest"}}, "must be a number or one of max, granular, calibrated"),
        ({"adc": {"type": "sarr"}}, "unknown adc 'sarr'; did you mean 'sar'"),
    ],
)
def test_settings_that_make_no_sense_are_refused(forward: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        structure({"type": "inference", "forward": forward}, Tile)


def test_a_range_that_was_never_measured_is_told() -> None:
    tile = structure({"type": "inference", "forward": {"adc": {"bits": 8, "bound": "calibrated"}}}, Tile)
    with pytest.raises(OrderError, match=r"call ohmlet.calibrate"):
        tile.build(site()).mvm(torch.ones(1, 1, 10), torch.ones(4, 10), Stream(torch.tensor(1), torch.arange(1)))  # type: ignore[operator]


class TestKit(ADCTests):
    @pytest.fixture(params=ERRORS, ids=lambda fields: "-".join(map(str, fields.values())))
    def spec(self, request: pytest.FixtureRequest) -> Any:
        return adc(**request.param)
