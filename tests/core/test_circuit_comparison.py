"""The comparison of a layer as a circuit with its approximations, and its command."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ohmlet.circuit_comparison import compare_circuit
from ohmlet.cli.main import main
from ohmlet.errors import ConfigError
from tests.oracle.crossbar import Crossbar

CONFIG = {
    "tile": {
        "type": "circuit",
        "wires": {"r_source": 5.0, "r_sense": 5.0},
        "conductance_converter": {"type": "single_pair", "g_max_uS": 50.0, "g_min_uS": 1.0},
        "forward": {"input_range": {"type": "fixed", "value": 1.0}},
    },
    "mapping": {"scales": "tilewise"},
}


def test_the_numbers_are_those_of_each_way_to_compute() -> None:
    weight = 2 * torch.rand(6, 8, generator=torch.Generator().manual_seed(3)) - 1
    found = compare_circuit(CONFIG, weight, sizes=(8,), ohms=(20.0,), inputs=3)
    w = weight.double().numpy() / float(weight.abs().max())
    x = 2 * torch.rand((3, 8), generator=torch.Generator().manual_seed(0)).double().numpy() - 1
    np.testing.assert_allclose(found.exact, x @ weight.double().numpy().T, rtol=1e-5)
    dense = []
    for each in x:
        plus, minus = (
            Crossbar(
                1e-6 * (1 + 49 * np.clip(sign * w.T, 0, 1)), 0.2 * each, np.zeros(6), r_word=20, r_bit=20, r_source=5, r_sense=5
            ).solve()
            for sign in (1, -1)
        )
        dense.append((plus["output"] - minus["output"]) / (0.2 * 49e-6) * float(weight.abs().max()))
    np.testing.assert_allclose(found.circuit, dense, rtol=2e-5, atol=1e-6)
    full = Crossbar(1e-6 * (1 + 49 * np.clip(w.T, 0, 1)), np.full(8, 0.2), np.zeros(6), r_word=20, r_bit=20, r_source=5, r_sense=5).solve()
    np.testing.assert_allclose(found.lost, 1 - full["cell_voltage"] / 0.2, rtol=1e-5, atol=1e-8)
    # The formula of the approximation, written out; its g_ratio is the segment's conductance over the largest of a device.
    n, ratio = 8, 1 / (20.0 * 50e-6)
    wx = w[None] * x[:, None]
    a = n / ratio * np.abs(wx).sum(-1)
    c = a * (a * (0.05 * a - 0.2) + 0.5)
    loss = c * (wx * (1 - (1 - np.arange(n) / n) ** 2)).sum(-1)
    np.testing.assert_allclose(found.quadratic, (wx.sum(-1) - loss) * float(weight.abs().max()), rtol=1e-4, atol=1e-5)
    (row,) = found.rows
    assert row.circuit == pytest.approx(np.linalg.norm(found.circuit - found.exact) / np.linalg.norm(found.exact), rel=1e-4)
    assert row.quadratic_off == pytest.approx(np.linalg.norm(found.quadratic - found.circuit) / np.linalg.norm(found.circuit), rel=1e-4)
    assert row.surrogate_off < 1e-5


def test_errors_grow_with_resistance_and_size_and_vanish_without() -> None:
    found = compare_circuit(CONFIG, shape=(32, 32), sizes=(8, 32), ohms=(0.0, 1.0, 10.0), inputs=4, positive=True)
    at = {(row.size, row.ohm): row for row in found.rows}
    assert at[8, 10.0].circuit > at[8, 1.0].circuit > at[8, 0.0].circuit
    assert at[32, 1.0].circuit > at[8, 1.0].circuit
    assert at[8, 1.0].crossbars == 16
    assert found.holds(0.5)[1] == "1 ohm: quadratic IR drop within 0.5 of the circuit holds up to crossbars of 32 x 32"
    assert found.holds(1e-9)[2].endswith("holds for none of these sizes")


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ConfigError, match="compare is for tile circuit, and this config has tile inference"):
        compare_circuit({"tile": "inference"})
    with pytest.raises(ConfigError, match="resistances at least 0 ohm"):
        compare_circuit(CONFIG, ohms=(-1.0,))
    with pytest.raises(ConfigError, match=r"this one is \(2, 3, 4\)"):
        compare_circuit(CONFIG, torch.ones(2, 3, 4))


def test_the_command_prints_a_table_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config, weights, picture = tmp_path / "circuit.yaml", tmp_path / "model.pt", tmp_path / "compared.png"
    config.write_text("tile: {type: circuit, conductance_converter: {type: single_pair, g_max_uS: 50.0}}\n")
    torch.save(torch.nn.Sequential(torch.nn.Conv2d(2, 6, 3), torch.nn.Linear(5, 4)).state_dict(), weights)
    options = ["--sizes", "8,16", "--ohms", "1,4", "--inputs", "3", "--out", str(picture)]
    assert main(["compare", str(config), "--weights", str(weights), "--layer", "0", *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in lines[2:6]] == [["8", "1", "3"], ["8", "4", "3"], ["16", "1", "2"], ["16", "4", "2"]]
    assert lines[-1] == f"written: {picture}"
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert main(["compare", str(config), "--weights", str(weights), "--layer", "7", *options]) == 2
    assert "has no matrix 7; it has 0.weight, 1.weight" in capsys.readouterr().err
    assert main(["compare", str(config), "--layer", "0"]) == 2
    assert "--layer has no effect without --weights" in capsys.readouterr().err
