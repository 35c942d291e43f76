"""Runs at circuit level: what is programmed is what is computed with, accounts are right, stopping and starting again change nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ohmlet.cells.array import fabricated
from ohmlet.circuit import Progress, Tuning, open_loop, tune
from ohmlet.cli.main import main
from ohmlet.config import files
from ohmlet.errors import ConfigError, OrderError
from ohmlet.experiment.checkpoint import Interrupted, Stopper
from ohmlet.experiment.circuit import CircuitExperiment
from ohmlet.experiment.circuit_chip import equivalent, gathered, typical_read
from ohmlet.experiment.circuit_results import Programmed, lost_reading, lost_writing
from ohmlet.experiment.circuit_run import CircuitRun
from ohmlet.experiment.progress import Quiet, Stage
from ohmlet.experiment.sweep import load, read
from ohmlet.interfaces.noise_model import ConductanceWindow
from ohmlet_devices.metal_oxide import MetalOxide
from ohmlet_kernels.crossbar_solve import Cubic, Wires, crossbar_solve
from ohmlet_kernels.noise import Stream
from ohmlet_tiles.circuit_layout import LAYOUTS, Layout
from tests.experiment.test_run import StopAt
from tests.oracle.crossbar import Crossbar

WIRES: dict[str, Any] = {"r_word": 5.0, "r_bit": 7.0, "r_source": 3.0, "r_sense": 4.0}
WINDOW = {"type": "single_pair", "g_min_uS": 30.0, "g_max_uS": 120.0}
FORWARD = {"input_range": {"type": "fixed", "value": 1.0}}
SMALL: dict[str, Any] = {
    "name": "small",
    "seed": 3,
    "threads": 1,
    "data": {"type": "digits", "test_fraction": 0.9},
    "model": {"type": "mlp", "hidden": [3]},
    "training": {"epochs": 1, "batch_size": 30},
    "rules": {"3": "digital"},
    "hardware": {
        "tile": {
            "type": "circuit", "device": "metal_oxide", "layout": "columns", "wires": WIRES,
            "conductance_converter": WINDOW, "forward": FORWARD,
        },
        "mapping": {"max_in": 8, "max_out": 64},
    },
    "programming": {
        "start_uS": 60.0,
        "tuning": {
            "set_voltage": 0.95, "reset_voltage": -1.2, "voltage_step": 0.05, "set_width": 5e-3, "reset_width": 5e-3,
            "order": "at_once", "max_sweeps": 8,
        },
        "faults": {"stuck_on": 0.02, "stuck_off": 0.02},
    },
    "evaluation": {
        "samples": 12,
        "variants": {"circuit": {}, "inference": {"tile": {"type": "inference", "conductance_converter": WINDOW, "forward": FORWARD}}},
    },
}  # fmt: skip


def changed(**changes: Any) -> CircuitExperiment:
    """Return the small experiment with changes by their dotted paths, dots written as two underscores."""
    from ohmlet.config.dotted import with_paths

    return CircuitExperiment.parse(with_paths(SMALL, {path.replace("__", "."): value for path, value in changes.items()}))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> CircuitRun:
    run = CircuitRun(changed(), tmp_path_factory.mktemp("finished"), Quiet())
    run()
    return run


def answers(run: CircuitRun, variant: str) -> tuple[Tensor, Tensor]:
    """Return the products of the first layer in a run and the exact ones, float64."""
    held = run.state["evaluation"][variant]["layers"]["1"]
    return held["product"].double(), held["exact"].double()


def images(run: CircuitRun) -> Tensor:
    split = run.experiment.data.load(run.imports)
    return split.test_x[:12].flatten(1).double()


def test_a_run_leaves_results_pictures_and_a_report_and_no_checkpoint(finished: CircuitRun) -> None:
    names = {"results.json", "experiment.yaml", "report.md", "voltage_drop.png", "errors.png"}
    assert {path.name for path in finished.folder.iterdir()} == names
    for name in ("voltage_drop.png", "errors.png"):
        assert (finished.folder / name).read_bytes().startswith(b"\x89PNG")
    results = json.loads((finished.folder / "results.json").read_text())
    assert results == json.loads(json.dumps(finished.results))
    assert "wall time: digital training" in (finished.folder / "report.md").read_text()
    assert not any("seconds" in key or key.startswith("wall") for key in results)


def dense(held: Programmed, words: Any, bits: Any, current: Any) -> Any:
    """Return the currents and voltages of a crossbar of 8 x 6 cells: dense solutions with resistors, until these are the cells' chords."""
    cell, g = {name: value[0] for name, value in held.lines.cell.items()}, held.tuned.g[0]
    chord = g.numpy()
    for _ in range(30):
        found = Crossbar(chord, words, bits, **WIRES).solve()
        across = torch.as_tensor(found["cell_voltage"])
        before, chord = chord, (current(across, g, cell) / across).numpy()
        if np.abs(chord / before - 1).max() < 1e-8:
            return found
    raise AssertionError("chords did not settle")


