"""Tile `bit_sliced`: products of whole numbers come out exactly, slice by slice, and it trains, is programmed and refuses nonsense."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import ohmlet
from ohmlet.config import structure
from ohmlet.errors import ConfigError, UnprogrammedWarning
from ohmlet.interfaces.tile import Site, Tile
from ohmlet.nn.kernels import kernels_of
from ohmlet.testing import TileTests
from ohmlet_kernels.noise import Stream, key
from ohmlet_tiles.slices_weights import SIGNS, WeightSlices

PLAIN = {"type": "inference", "forward": {"input_range": "none"}}
SHORT = {"offset": 0, "unit_column": 0, "unsigned": 0}
"""How many bits fewer than a weight's the widths add up to: one unless the sign takes none."""


def tile(**fields: Any) -> Any:
    return structure({"type": "bit_sliced", **fields}, Tile)


def product(spec: Any, x: Tensor, w: Tensor, seed: int = 0) -> Tensor:
    """Return what one crossbar computes of x [S, in] and w [out, in]."""
    module: Any = spec.build(Site(out_features=w.shape[-2], in_features=w.shape[-1], kernel=kernels_of("auto"))).eval()
    y: Tensor = module.mvm(x[:, None, :], w, Stream(torch.tensor(key("test", seed)), torch.arange(len(x)), torch.tensor([0])))
    return y.squeeze(1)


@st.composite
def cut(draw: st.DrawFn, bits: int) -> list[int]:
    """Draw widths of slices that add up to a number of bits."""
    found: list[int] = []
    while sum(found) < bits:
        found.append(draw(st.integers(1, bits - sum(found))))
    return found


@st.composite
def engines(draw: st.DrawFn) -> tuple[dict[str, Any], int, int]:
    """Draw settings of the tile, and the smallest input and weight that are whole numbers of it."""
    signs, bits = draw(st.sampled_from(SIGNS)), draw(st.integers(2, 9))
    encoding = draw(st.sampled_from(["amplitude", "bit_serial", "sliced", "pulse_width"]))
    x_bits = draw(st.integers(2, 4 if encoding == "pulse_width" else 8))
    sign = draw(
        st.sampled_from(["magnitude", "none"] if encoding in {"amplitude", "pulse_width"} else ["magnitude", "none", "twos_complement"])
    )
    inputs: dict[str, Any] = {"type": encoding, "bits": x_bits, "sign": sign}
    if encoding == "sliced":
        inputs["slice_bits"] = draw(cut(x_bits - (sign != "none")))
    if encoding in {"sliced", "bit_serial"}:
        inputs["accumulation"] = draw(st.sampled_from(["digital", "analog"]))
    fields = {
        "weight_bits": bits,
        "slice_bits": draw(cut(bits - SHORT.get(signs, 1))),
        "signs": signs,
        "inputs": inputs,
        "input_range": "none",
        "adc": draw(st.sampled_from([None, {"type": "uniform", "bits": 20, "bound": "granular"}])),
        "crossbar": draw(st.sampled_from(["ideal", PLAIN, {**PLAIN, "conductance_converter": "single_device"}])),
    }
    return fields, x_bits, bits


@settings(max_examples=60, deadline=None)
@given(engines(), st.integers(0, 2**16), st.integers(1, 9), st.integers(1, 6))
def test_products_of_whole_numbers_are_exact(drawn: tuple[dict[str, Any], int, int], seed: int, ins: int, outs: int) -> None:
    fields, x_bits, bits = drawn
    unsigned, sign = fields["signs"] == "unsigned", fields["inputs"]["sign"]
    most_x = 2**x_bits - 1 if sign == "none" else 2 ** (x_bits - 1) - 1
    most_w = 2**bits - 1 if unsigned else 2 ** (bits - 1) - 1
    least_x = {"none": 0, "magnitude": -most_x, "twos_complement": -most_x - 1}[sign]
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(least_x, most_x + 1, (3, ins), generator=generator)
    w = torch.randint(0 if unsigned else -most_w, most_w + 1, (outs, ins), generator=generator)
    y = product(tile(**fields), x.double() / most_x, w.double() / most_w) * most_x * most_w
    exact = x @ w.mT
    assert torch.equal(y.round().long(), exact)
    torch.testing.assert_close(y, exact.double(), rtol=1e-11, atol=1e-9)


