"""Tile `circuit` against dense nodal solutions, closed forms and limits, through the whole tile."""

from __future__ import annotations

import itertools
import re
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import ohmlet
from ohmlet.config import structure
from ohmlet.config.analog import AnalogConfig
from ohmlet.errors import ConfigError, SurrogateWarning
from ohmlet.interfaces.memristor import MICRO
from ohmlet.interfaces.tile import Site, Tile
from ohmlet.nn.kernels import kernels_of
from ohmlet.testing import run_kit
from ohmlet_kernels.crossbar_solve import ConvergenceError, op
from ohmlet_kernels.noise import Stream
from ohmlet_kernels.noise import key as stream_key
from ohmlet_tiles.circuit import Circuit
from ohmlet_tiles.circuit_layout import LAYOUTS
from ohmlet_tiles.circuit_surrogate import fit
from tests.oracle.crossbar import Crossbar

WIRES: dict[str, Any] = {"r_word": 40.0, "r_bit": 70.0, "r_source": 25.0, "r_sense": 60.0}
NONE = {"r_word": 0.0, "r_bit": 0.0}
PAIR = {"type": "single_pair", "g_min_uS": 10.0, "g_max_uS": 100.0}
FIXED = {"input_range": {"type": "fixed", "value": 1.0}}
OUT, IN = 3, 5


def tile(**settings: Any) -> Circuit:
    found = structure({"type": "circuit", **settings}, Tile)
    assert isinstance(found, Circuit)
    return found


def crossbar(out: int = OUT, inputs: int = IN, *, training: bool = False, **settings: Any) -> Any:
    site = Site(out_features=out, in_features=inputs, kernel=kernels_of("auto"), keys=torch.tensor([stream_key("circuit")]))
    return tile(**settings).build(site).train(training)


def noise(samples: int = 1, *crossbars: int) -> Stream:
    keys = torch.arange(max(1, int(np.prod(crossbars, dtype=int)))).reshape(crossbars) + 17
    return Stream(keys, torch.arange(samples), torch.zeros(1, dtype=torch.int64))


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return 2 * torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) - 1


def by_hand(layout: str, w: Tensor, u: Tensor, v_read: float, law: Any = None, back: bool = False, **wires: Any) -> np.ndarray[Any, Any]:
    """Return the product by placing every cell of differential pairs and solving each array densely; `back` reads it transposed."""
    low, high = 10e-6, 100e-6
    plus, minus = (low + (high - low) * np.clip(sign * w.numpy(), 0, 1) for sign in (1, -1))
    out, inputs = w.shape

    def solved(g: Any, words: Any, bits: Any) -> Any:
        solution = Crossbar(g, words, bits, **wires).solve(law)
        return solution["cell_current"]

    v = v_read * u.numpy()
    if layout == "separate":
        if back:
            first, second = (-solved(g.T, np.zeros(inputs), v).sum(1) for g in (plus, minus))
        else:
            first, second = (solved(g.T, v, np.zeros(out)).sum(0) for g in (plus, minus))
        current = first - second
    elif layout == "columns":
        g = np.zeros((inputs, 2 * out))
        g[:, 0::2], g[:, 1::2] = plus.T, minus.T
        if back:
            bits = np.zeros(2 * out)
            bits[0::2], bits[1::2] = v, -v
            current = -solved(g, np.zeros(inputs), bits).sum(1)
        else:
            each = solved(g, v, np.zeros(2 * out)).sum(0)
            current = each[0::2] - each[1::2]
    else:
        g = np.zeros((2 * inputs, out))
        g[0::2], g[1::2] = plus.T, minus.T
        if back:
            each = -solved(g, np.zeros(2 * inputs), v).sum(1)
            current = each[0::2] - each[1::2]
        else:
            words = np.zeros(2 * inputs)
            words[0::2], words[1::2] = v, -v
            current = solved(g, words, np.zeros(out)).sum(0)
    return np.asarray(current / (v_read * (high - low)))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("ends", [("single", "single"), ("double", "single"), ("double", "double")])