def slope_of_window(v_read: float) -> float:
    """Return by how much a typical device conducts more at 120 than at 30 uS, least squares over +-v_read."""
    device, ends = MetalOxide(), torch.tensor([30e-6, 120e-6], dtype=torch.float64)
    v = torch.linspace(-v_read, v_read, 65, dtype=torch.float64)[:, None]
    low, high = ((device.current(v, ends.expand(65, -1), device.typical()) * v).sum(0) / (v * v).sum()).tolist()
    return float(high - low)


def scales(run: CircuitRun, inputs: int = 8) -> list[Any]:
    """Return, for each crossbar of so many inputs, the largest weight of each output, which its largest conductance stands for."""
    weight = run.state["training"]["model"]["1.weight"].double()
    return [part.abs().amax(1).numpy() for part in weight.split(inputs, 1)]


def test_the_circuit_is_the_dense_solution_of_the_cells_that_were_programmed(finished: CircuitRun) -> None:
    """With the law and each device's deviation, solved node by node and independent of the tile."""
    product, exact = answers(finished, "circuit")
    total: Any = 0.0
    for held, x, scale in zip(finished.programmed, images(finished)[5].split(8), scales(finished), strict=True):
        # A pixel of zero leaves cells without a voltage, which chords divide by.
        volts = 0.2 * x.clamp_min(1e-9).numpy()
        out = dense(held, volts, np.zeros(6), MetalOxide().current)["output"]
        total = total + (out[0::2] - out[1::2]) / (0.2 * slope_of_window(0.2)) * scale
    np.testing.assert_allclose(product[5], total, rtol=1e-5, atol=1e-5 * float(exact.abs().max()))


def test_another_tile_reads_the_same_cells(finished: CircuitRun) -> None:
    """Without wires and law, products are those of the conductances that reads see, on the line through a typical device's."""
    device, typical = MetalOxide(), MetalOxide().typical()
    low, high = (float(device.current(torch.tensor([[0.1]]), torch.tensor([[g]]), typical)) / 0.1 for g in (30e-6, 120e-6))
    total: Any = 0.0
    for held, x, scale in zip(finished.programmed, images(finished).split(8, 1), scales(finished), strict=True):
        seen = held.tuned.read[0].numpy() / (high - low)
        total = total + x.numpy() @ ((seen[:, 0::2] - seen[:, 1::2]) * scale)
    np.testing.assert_allclose(answers(finished, "inference")[0], total, rtol=1e-4, atol=1e-5)