@pytest.mark.parametrize("adc", ["uniform", "sar", "ramp", "pipeline", "cyclic"])
@pytest.mark.parametrize(("signs", "encoding"), [("unit_column", "twos_complement"), ("balanced", "magnitude")])
def test_products_are_exact_in_float32_behind_a_converter_of_whole_steps(adc: str, signs: str, encoding: str) -> None:
    """As in ISAAC: 128 rows of cells of 2 bits and inputs bit by bit; no sum of 128 x 3 is beyond 9 (signed: 10) bits."""
    inputs = {"type": "bit_serial", "bits": 8, "sign": encoding}
    spec = tile(
        weight_bits=8, slice_bits=[2], signs=signs, inputs=inputs, input_range="none", adc={"type": adc, "bits": 10, "bound": "granular"}
    )
    generator = torch.Generator().manual_seed(1)
    x = torch.randint(-127, 128, (16, 128), generator=generator)
    w = torch.randint(-127, 128, (10, 128), generator=generator)
    y = product(spec, x / 127, w / 127) * 127 * 127
    assert torch.equal(y.round().long(), x @ w.mT)


def test_sums_beyond_a_granular_range_saturate() -> None:
    """Weights and inputs of three levels have sums of ninths, and 4 bits count 15 of them: 2 is read as 15/9."""
    fields = {"weight_bits": 2, "signs": "unsigned", "inputs": {"type": "amplitude", "bits": 2, "sign": "none"}, "input_range": "none"}
    spec = tile(**fields, adc={"bits": 4, "bound": "granular"})
    for ins, read in ((1, 1.0), (2, 15 / 9)):
        assert float(product(spec, torch.ones(1, ins), torch.ones(1, ins))) == pytest.approx(read, rel=1e-6)


@pytest.mark.parametrize("signs", SIGNS)
def test_digits_are_the_bits_of_the_code(signs: str) -> None:
    slices = WeightSlices(bits=6, slice_bits=(1, 3, 1) if signs not in SHORT else (1, 3, 2), signs=signs)
    most = 63 if signs == "unsigned" else 31
    codes = range(0 if signs == "unsigned" else -most, most + 1)
    planes = [plane.flatten().tolist() for plane in slices(torch.tensor([[q / most for q in codes]]).double())]
    layout = [(0, 1), (1, 3), (4, 2 if signs in SHORT else 1)]
    for index, q in enumerate(codes):
        held = {"offset": q + 31, "unit_column": q + 31, "balanced": abs(q), "balanced_digital": max(q, 0), "unsigned": q}.get(
            signs, q & 31
        )
        digits = [(held >> shift & (2**width - 1)) / (2**width - 1) for shift, width in layout]
        digits = [math.copysign(digit, q) for digit in digits] if signs == "balanced" else digits
        assert [plane[index] for plane in planes[:3]] == pytest.approx(digits)
        if signs == "twos_complement":
            assert planes[3][index] == (q < 0)


@pytest.mark.parametrize("signs", [s for s in SIGNS if s != "unsigned"])
@pytest.mark.parametrize("encoding", ["amplitude", "bit_serial", "pulse_width"])
def test_gradients_are_those_of_the_product_of_codes(signs: str, encoding: str) -> None:
    spec = tile(weight_bits=5, slice_bits=[2], signs=signs, inputs={"type": encoding, "bits": 4}, input_range="none")
    generator = torch.Generator().manual_seed(2)
    x = (torch.rand(4, 6, generator=generator).double() * 1.8 - 0.9).requires_grad_()
    w = (torch.rand(3, 6, generator=generator).double() * 1.8 - 0.9).requires_grad_()
    d = torch.rand(4, 3, generator=generator).double()
    got = torch.autograd.grad(product(spec, x, w), (x, w), d)
    codes_x, codes_w = (x.detach() * 7).round() / 7, (w.detach() * 15).round() / 15
    torch.testing.assert_close(got[0], d @ codes_w)
    torch.testing.assert_close(got[1], d.mT @ codes_x)