def test_forward_and_transposed_product_are_the_dense_solution(layout: str, ends: tuple[str, str]) -> None:
    ways: dict[str, Any] = {**WIRES, "drive": ends[0], "sense": ends[1], "r_access": 500.0}
    exact: dict[str, Any] = {"dac": None, "adc": None, **FIXED}
    module = crossbar(layout=layout, wires=ways, conductance_converter=PAIR, forward=exact, backward=exact)
    w, u, d = numbers(OUT, IN), numbers(IN, seed=1), numbers(OUT, seed=2)
    x = u.clone()[None, None].requires_grad_()
    y = module.mvm(x, w, noise())
    np.testing.assert_allclose(y.detach()[0, 0], by_hand(layout, w, u, 0.2, **ways), rtol=1e-7)
    (gradient,) = torch.autograd.grad(y, x, d[None, None])
    transposed = by_hand(layout, w, d, 0.2, back=True, **ways)
    np.testing.assert_allclose(gradient[0, 0], transposed, rtol=1e-7)
    np.testing.assert_allclose(module.transposed_mvm(d[None, None], w, noise())[0, 0], transposed, rtol=1e-7)
    # By reciprocity the exact gradient of the forward circuit is the same reading.
    (through,) = torch.autograd.grad(
        crossbar(layout=layout, wires=ways, conductance_converter=PAIR, forward=exact).mvm(x, w, noise()), x, d[None, None]
    )
    np.testing.assert_allclose(through[0, 0], transposed, rtol=1e-6)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_nonlinear_cells_are_the_dense_solution(layout: str) -> None:
    device: dict[str, Any] = {"type": "cubic_iv", "third": 2.0}
    module = crossbar(layout=layout, wires=WIRES, conductance_converter=PAIR, device=device, v_read=0.9, forward=FIXED)
    w, u = numbers(OUT, IN), numbers(IN, seed=1)
    # A straight line through I = g (V + 2 V^3) on an even grid, which the tile's gain divides by.
    v = np.linspace(-0.9, 0.9, 65)
    slope = 1 + 2.0 * (v**4).sum() / (v**2).sum()
    expected = by_hand(layout, w, u, 0.9, law=lambda v, g: g * (v + 2.0 * v**3), **WIRES) / slope
    np.testing.assert_allclose(module.mvm(u[None, None], w, noise())[0, 0], expected, rtol=1e-6)


def test_an_offset_device_is_the_dense_solution() -> None:
    module = crossbar(wires=WIRES, conductance_converter={"type": "single_device", "g_min_uS": 10.0, "g_max_uS": 100.0}, forward=FIXED)
    w, u = numbers(OUT, IN), numbers(IN, seed=1)
    g = 10e-6 + 90e-6 * (w.T.numpy() + 1) / 2
    current = Crossbar(g, 0.2 * u.numpy(), np.zeros(OUT), **WIRES).solve()["output"]
    expected = (current / 0.2 - 55e-6 * float(u.sum())) / 45e-6
    np.testing.assert_allclose(module.mvm(u[None, None], w, noise())[0, 0], expected, rtol=1e-7)