def test_what_a_run_says_of_programming_is_what_its_cells_say(finished: CircuitRun) -> None:
    start = typical_read(MetalOxide(), torch.full((1, 1), 60e-6, dtype=torch.float64), 0.1)
    assert [row["crossbar"] for row in finished.results["programming"]] == [f"1.block{number}" for number in range(8)]
    for held, row in zip(finished.programmed, finished.results["programming"], strict=True):
        assert (row["word_lines"], row["bit_lines"], row["cells"]) == (8, 6, 48)
        assert row["pulses"] == int(held.tuned.pulses.sum()) > 48
        assert row["energy_J"] == pytest.approx(float(held.tuned.energy.sum()))
        off = 1e6 * (held.tuned.read - held.tuned.target)
        assert row["error_rms_uS"] == pytest.approx(float(off.square().mean().sqrt()))
        stuck = torch.zeros_like(held.tuned.accepted) if held.stuck is None else held.stuck
        assert row["stuck"] == int(stuck.sum())
        limits = torch.tensor([30.0, 120.0], dtype=torch.float64)
        assert bool(torch.isin((1e6 * held.tuned.g[stuck]).round(decimals=3), limits).all())
        # What is healthy has moved towards its target.
        before, after = ((each - held.tuned.target)[~stuck].square().mean() for each in (start, held.tuned.read))
        assert float(after) < 0.5 * float(before)
    assert sum(row["stuck"] for row in finished.results["programming"]) > 5


def test_full_scale_power_and_drop_are_those_of_the_dense_solution(finished: CircuitRun) -> None:
    for held, row in zip(finished.programmed[:2], finished.results["full_scale"][:2], strict=True):
        found = dense(held, np.full(8, 0.2), np.zeros(6), MetalOxide().current)
        lost = 1 - found["cell_voltage"] / 0.2
        assert row["lost_mean"] == pytest.approx(float(lost.mean()), rel=1e-4)
        assert row["lost_most"] == pytest.approx(float(lost.max()), rel=1e-4)
        assert row["power_W"] == pytest.approx(0.2 * float(found["cell_current"].sum()), rel=1e-4)
        np.testing.assert_allclose(lost_reading(held), lost, rtol=1e-3, atol=1e-6)


def test_the_map_of_writing_is_the_dense_solution_of_one_word_line(finished: CircuitRun) -> None:
    held = finished.programmed[1]
    words = np.zeros(8)
    words[5] = 0.95 / 2
    found = dense(held, words, np.full(6, -0.95 / 2), MetalOxide().write_current)
    np.testing.assert_allclose(lost_writing(held, finished.experiment)[5], 1 - found["cell_voltage"][5] / 0.95, rtol=1e-3, atol=1e-6)


def test_without_errors_of_any_kind_the_circuit_is_the_digital_network(tmp_path: Path) -> None:
    """Ohmic devices without spread on ideal wires, tuned finely: what is left is the tolerance of the tuning."""
    run = CircuitRun(
        changed(
            hardware__tile__device={"type": "cubic_iv", "third": 0.0, "pulses": 60.0},
            hardware__mapping={"max_in": 64},
            hardware__tile__wires={"r_word": 0.0, "r_bit": 0.0},
            hardware__tile__conductance_converter={"type": "single_pair", "g_min_uS": 20.0, "g_max_uS": 80.0},
            programming={
                "start_uS": 50.0,
                "tuning": {"tolerance": 0.0, "tolerance_uS": 0.5, "max_sweeps": 150},
            },
            evaluation__variants={"circuit": {}},
        ),
        tmp_path,
        Quiet(),
    )
    run()
    (layer,) = run.results["variants"][0]["layers"]
    assert all(row["within_tolerance"] == 1.0 for row in run.results["programming"])
    product, exact = answers(run, "circuit")
    # |y - w x| <= sum_j x_j 2 (0.5 uS / 60 uS) scale
    bound = images(run).sum(1, keepdim=True).numpy() * (2 * 0.5 / 60.0) * scales(run, 64)[0]
    assert bool((np.abs((product - exact).numpy()) <= bound + 1e-5).all())
    assert layer["error"] == pytest.approx(float((product - exact).norm() / exact.norm()))
    assert layer["gain"] == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize(("stage", "after"), [("digital training", 2), ("programming", 12), ("running samples", 3)])