def test_pulses_of_all_lengths_are_amplitudes_on_linear_cells() -> None:
    x, w = torch.linspace(-1, 1, 24).reshape(4, 6), torch.linspace(-1, 1, 18).reshape(3, 6)
    fields: dict[str, Any] = {"weight_bits": 4, "adc": {"bits": 8, "bound": 6.0}}
    pulses, voltages = (product(tile(inputs={"type": name, "bits": 5}, **fields), x, w) for name in ("pulse_width", "amplitude"))
    torch.testing.assert_close(pulses, voltages)


def test_each_slice_has_a_converter_and_cells_of_its_own() -> None:
    spec = tile(weight_bits=8, slice_bits=[2], signs="unsigned", adc={"type": "sar", "bound": "max", "sigma_capacitor": 0.05})
    module: Any = spec.build(Site(out_features=16, in_features=8, kernel=kernels_of("auto")))
    noise, like = Stream(torch.tensor(key("test"))), torch.zeros(1)
    made = torch.stack([readout.fabricated(16, like, noise)[0] for readout in module.readouts])
    groups = made.reshape(8, 8, -1)  # of four slices the two groups of eight columns
    assert torch.equal(groups, groups[:, :1].expand(groups.shape))
    assert len({tuple(row) for row in groups[:, 0].tolist()}) == 8


def test_programmed_slices_err_each_for_itself() -> None:
    """Devices off by sigma: a weight's error is sigma sqrt(2) / span sqrt(sum f^2) / Q, from two devices in each slice."""
    torch.manual_seed(0)
    cells = {"conductance_converter": {"type": "single_pair", "g_max_uS": 25.0, "g_min_uS": 5.0}}
    noise = {"type": "state_independent", "prog_coeff": [0.4], "read_noise_scale": 0.0, "drift_scale": 0.0}
    layer = nn.Linear(40, 40, bias=False).eval()
    config = {"tile": {"type": "bit_sliced", "weight_bits": 8, "slice_bits": [4, 3], "crossbar": {**PLAIN, **cells, "noise_model": noise}}}
    model = ohmlet.convert(nn.Sequential(layer), ohmlet.AnalogConfig.parse({**config, "mapping": {"scales": "tilewise"}, "seed": 1})).model
    weight, largest = layer.weight.detach(), float(layer.weight.detach().abs().max())
    errors = ohmlet.program(model, instances=4, seed=2).at(0.0)(torch.eye(40)).mT - (weight / largest * 127).round() / 127 * largest
    expected = 0.4 * math.sqrt(2) / 20.0 * math.sqrt(15**2 + 112**2) / 127 * largest
    assert float(errors.std()) == pytest.approx(expected, rel=0.05)
    assert abs(float(errors.mean())) < 4 * expected / 80