@pytest.mark.parametrize(
    ("layout", "converter"), [("separate", "single_device"), *itertools.product(LAYOUTS, ("single_pair", "dual_pair", "n_pair"))]
)
def test_ideal_wires_and_linear_cells_are_the_product(layout: str, converter: str) -> None:
    settings: dict[str, Any] = {"layout": layout, "conductance_converter": converter, "wires": NONE}
    w, x = numbers(2, OUT, IN), 3 * numbers(4, 2, IN, seed=1)
    y = crossbar(**settings).mvm(x, w, noise(4, 2))
    torch.testing.assert_close(y, torch.einsum("coi,sri->csro", w, x), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("make", [lambda: nn.Linear(9, 7), lambda: nn.Conv2d(2, 6, 3, groups=2, padding=1), lambda: nn.LSTM(5, 4)])
def test_layers_without_wires_are_the_digital_ones(make: Any) -> None:
    torch.manual_seed(0)
    layer = make()
    x = torch.randn({nn.Linear: (4, 9), nn.Conv2d: (3, 2, 5, 5), nn.LSTM: (3, 2, 5)}[type(layer)])
    digital = layer(x)
    config = {"tile": {"type": "circuit", "wires": NONE}, "mapping": {"max_in": 4, "max_out": 3}}
    analog = ohmlet.convert(nn.ModuleDict({"layer": layer}), config).model.get_submodule("layer")(x)
    torch.testing.assert_close(*((each[0] if isinstance(each, tuple) else each) for each in (analog, digital)), rtol=1e-5, atol=2e-6)


def test_more_inputs_than_lines_superpose() -> None:
    module = crossbar(4, 6, wires=WIRES, conductance_converter=PAIR, forward=FIXED)
    w, x = numbers(4, 6), numbers(20, 1, 6, seed=1)
    together = module.mvm(x, w, noise(20))
    apart = torch.cat([module.mvm(x[i : i + 1], w, noise(20).at(torch.tensor([i]))) for i in range(20)])
    torch.testing.assert_close(together, apart, rtol=1e-6, atol=1e-8)


def test_gradients_of_a_tile() -> None:
    for settings in ({}, {"device": {"type": "cubic_iv", "third": 2.0}, "v_read": 0.9}, {"solve": "surrogate"}):
        module = crossbar(2, 3, wires=WIRES, conductance_converter=PAIR, forward=FIXED, rtol=1e-12, layout="rows", **settings)
        w, x = (0.9 * numbers(2, 3)).requires_grad_(), numbers(1, 1, 3, seed=1).requires_grad_()
        torch.autograd.gradcheck(lambda x, w, module=module: module.mvm(x, w, noise()), (x, w), rtol=1e-4)


def test_fine_tuning_through_the_circuit() -> None:
    """A layer that is a fifth off because of its wires is trained back to what it was to compute."""
    torch.manual_seed(0)
    layer, x = nn.Linear(16, 12), 2 * torch.rand(64, 16) - 1
    wanted = layer(x).detach()
    config = {"tile": {"type": "circuit", "wires": {"r_word": 300.0, "r_bit": 300.0}}, "seed": 0}
    model = ohmlet.convert(nn.Sequential(layer), config).model
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = (model(x) - wanted).square().mean() / wanted.square().mean()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[0] > 0.03
    assert losses[-1] < 0.1 * losses[0]


def test_a_chip_hands_over_its_conductances() -> None:
    """A pair of which both devices are stuck on amounts to a weight of zero, and loads the wires like no other."""
    torch.manual_seed(0)
    layer = nn.Linear(4, 2, bias=False)
    settings: dict[str, Any] = {"type": "circuit", "wires": WIRES, "noise_model": "pcm", "conductance_converter": PAIR, "forward": FIXED}
    model = ohmlet.convert(nn.Sequential(layer), {"tile": settings, "seed": 3}).model.eval()
    stuck = torch.full((2, 2, 4), float("nan"))
    stuck[:, 1, 2] = 100.0
    chip = ohmlet.program(model, faults=ohmlet.FaultMap({"0.block0": stuck}))
    x = 2 * torch.rand(3, 4) - 1
    (held,) = chip.layers["0"].crossbars
    g = chip.layers["0"].conductances(0, 0.0)[:, 0].double()
    assert bool((g[:, 1, 2] == 100.0).all())
    currents = [
        [Crossbar(MICRO * device.T.numpy(), 0.2 * each.double().numpy(), np.zeros(2), **WIRES).solve()["output"] for device in g]
        for each in x
    ]
    found = np.array([(plus - minus) / (0.2 * 90e-6) for plus, minus in currents]) * held.scale[:, 0].double().numpy()
    np.testing.assert_allclose(chip.at(0.0)(x)[0].double(), found, rtol=2e-5, atol=1e-6)
    np.testing.assert_allclose(chip.at(0.0).instance(0)(x).detach().double(), found, rtol=2e-5, atol=1e-6)


def test_devices_differ_by_their_key_alone() -> None:
    settings: dict[str, Any] = {"device": {"type": "metal_oxide"}, "conductance_converter": PAIR, "wires": WIRES, "forward": FIXED}
    w, x = numbers(OUT, IN), numbers(4, 1, IN, seed=1)
    module = crossbar(**settings)
    both = module.mvm(x.expand(2, -1, -1, -1), w.expand(2, -1, -1), noise(4, 2))
    assert float((both[0] - both[1]).abs().max()) > 0.01
    alone = crossbar(**settings).mvm(x, w, noise(4, 2)._replace(key=noise(4, 2).key[1]))
    torch.testing.assert_close(alone, both[1], rtol=1e-7, atol=1e-9)
    alike = crossbar(**{**settings, "device": {"type": "metal_oxide", "static_dtod": 0.0}})
    same = alike.mvm(x.expand(2, -1, -1, -1), w.expand(2, -1, -1), noise(4, 2))
    torch.testing.assert_close(same[0], same[1])


def test_thermal_noise_is_that_of_the_conductances() -> None:
    """Variance 4 k T f G of each cell, summed over a column and its pair, without wires."""
    device: dict[str, Any] = {"type": "metal_oxide", "static_dtod": 0.0, "temperature": 330.0}
    settings: dict[str, Any] = {
        "device": device,
        "conductance_converter": PAIR,
        "wires": NONE,
        "forward": FIXED,
        "v_read": 0.02,
    }
    w, x = numbers(1, 8), torch.zeros(4000, 1, 8, dtype=torch.float64)
    quiet = crossbar(1, 8, **settings)
    seen = crossbar(1, 8, read_bandwidth=1e8, **settings).mvm(x, w, noise(4000)) - quiet.mvm(x, w, noise(4000))
    g = torch.stack([10 + 90 * (sign * w).clamp(0, 1) for sign in (1, -1)]) * 1e-6
    celsius = 330.0 - 273.15
    conductance = -2.58e-6 + 0.977 * g + 1.166e-7 * celsius
    sigma = (4 * 1.380649e-23 * 330.0 * 1e8 * conductance.sum()).sqrt() / (0.02 * quiet_span(0.02, celsius))
    assert float(seen.std()) == pytest.approx(float(sigma), rel=0.05)


def quiet_span(v: float, celsius: float) -> float:
    """Return what the straight line through the metal-oxide law gains from 10 to 100 uS, in S."""
    grid = np.linspace(-v, v, 65)
    share = (grid**4).sum() / (grid**2).sum()
    ends = [-2.58e-6 + 0.977 * g + 1.166e-7 * celsius + share * (1.18 * g + 6596 * g * g) for g in (10e-6, 100e-6)]
    return float(ends[1] - ends[0])


def test_a_surrogate_is_exact_for_linear_cells_and_quotes_its_error_otherwise() -> None:
    w, x = numbers(OUT, IN), numbers(7, 1, IN, seed=1)
    common: dict[str, Any] = {"wires": WIRES, "conductance_converter": PAIR, "forward": FIXED}
    exact, fitted = crossbar(**common), crossbar(solve="surrogate", **common)
    torch.testing.assert_close(fitted.mvm(x, w, noise(7)), exact.mvm(x, w, noise(7)), rtol=1e-6, atol=1e-8)
    assert fitted.forward_pass.surrogate_error < 1e-6
    device: dict[str, Any] = {"device": {"type": "cubic_iv", "third": 2.0}, "v_read": 0.9}
    bent = crossbar(solve={"type": "surrogate", "tolerance": 1e-4}, **device, **common)
    with pytest.warns(SurrogateWarning, match=r"off by 0\.\d+ of its outputs' norm, more than tile.solve.tolerance 0.0001"):
        found = bent.mvm(x, w, noise(7))
    wanted = crossbar(**device, **common).mvm(x, w, noise(7))
    off = float((found - wanted).norm() / wanted.norm())
    assert 0.2 * off < bent.forward_pass.surrogate_error < 5 * off
    assert re.match(r"surrogate off by 0\.\d+", bent.extra_repr())


def test_a_surrogate_is_exact_without_wires_for_laws_that_differ_by_a_factor() -> None:
    """I = g (V + c V^3), which a straight line misses by a fifth at full voltage."""
    device: dict[str, Any] = {"device": {"type": "cubic_iv", "third": 2.0}, "v_read": 0.9, "wires": NONE}
    w, units = numbers(OUT, IN), torch.eye(IN, dtype=torch.float64)[:, None]
    found = crossbar(conductance_converter=PAIR, forward=FIXED, solve="surrogate", **device).mvm(units, w, noise(IN))
    grid = np.linspace(-1, 1, 65)
    slope = 1 + 2.0 * 0.81 * (grid**4).sum() / (grid**2).sum()
    torch.testing.assert_close(found, w.mT[:, None] * (1 + 2.0 * 0.81) / slope, rtol=1e-7, atol=1e-9)


def test_the_error_of_a_surrogate_is_that_of_the_inputs_it_is_for() -> None:
    """Inputs of one sign load the lines more, so that what is measured with both signs is not what they meet."""
    device: dict[str, Any] = {"device": {"type": "cubic_iv", "third": 8.0}, "v_read": 0.45, "wires": {"r_word": 100.0, "r_bit": 100.0}}
    w, x = numbers(16, 24), numbers(200, 1, 24, seed=1).abs()
    exact = crossbar(16, 24, conductance_converter=PAIR, forward=FIXED, **device).mvm(x, w, noise(200))
    told = {}
    for positive in (False, True):
        solve = {"type": "surrogate", "positive": positive, "samples": 200, "tolerance": 1.0}
        module = crossbar(16, 24, conductance_converter=PAIR, forward=FIXED, solve=solve, **device)
        off = float((module.mvm(x, w, noise(200)) - exact).norm() / exact.norm())
        told[positive] = module.forward_pass.surrogate_error / off
    assert told[True] == pytest.approx(1.0, rel=0.1)
    assert told[False] < 0.9


def test_a_surrogate_is_fitted_anew_for_other_weights_and_not_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    fits: list[int] = []

    def counted(*given: Any) -> Any:
        fits.append(1)
        return fit(*given)

    monkeypatch.setattr("ohmlet_tiles.circuit_pass.fit", counted)
    module = crossbar(solve="surrogate", wires=WIRES)
    w, x = numbers(OUT, IN), numbers(2, 1, IN, seed=1)
    first = module.mvm(x, w, noise(2))
    module.mvm(2 * x, w.clone(), noise(2))
    assert len(fits) == 1
    assert float((module.mvm(x, w.flip(0), noise(2)) - first).abs().max()) > 0.1
    assert len(fits) == 2
    torch.testing.assert_close(module.mvm(x, w, noise(2)), first)


def test_bound_management_reads_again_with_smaller_voltages() -> None:
    forward: dict[str, Any] = {"adc": {"bits": 10, "bound": 1.0}, "bound_management": "iterative", **FIXED}
    module = crossbar(wires=WIRES, conductance_converter=PAIR, forward=forward)
    w, x = torch.ones(OUT, IN, dtype=torch.float64), torch.ones(1, 1, IN, dtype=torch.float64)
    free = crossbar(wires=WIRES, conductance_converter=PAIR, forward=FIXED).mvm(x, w, noise())
    assert float(free.min()) > 1.5
    torch.testing.assert_close(module.mvm(x, w, noise()), free, rtol=0.02, atol=0.02)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"wires": {"r_word": -1.0}}, "'r_word' must be >= 0"),
        ({"device": "soft_bounds"}, "SoftBounds has no current-voltage law"),
        ({"device": "metal_oxide", "conductance_converter": PAIR, "v_read": 0.5}, "holds up to 0.4 V: lower v_read"),
        ({"device": "metal_oxide"}, "uses 0 to 25 uS, and MetalOxide has"),
        ({"device": "cubic_iv", "conductance_converter": PAIR, "read_bandwidth": 1e6}, "CubicIV has no thermal noise"),
        ({"read_bandwidth": 1e6}, "no effect without a device"),
        ({"layout": "rows", "conductance_converter": "single_device"}, "layout rows has no effect with one device"),
        ({"conductance_converter": "sign_magnitude"}, "keeps signs digitally"),
        ({"forward": {"ir_drop": "quadratic"}}, "the wires are solved for"),
        ({"forward": {"weight_noise": "additive_constant"}}, "forward.weight_noise has no place in tile circuit"),
        ({"backward": {"voltage_drop": {"r_series": 0.1}}}, "wires.r_sense"),
        ({"training": {"modifier": "add_normal", "per_sample": True}}, "a circuit of its own"),
    ],
)
def test_nonsense_is_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)):
        AnalogConfig.parse({"tile": {"type": "circuit", **settings}})