def test_a_run_stopped_by_ctrl_c_goes_on_to_the_same_results(stage: str, after: int, finished: CircuitRun, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        CircuitRun(changed(), tmp_path, StopAt(stage, after))()
    assert (tmp_path / "checkpoint.pt").exists()
    assert not (tmp_path / "results.json").exists()
    again = CircuitRun(changed(), tmp_path, Quiet())
    assert again.resumed
    again()
    assert (tmp_path / "results.json").read_text() == (finished.folder / "results.json").read_text()


def test_what_is_finished_is_not_computed_again_unless_asked_to(finished: CircuitRun) -> None:
    class Untouched(Quiet):
        @contextmanager
        def stage(self, name: str, total: int, done: int = 0) -> Iterator[Stage]:
            if total:
                raise AssertionError(name)
            yield Stage()

    again = CircuitRun(changed(), finished.folder, Untouched())
    assert again.found
    assert again() == finished.results
    assert not CircuitRun(changed(seed=4), finished.folder, Quiet()).found
    with pytest.raises(AssertionError, match="digital training"):
        CircuitRun(changed(), finished.folder, Untouched(), fresh=True)()


def test_the_command_says_what_it_found_and_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = tmp_path / "small.yaml", tmp_path / "out"
    files.write(SMALL, path)
    assert main(["check", str(path)]) == 0
    assert main(["run", str(path), "--out", str(out)]) == 0
    first = capsys.readouterr().out
    for words in ("digital", "pulses", "cells lack", "wall time", "voltage_drop.png"):
        assert words in first
    assert main(["run", str(path), "--out", str(out)]) == 0
    assert "holds these results of the same experiment already; --fresh" in capsys.readouterr().out
    assert isinstance(load(path), CircuitExperiment)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hardware__tile": {"type": "circuit"}}, "voltage pulses to memristors, and hardware.tile has none"),
        ({"hardware__tile": "inference"}, "voltage pulses to memristors, and hardware.tile has none"),
        ({"programming__start_uS": 400.0}, "400 uS is no conductance of the device, 3.16 to 316 uS"),
        ({"evaluation__variants": {}}, "needs at least one"),
        ({"evaluation__variants": {"odd": {"tile.wire.r_bit": 1.0}}}, "tile.wire|unknown"),
        ({"compare": {"sgd": {}}}, "'programming' pulses crossbars at circuit level and 'compare' trains in memory"),
        ({"sweep": {"over": {}}}, "'programming' pulses crossbars at circuit level and 'sweep'"),
        ({"name": "a/b"}, "becomes a folder"),
    ],
)
def test_nonsense_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        changed(**changes)


def test_a_file_with_programming_is_read_as_such() -> None:
    assert isinstance(read(SMALL, "page"), CircuitExperiment)
    with pytest.raises(ConfigError, match="instances"):
        changed(evaluation__instances=3)


class NotProgramming(Quiet):
    """Fails where programming begins."""

    @contextmanager
    def stage(self, name: str, total: int, done: int = 0) -> Iterator[Stage]:
        assert name != "programming"
        yield Stage()


def test_a_variant_that_holds_other_conductances_is_refused(tmp_path: Path) -> None:
    other = {"narrow": {"tile.conductance_converter.g_max_uS": 100.0}}
    with pytest.raises(ConfigError, match="variant 'narrow' reads the conductances of layer '1' as other weights"):
        CircuitRun(changed(evaluation__variants=other), tmp_path, NotProgramming())()


def test_what_a_variant_refuses_is_refused_before_anything_is_programmed(tmp_path: Path) -> None:
    unset = {"unset": {"tile.forward.input_range": {"type": "fixed"}}}
    with pytest.raises(OrderError, match="calibrate"):
        CircuitRun(changed(evaluation__variants=unset), tmp_path, NotProgramming())()


def test_open_loop_looks_at_nothing(tmp_path: Path) -> None:
    run = CircuitRun(changed(programming__way="open_loop", programming__tuning__max_sweeps=4, evaluation__samples=2), tmp_path, Quiet())
    for row in run()["programming"]:
        assert row["within_tolerance"] < 0.6
        assert 0 < row["pulses_most"] <= 4