@pytest.mark.parametrize("signs", ["unit_column", "twos_complement", "balanced_digital"])
def test_chips_drift_and_hold_what_is_asked_of_them(signs: str) -> None:
    """Ideal devices give the rounded weights back through every way of holding signs, and drift common to all scales the product."""
    torch.manual_seed(0)
    quiet = {"prog_noise_scale": 0.0, "read_noise_scale": 0.0, "drift_nu_std": 0.0}
    noise = {"type": "state_independent", **quiet}
    layer = nn.Linear(12, 7, bias=False).eval()
    parts = {"weight_bits": 6, "slice_bits": [2], "signs": signs, "input_range": "none"}
    config = {
        "tile": {"type": "bit_sliced", **parts, "crossbar": {**PLAIN, "noise_model": noise}},
        "mapping": {"scales": "none"},
        "seed": 1,
    }
    model = ohmlet.convert(nn.Sequential(layer), ohmlet.AnalogConfig.parse(config)).model
    chip, x = ohmlet.program(model, instances=2, seed=2), torch.eye(12)
    rounded = (layer.weight.detach() * 31).round() / 31
    torch.testing.assert_close(chip.at(0.0)(x)[1].mT, rounded, rtol=0, atol=2e-6)
    later = chip.at("1 day")(x)[0].mT
    share = (later / rounded)[rounded.abs() > 0.05]
    assert 0.3 < float(share.min()) <= float(share.max()) < 0.99


def test_training_through_slices_lowers_the_loss() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
    parts = {
        "weight_bits": 4,
        "slice_bits": [1],
        "inputs": {"type": "bit_serial", "bits": 5},
        "adc": {"type": "sar", "bits": 6, "bound": "max"},
    }
    ohmlet.convert(model, ohmlet.AnalogConfig.parse({"tile": {"type": "bit_sliced", **parts}, "seed": 0}))
    x = torch.randn(64, 8)
    target = x[:, :1] * x[:, 1:2].sign()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = (model(x) - target).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert sum(losses[-5:]) < 0.5 * sum(losses[:5])


@pytest.mark.slow
def test_digits_at_eight_bits_are_within_a_point_of_the_digital_model() -> None:
    from sklearn.datasets import load_digits

    data = load_digits()
    x, labels = torch.tensor(data.data, dtype=torch.float32) / 16.0, torch.tensor(data.target)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(150):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x[:1200]), labels[:1200]).backward()
        optimizer.step()

    def accuracy() -> float:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UnprogrammedWarning)
            return float((model.eval()(x[1200:]).argmax(1) == labels[1200:]).float().mean())

    digital = accuracy()
    assert digital > 0.9
    parts = {
        "weight_bits": 8,
        "slice_bits": [2],
        "inputs": {"type": "bit_serial", "bits": 8},
        "adc": {"type": "sar", "bits": 8, "bound": "max"},
    }
    ohmlet.convert(model, ohmlet.AnalogConfig.parse({"tile": {"type": "bit_sliced", **parts}, "seed": 0}))
    assert abs(accuracy() - digital) <= 0.01


def test_circuits_hold_slices() -> None:
    """Without wires and with resistors a circuit computes the product, and slices of it the product of codes."""
    cells = {"conductance_converter": {"type": "single_pair", "g_max_uS": 100.0, "g_min_uS": 1.0}}
    wires = {"r_word": 0.0, "r_bit": 0.0, "r_source": 0.0, "r_sense": 0.0}
    circuit = {"type": "circuit", "forward": {"input_range": "none"}, "wires": wires, **cells}
    spec = tile(weight_bits=5, slice_bits=[2], inputs={"type": "bit_serial", "bits": 4}, input_range="none", crossbar=circuit)
    generator = torch.Generator().manual_seed(3)
    x, w = torch.randint(-7, 8, (3, 6), generator=generator), torch.randint(-15, 16, (4, 6), generator=generator)
    y = product(spec, x.double() / 7, w.double() / 15) * 7 * 15
    torch.testing.assert_close(y, (x @ w.mT).double(), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"weight_bits": 8, "slice_bits": [4, 4]}, r"slice_bits \[4, 4\] are 8 bits, and codes of 8 bits with signs balanced have 7"),
        ({"weight_bits": 8, "slice_bits": [0]}, "must be a list of whole numbers from 1 to 16"),
        ({"slice_bits": [2]}, r"slice_bits \[2\] has no effect without weight_bits"),
        ({"signs": "twos_complement"}, "twos_complement needs weight_bits"),
        ({"crossbar": "bit_sliced"}, "crossbar must hold weights that it is given"),
        ({"crossbar": "in_memory"}, "crossbar must hold weights that it is given"),
        ({"crossbar": "inference"}, "crossbar.forward.input_range must be none"),
        (
            {"crossbar": {"type": "inference", "forward": {"input_range": "none", "adc": {"bits": 8}}}},
            "crossbar.forward.adc must be left out",
        ),
        ({"crossbar": {**PLAIN, "conductance_converter": "sign_magnitude"}}, "signs balanced needs cells that hold either sign"),
        ({"input_range": "abs_max_sum"}, "abs_max_sum counts on the ADC of one whole product"),
        ({"adc": {"bits": 8, "bound": "granular"}}, "granular needs whole digits"),
        ({"inputs": {"type": "bit_serial", "slice_bits": [2]}}, "unknown key 'slice_bits'"),
        ({"inputs": {"type": "sliced", "bits": 8, "slice_bits": [3, 3]}}, r"slice_bits \[3, 3\] are 6 bits, and inputs of 8 bits"),
    ],
)
def test_settings_that_make_no_sense_are_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        tile(**fields)