def test_voltages_beyond_the_law_are_refused_where_they_appear() -> None:
    settings: dict[str, Any] = {"device": "metal_oxide", "conductance_converter": PAIR, "forward": FIXED, "v_read": 0.2}
    with pytest.raises(ConfigError, match=re.escape("law up to 0.4 V, and 0.6 V is to be read")):
        crossbar(**settings).mvm(3 * torch.ones(1, 1, IN), numbers(OUT, IN).float(), noise())


def test_what_does_not_fit_or_converge_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from ohmlet_tiles import circuit_network

    module = crossbar(40, 50, wires=WIRES)
    w, x = numbers(40, 50), numbers(1, 1, 50, seed=1)
    with monkeypatch.context() as less:
        less.setattr(circuit_network, "AT_ONCE", 1000)
        less.setattr(circuit_network, "available", lambda device: 1e4)
        with pytest.raises(
            ConfigError, match=r"2 crossbars of 50 x 40 cells do not fit: the solution for 1 input takes .* GB, and 0\.0 GB"
        ):
            module.mvm(x, w, noise())
        with pytest.raises(ConfigError, match=r"the solution for 8 inputs takes .* lower .* tile.solve.samples"):
            crossbar(conductance_converter=PAIR, device="cubic_iv", solve="surrogate").mvm(x[..., :IN], w[:OUT, :IN], noise())
    monkeypatch.setattr(op, "_most", lambda *_: 2)
    with pytest.raises(ConvergenceError, match="residual"):
        module.mvm(x, w, noise())


