"""Write-verify: closed forms of how it converges, a scalar oracle on the same draws, and what it leaves as it was."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import ohmlet
from ohmlet.chip import Increment, Placement, WriteVerify
from ohmlet.errors import ConfigError
from ohmlet_kernels.noise import Stream, key

SIGMA = 0.8
"""uS, the spread of one write of `plain_model`."""


def converted(noise_model: Any, size: int = 100, outs: int = 100, converter: Any = "single_device", **tile: Any) -> nn.Module:
    """Return a layer whose targets cover the converter's window."""
    torch.manual_seed(0)
    layer: Any = nn.Sequential(nn.Linear(size, outs, bias=False).double())
    layer[0].weight.data.uniform_(-1, 1)
    parts = {"type": "inference", "noise_model": noise_model, "conductance_converter": converter, "drift_compensation": "none", **tile}
    return ohmlet.convert(layer, {"tile": parts, "mapping": {"scales": "none"}}).model


def plain_model(**changes: Any) -> dict[str, Any]:
    """Return a noise model whose writes err by SIGMA everywhere and that neither drifts nor has read noise."""
    return {"type": "state_independent", "prog_coeff": [SIGMA], "read_noise_scale": 0.0, "drift_scale": 0.0} | changes


def held(chip: ohmlet.Chip) -> tuple[torch.Tensor, torch.Tensor]:
    crossbar = chip.layers["0"].crossbars[0]
    return crossbar.g, crossbar.target[:, None].expand_as(crossbar.g)


@pytest.mark.parametrize(("tolerance", "writes"), [(0.8, 4), (0.4, 10), (2.0, 3)])
def test_independent_writes_converge_geometrically(tolerance: float, writes: int) -> None:
    write = WriteVerify(tolerance_uS=tolerance, read_noise_uS=0.0, max_iterations=writes)
    chip = ohmlet.program(converted(plain_model()), 4, seed=1, write=write)
    p = math.erf(tolerance / SIGMA / math.sqrt(2))
    never, mean = (1 - p) ** writes, (1 - (1 - p) ** writes) / p
    assert chip.report is not None
    (row,) = chip.report.rows
    assert row.devices == 40000
    assert row.never == pytest.approx(never, abs=4 * math.sqrt(never * (1 - never) / 40000) + 1e-12)
    assert row.pulses_mean == pytest.approx(mean, rel=0.02)
    assert row.iterations == row.pulses_max == writes
    assert row.accepted == row.within == 1 - row.never
    g, target = held(chip)
    error = (g - target)[(g - target).abs() <= tolerance]
    # Accepted errors are normal, cut off at the tolerance.
    a = tolerance / SIGMA
    truncated = SIGMA * math.sqrt(1 - 2 * a * math.exp(-(a**2) / 2) / math.sqrt(2 * math.pi) / p)
    assert float(error.std()) == pytest.approx(truncated, rel=0.02)


def test_read_noise_in_the_loop_limits_what_it_reaches() -> None:
    # With a tolerance far below both, e given e + r = 0 is normal with 1/s^2 = 1/sigma^2 + 1/r^2.
    noise = 0.5
    write = WriteVerify(tolerance_uS=0.05, read_noise_uS=noise, max_iterations=400)
    chip = ohmlet.program(converted(plain_model(), 60, 60), 2, seed=1, write=write)
    g, target = held(chip)
    assert chip.report is not None
    (row,) = chip.report.rows
    assert row.accepted > 0.999
    assert float((g - target).std()) == pytest.approx(1 / math.hypot(1 / SIGMA, 1 / noise), rel=0.03)
    assert row.within == pytest.approx(math.erf(0.05 * math.hypot(1 / SIGMA, 1 / noise) / math.sqrt(2)), abs=0.02)


def test_one_write_is_programming_without_verification() -> None:
    model = converted("pcm", converter="single_pair")
    once = ohmlet.program(model, 2, seed=1, write=WriteVerify(max_iterations=1))
    plain = ohmlet.program(model, 2, seed=1)
    assert torch.equal(held(once)[0], held(plain)[0])
    assert plain.report is None
    assert once.report is not None