def test_negative_weights_are_refused_where_none_can_be_held() -> None:
    with pytest.raises(ConfigError, match="signs unsigned holds no negative weights, and 2 of 4 are"):
        product(tile(weight_bits=4, signs="unsigned"), torch.ones(1, 2), torch.tensor([[1.0, -0.5], [-0.1, 0.0]]))


def test_a_crossbar_without_conductances_is_not_programmed() -> None:
    model = ohmlet.convert(
        nn.Sequential(nn.Linear(3, 2)), ohmlet.AnalogConfig.parse({"tile": {"type": "bit_sliced", "crossbar": "ideal"}, "seed": 0})
    ).model
    with pytest.raises(ConfigError, match="its tile has no noise_model"):
        ohmlet.program(model)


MISMATCH = {"sigma_capacitor": 0.02, "sigma_comparator": 0.01}
VARIANTS: list[dict[str, Any]] = [
    {
        "weight_bits": 8,
        "slice_bits": [4],
        "signs": "offset",
        "inputs": "bit_serial",
        "adc": {"type": "sar", "bound": "max", **MISMATCH},
        "crossbar": {**PLAIN, "noise_model": "pcm", "conductance_converter": "single_device"},
    },
    {
        "weight_bits": 8,
        "slice_bits": [4],
        "signs": "unit_column",
        "inputs": {"type": "sliced", "sign": "twos_complement", "accumulation": "analog"},
        "input_range": {"type": "learned", "init_batches": 2},
        "adc": {"type": "ramp", "bits": 10, "bound": 8.0, **MISMATCH},
        "crossbar": {**PLAIN, "noise_model": "pcm", "drift_compensation": "global"},
    },
    {
        "weight_bits": 6,
        "signs": "balanced_digital",
        "inputs": {"type": "pulse_width", "bits": 3},
        "adc": {"type": "cyclic", "bound": "max", "sigma_c1": 0.01},
        "crossbar": {**PLAIN, "training": {"modifier": {"type": "add_normal", "std": 0.1}, "clip": {"type": "fixed_value", "value": 0.5}}},
    },
]


class TestKit(TileTests):
    @pytest.fixture(params=VARIANTS, ids=lambda fields: fields["signs"])
    def spec(self, request: pytest.FixtureRequest) -> Any:
        return tile(**request.param)


METAL_OXIDE = {
    "weight_bits": 4,
    "slice_bits": [1],
    "signs": "twos_complement",
    "inputs": {"type": "bit_serial", "bits": 4, "sign": "twos_complement"},
    "input_range": "none",
    "adc": {"bits": 6, "bound": "granular"},
    "crossbar": {
        "type": "circuit",
        "forward": {"input_range": "none"},
        "conductance_converter": {"type": "single_device", "g_max_uS": 200.0, "g_min_uS": 10.0},
        "device": "metal_oxide",
        "wires": {"r_word": 1.0, "r_bit": 1.0},
    },
}