@pytest.mark.parametrize("layout", ["separate", "rows"])
def test_cells_lie_on_other_lines_with_other_layouts(layout: str, tmp_path: Path) -> None:
    run = CircuitRun(
        changed(hardware__tile__layout=layout, programming__tuning__max_sweeps=2, evaluation__variants={"circuit": {}}), tmp_path, Quiet()
    )
    run()
    u, total, factor = images(run), torch.zeros(12, 3, dtype=torch.float64), 0.2 * slope_of_window(0.2)
    for held, x, scale in zip(run.programmed, u.split(8, 1), scales(run), strict=True):
        linear, third = MetalOxide().cubic(held.lines.g, held.lines.cell)
        assert linear.shape[-2:] == ((8, 3) if layout == "separate" else (16, 3))
        volts = 0.2 * (x if layout == "separate" else torch.stack((x, -x), -1).flatten(-2))
        out = crossbar_solve(linear, volts, held.lines.wires, iv=Cubic(third.unsqueeze(-3))).output.reshape(-1, 12, 3)
        total += (out[0] - out[1] if layout == "separate" else out[0]) / factor * torch.as_tensor(scale)
        # Bit lines of opposite currents may lie below ground.
        assert 0 < float(lost_reading(held).max()) < 1
    product, exact = answers(run, "circuit")
    torch.testing.assert_close(product, total, rtol=1e-4, atol=1e-5 * float(exact.abs().max()))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_values_come_back_from_the_lines(layout: str) -> None:
    laid = Layout(layout, torch.tensor([1.0, -1.0], dtype=torch.float64)).grid
    values = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    back = gathered(laid(values), values, laid)
    assert torch.equal(back, values)


def test_equivalents_are_states_at_the_ends_of_the_window() -> None:
    device, window = MetalOxide(), ConductanceWindow(30.0, 120.0)
    ends = torch.tensor([[30e-6, 120e-6]], dtype=torch.float64)
    found = equivalent(device, typical_read(device, ends, 0.15), 0.15, window)
    np.testing.assert_allclose(found, [[30.0, 120.0]], rtol=1e-12)


@pytest.mark.parametrize("way", [tune, open_loop])
@pytest.mark.parametrize("order", ["in_turn", "at_once"])
def test_stuck_cells_keep_their_state_and_others_do_not_mind(way: Any, order: str) -> None:
    device = MetalOxide(dynamic_dtod=0.0, static_dtod=0.0)
    cell, _ = fabricated(device, 4, 5, Stream(torch.tensor(0)), torch.zeros(1, dtype=torch.float64))
    g = torch.full((4, 5), 60e-6, dtype=torch.float64)
    stuck = torch.zeros(4, 5, dtype=torch.bool)
    stuck[1, 2] = stuck[3, 0] = True
    settings = Tuning(max_sweeps=8, order=order, voltage_step=0.02)
    target = torch.full_like(g, 70e-6)
    seen: list[Progress] = []
    # Word lines in turn: a stuck cell's load on the wires is all that others know of it.
    wires, near = (Wires(), 0.0) if order == "at_once" else (Wires(2.0, 2.0, 2.0, 2.0), 1e-2)
    plain, held = (way(device, g, target, cell, settings, wires, None, mask) for mask in (None, stuck))
    assert bool((held.g[stuck] == 60e-6).all())
    assert not bool((plain.g[stuck] == 60e-6).any())
    torch.testing.assert_close(held.g[~stuck], plain.g[~stuck], rtol=near, atol=0)
    way(device, g, target, cell, settings, wires, None, stuck, seen.append)
    assert [each.sweep for each in seen] == list(range(len(held.history)))


def test_tuning_can_be_stopped_between_sweeps() -> None:
    device, stopper = MetalOxide(), Stopper()
    cell, _ = fabricated(device, 2, 2, Stream(torch.tensor(0)), torch.zeros(1, dtype=torch.float64))
    g = torch.full((2, 2), 60e-6, dtype=torch.float64)

    def each(progress: Progress) -> None:
        stopper.asked = progress.sweep == 2
        stopper.check()

    with pytest.raises(Interrupted):
        tune(device, g, 2 * g, cell, Tuning(), Wires(), None, None, each)