def test_more_writes_touch_only_what_had_not_passed() -> None:
    model = converted("pcm", converter="single_pair")
    few, many = (ohmlet.program(model, 2, seed=1, write=WriteVerify(max_iterations=n, read_noise_uS=0.1)) for n in (3, 30))
    assert few.report is not None
    changed = float((held(few)[0] != held(many)[0]).double().mean())
    assert changed == pytest.approx(few.report.rows[0].never, abs=1e-12)
    assert changed > 0.02


@pytest.mark.parametrize("model", ["placement", {"type": "increment", "start": "programmed"}], ids=str)
def test_an_instance_is_the_same_however_many_there_are(model: Any) -> None:
    network = converted("pcm", converter="single_pair")
    write = {"model": model, "read_noise_uS": 0.1, "max_iterations": 6}
    few, many = (ohmlet.program(network, n, seed=1, write=write) for n in (2, 5))
    assert torch.equal(held(few)[0], held(many)[0][:, :2])


@pytest.mark.parametrize("start", ["g_min", "g_max"])
@pytest.mark.parametrize("gain", [0.3, 1.0, 1.1])
def test_increments_without_noise_approach_geometrically(gain: float, start: str) -> None:
    write = WriteVerify(
        model=Increment(gain=gain, sigma_uS=0.0, sigma_relative=0.0, start=start), tolerance_uS=0.5, read_noise_uS=0.0, max_iterations=99
    )
    chip = ohmlet.program(converted(plain_model()), 1, seed=1, write=write)
    g, target = held(chip)
    first = target - (9.0 if start == "g_min" else 88.2)
    left = np.abs(1 - gain)
    needed = [
        next(n for n in range(99) if abs(e) * (left**n if n else 1.0) <= 0.5 + 1e-9) if abs(e) > 0.5 else 0
        for e in first.flatten().tolist()
    ]
    assert chip.report is not None
    (row,) = chip.report.rows
    assert row.pulses_max == max(needed)
    assert row.pulses_mean == pytest.approx(np.mean(needed), abs=1e-9)
    assert row.never == 0.0
    # Overshoot of the last write would leave the wrong sign.
    assert torch.allclose((target - g).flatten(), first.flatten() * torch.tensor([(1 - gain) ** n for n in needed]), atol=1e-9)


def test_the_loop_is_the_scalar_one_on_the_same_draws() -> None:
    spec = WriteVerify(
        model=Increment(gain=0.6, sigma_uS=0.7, sigma_relative=0.2), tolerance_uS=0.4, tolerance_relative=0.01, max_iterations=7
    )
    network = converted(plain_model(read_noise_scale=0.5), 5, 4)
    chip = ohmlet.program(network, 2, seed=3, write=spec)
    g, target = held(chip)
    growth = math.sqrt(math.log((20.0 + 250e-9) / 500e-9))
    like = torch.zeros(4, 5, dtype=torch.float64)
    for instance in range(2):
        stream = Stream(torch.tensor(key(3, "0", 0, 0, instance)), None, torch.tensor([0]), "program")
        for i in range(4):
            for j in range(5):
                wanted, now, count = float(target[0, instance, i, j]), 9.0, 0
                for count in range(8):
                    xi = float(stream.child(f"verify {count}").normal("read", like)[i, j])
                    seen = max(now + now * 0.5 * growth / 88.2 * xi, 0.0)
                    if count == 7 or abs(seen - wanted) <= 0.4 + 0.01 * wanted:
                        break
                    move = 0.6 * (wanted - seen)
                    now += move + math.sqrt(0.49 + 0.04 * move**2) * float(stream.child(f"write {count}").normal("increment", like)[i, j])
                    now = max(now, 0.0)
                assert float(g[0, instance, i, j]) == pytest.approx(now, rel=1e-12)