@pytest.mark.parametrize("seed", range(3))
def test_bits_in_metal_oxide_cells_multiply_exactly_behind_converters(seed: int) -> None:
    """What the metal-oxide repository planned: cells of two levels differ, wires drop, and the ADC of a small array rounds it away."""
    generator = torch.Generator().manual_seed(3)
    x, w = torch.randint(-8, 8, (5, 8), generator=generator), torch.randint(-7, 8, (4, 8), generator=generator)
    read, raw = (
        product(tile(**METAL_OXIDE | {"adc": adc}), x.double() / 7, w.double() / 7, seed) * 49 for adc in (METAL_OXIDE["adc"], None)
    )
    torch.testing.assert_close(read, (x @ w.mT).double(), rtol=0, atol=1e-9)
    assert float((raw - x @ w.mT).abs().max()) > 1.0


@pytest.mark.parametrize("name", ["isaac", "prime", "sonos_array"])
def test_published_engines_compute_a_layer(name: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)).eval()
    x = torch.rand(60, 64)
    digital = model(x).detach()
    ohmlet.convert(model, name)
    if name != "isaac":
        ohmlet.calibrate(model, [x])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnprogrammedWarning)
        off = float((model(x).detach() - digital).norm() / digital.norm())
    # 16 bits lose 2^-15; 8-bit weights and inputs some per cent of a small layer's outputs; of 6-bit inputs 5 are for the magnitude.
    assert off < {"isaac": 1e-4, "prime": 0.25, "sonos_array": 0.03}[name]


@pytest.mark.parametrize(("bits", "published"), [(4, 0.16427), (6, 0.03865), (8, 0.00960)])
def test_quantised_fourier_transforms_err_as_those_of_another_simulator(bits: int, published: float) -> None:
    """T8: weights, inputs and outputs of 4, 6 and 8 bits in the tutorial of CrossSim 3.2: 256 points of a rectangular pulse.

    Its ADC reads currents of +-12 largest devices, whose on/off ratio is 10, so that a weight of 1 is 0.9 of a device.
    """
    k = torch.arange(256, dtype=torch.float64)
    matrix, x = (2 * torch.pi * torch.outer(k, k) / 256).cos(), torch.zeros(1, 256, dtype=torch.float64)
    x[:, 122:133] = 1.0
    exact, adc = x @ matrix.mT, {"bits": bits, "bound": 12 / 0.9}
    spec = tile(weight_bits=bits, inputs={"type": "amplitude", "bits": bits}, input_range="none", adc=adc)
    assert float((product(spec, x, matrix) - exact).norm() / exact.norm()) == pytest.approx(published, abs=1e-3, rel=0)


def test_stuck_cells_and_files_know_every_column(tmp_path: Any) -> None:
    """The unit column has devices of its own: they are programmed, may be stuck, and stand in the files of what is to be written."""
    from ohmlet.chip import Faults

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 7, bias=False)).eval()
    crossbar = {**PLAIN, "noise_model": {"type": "pcm", "prog_noise_scale": 0.0, "read_noise_scale": 0.0, "drift_scale": 0.0}}
    parts = {"weight_bits": 8, "slice_bits": [4], "signs": "unit_column", "crossbar": crossbar}
    ohmlet.convert(model, ohmlet.AnalogConfig.parse({"tile": {"type": "bit_sliced", **parts}, "seed": 0}))
    chip, x = ohmlet.program(model, instances=2, seed=0), torch.rand(3, 20)
    broken = ohmlet.program(model, instances=2, seed=0, faults=Faults(stuck_off=0.2))
    assert float((chip.at(0.0)(x) - broken.at(0.0)(x)).abs().max()) > 0.1
    chip.export_targets(tmp_path)
    (written,) = tmp_path.glob("*.npz")
    assert np.load(written)["g_uS"].shape == (4, 8, 20)