def test_inputs_in_parts_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    from ohmlet_tiles import circuit_network

    settings: dict[str, Any] = {
        "device": {"type": "cubic_iv", "third": 2.0},
        "v_read": 0.9,
        "wires": WIRES,
        "conductance_converter": PAIR,
        "forward": FIXED,
    }
    w, x = numbers(OUT, IN).requires_grad_(), numbers(9, 1, IN, seed=1)
    found = []
    for at_once in (circuit_network.AT_ONCE, 2000):
        monkeypatch.setattr(circuit_network, "AT_ONCE", at_once)
        y = crossbar(**settings).mvm(x, w, noise(9))
        found.append((y.detach(), *torch.autograd.grad(y.square().sum(), w)))
    for whole, parts in zip(*found, strict=True):
        torch.testing.assert_close(parts, whole, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(
    "settings",
    [
        {
            "forward": {
                "dac": {"bits": 8},
                "adc": {"bits": 8, "bound": 8.0},
                "input_range": {"type": "learned", "init": 0.9, "init_batches": 2},
            },
            "backward": {"dac": {"bits": 8}},
            "training": {"modifier": {"type": "add_normal", "std": 0.08}},
            "noise_model": {"type": "pcm", "prog_noise_scale": 4.0},
            "drift_compensation": "global",
            "layout": "rows",
            "wires": {"r_word": 100.0, "r_bit": 200.0},
        },
        {"device": "metal_oxide", "conductance_converter": PAIR, "read_bandwidth": 1e8, "layout": "columns", "noise_model": "pcm"},
        {"device": "cubic_iv", "conductance_converter": PAIR, "solve": "surrogate", "drift_compensation": "global", "noise_model": "pcm"},
    ],
)
def test_other_settings_pass_the_kit(settings: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = run_kit("tile", tile(**settings))
    assert not [f"{result.name}: {result.message}" for result in results if not result.passed]


def test_explain_says_what_is_solved() -> None:
    words = ohmlet.explain({"tile": {"type": "circuit", "wires": WIRES, "conductance_converter": PAIR}})
    assert "40 and 70 ohm per cell of word and bit line, 25 and 60 ohm at sources and sense nodes" in words
    assert "f = (0.0111111, -0.0111111) / uS" in words