def test_the_report_says_what_the_chip_holds() -> None:
    network = converted("pcm", 40, 30, converter="dual_pair", forward={})
    ohmlet.retarget(network, {"mapping.max_in": 25})
    chip = ohmlet.program(network, 3, seed=1, write={"tolerance_uS": 0.4, "read_noise_uS": 0.2, "max_iterations": 5})
    assert chip.report is not None
    assert [row.crossbar for row in chip.report.rows] == ["0.block0", "0.block1"]
    for row, crossbar in zip(chip.report.rows, chip.layers["0"].crossbars, strict=True):
        error = (crossbar.g - crossbar.target[:, None]).abs().numpy()
        assert row.devices == error.size == 4 * 3 * 30 * 20
        assert row.within == pytest.approx((error <= 0.4).mean())
        found = (row.error_median_uS, row.error_p95_uS, row.error_p99_uS, row.error_max_uS)
        assert found == pytest.approx(np.quantile(error, (0.5, 0.95, 0.99, 1.0)))
    text = str(chip.report)
    assert text.count("\n") == 3
    assert "0.block1" in text
    assert chip.report.to_plain()[0]["devices"] == 7200


def test_a_verified_chip_drifts_and_is_read_as_any_other() -> None:
    network = converted("pcm", converter="single_pair")
    x = torch.rand(20, 100, dtype=torch.float64)
    exact = network.train()(x).detach()

    def error(chip: ohmlet.Chip, t: str) -> float:
        return float((chip.at(t)(x) - exact).norm() / exact.norm())

    plain = ohmlet.program(network, 2, seed=1)
    verified = ohmlet.program(network, 2, seed=1, write=WriteVerify(tolerance_uS=0.2, read_noise_uS=0.05, max_iterations=100))
    assert error(verified, "1 s") < 0.9 * error(plain, "1 s")
    assert error(verified, "1 year") > 2 * error(verified, "1 s")
    crossbars = [chip.layers["0"].crossbars[0].coefficients for chip in (plain, verified)]
    assert crossbars[0] is not None
    assert crossbars[1] is not None
    assert torch.equal(*crossbars)  # type: ignore[arg-type]


CONVERTERS = {"reram_cmo": "single_device", "hermes": {"type": "single_pair", "g_max_uS": 20.0}}


@pytest.mark.parametrize("noise_model", ["pcm", "hermes", "reram_wan2022", "reram_cmo", "state_independent"])
@pytest.mark.parametrize("model", [Placement(), Increment(start="programmed"), Increment()], ids=["placement", "programmed", "increment"])
def test_every_noise_model_can_be_verified(noise_model: str, model: Any) -> None:
    network = converted(noise_model, 20, 20, converter=CONVERTERS.get(noise_model, "single_pair"))
    write = WriteVerify(model=model, tolerance_uS=1.0, max_iterations=60)
    report = ohmlet.program(network, 2, seed=1, write=write).report
    assert report is not None
    assert report.rows[0].accepted > 0.95


@pytest.mark.parametrize(
    ("write", "message"),
    [
        ({"tolerance_uS": 0.0}, "no write meets its target exactly"),
        ({"max_iterations": 0}, "'max_iterations' must be >= 1: 0"),
        ({"model": "tuning"}, "unknown type 'tuning'"),
        ({"model": {"type": "placement", "gain": 1.0}}, "unknown key 'gain'"),
        ({"model": {"type": "increment", "gain": 2.0}}, "'gain' must be < 2"),
        ({"tolerance": 0.5}, "unknown key 'tolerance'"),
        ("closed", "expected a mapping"),
    ],
    ids=str,
)
def test_settings_that_make_no_sense_are_refused(write: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ohmlet.program(converted("pcm", 3, 3), write=write)


@pytest.mark.slow
def test_half_a_million_devices_take_less_than_two_seconds() -> None:
    network = converted("pcm", 512, 512, converter="single_pair").float()
    taken = []
    for _ in range(3):
        start = time.perf_counter()
        chip = ohmlet.program(network, 1, seed=1, write=WriteVerify(tolerance_uS=0.3, read_noise_uS=0.1, max_iterations=30))
        taken.append(time.perf_counter() - start)
    assert chip.report is not None
    assert chip.report.rows[0].accepted > 0.99
    assert min(taken) < 2.0
