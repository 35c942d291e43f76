"""Targets to files and read-backs from them: a round trip through real arrays, and everything that can be wrong with their files."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import ohmlet
from ohmlet.errors import ConfigError, OrderError
from tests.chip.test_program import PCM, X, network

NAMES = ["0.block0", "3.block0", "3.block1"]
"""Crossbars of `network`: a convolution of two groups, and a linear layer over two."""


@pytest.fixture
def model() -> Any:
    return network()


@pytest.fixture
def exported(model: Any, tmp_path: Path) -> Path:
    ohmlet.export_targets(model, tmp_path / "targets")
    return tmp_path / "targets"


def bring_back(exported: Path, folder: Path, change: Any, times: list[float] | None = None) -> Path:
    """Write the NPZ files of a read-back: change(targets, t) for each time."""
    folder.mkdir()
    for path in exported.glob("*.npz"):
        target = np.load(path)["g_uS"]
        if times is None:
            np.savez(folder / path.name, g_uS=change(target, 0.0))
        else:
            np.savez(folder / path.name, g_uS=np.stack([change(target, t) for t in times]), t_s=np.array(times))
    return folder


def test_files_say_what_programming_aims_at(model: Any, exported: Path) -> None:
    manifest = json.loads((exported / "manifest.json").read_text("utf-8"))
    assert manifest["unit"] == "uS"
    assert [row["crossbar"] for row in manifest["crossbars"]] == NAMES
    chip = ohmlet.program(model, seed=1)
    crossbars = [crossbar for layer in chip.layers.values() for crossbar in layer.crossbars]
    for row, crossbar in zip(manifest["crossbars"], crossbars, strict=True):
        g = np.load(exported / row["npz"])["g_uS"]
        assert g.dtype == np.float32
        assert np.array_equal(g, crossbar.target.numpy())
        tables = [np.array(list(csv.reader((exported / name).read_text("utf-8").splitlines())), dtype=np.float32) for name in row["csv"]]
        assert np.array_equal(np.stack(tables).reshape(g.shape), g)
        assert row["shape"] == list(g.shape)
        assert row["window_uS"] == [0.0, 25.0]
        assert row["conductance_converter"]["type"] == "single_pair"
        assert np.allclose(row["scale"], crossbar.scale.numpy())
    grouped, _, second = manifest["crossbars"]
    assert grouped["csv"][1] == "0.block0.device0.group1.csv"
    assert (second["layer"], second["block"], second["inputs"], second["outputs"]) == ("3", 1, [8, 16], [0, 3])
    # From a file back to the layer's weights, by hand.
    g = np.load(exported / second["npz"])["g_uS"]
    assert np.allclose((g[0] - g[1]) / 25.0 * np.array(second["scale"]), model[3].weight.detach()[:, 8:], atol=1e-6)


def test_a_chip_exports_what_the_model_does(model: Any, exported: Path, tmp_path: Path) -> None:
    chip = ohmlet.program(model, 2, seed=1)
    chip.export_targets(tmp_path / "from_chip")
    for path in exported.iterdir():
        if path.suffix != ".npz":
            assert path.read_bytes() == (tmp_path / "from_chip" / path.name).read_bytes()


def test_targets_read_back_unchanged_are_the_perfectly_programmed_chip(model: Any, exported: Path) -> None:
    noiseless = {"type": "pcm", "prog_noise_scale": 0.0, "read_noise_scale": 0.0, "drift_scale": 0.0}
    ohmlet.retarget(model, {"tile.noise_model": noiseless})
    measured = ohmlet.attach(model, exported, seed=1)
    assert repr(measured) == "<1 measured chips of 2 layers on 4 crossbars, read at 0 s>"
    expected = ohmlet.program(model, 1, seed=1).at(0)(X)
    assert torch.allclose(measured.at(0)(X), expected, atol=1e-6)
    assert torch.equal(measured.at(0)(X), measured.at("0 s")(X))


@pytest.mark.parametrize("form", ["npz", "csv"])
def test_a_chip_written_to_files_evaluates_as_itself(model: Any, tmp_path: Path, form: str) -> None:
    """The whole way: what a simulated chip conducts at two times, through files, is that chip."""
    tile = {**PCM["tile"], "forward": {"out_noise": 0.0, "input_range": "none"}}
    ohmlet.retarget(model, {**PCM, "tile": tile})
    chip = ohmlet.program(model, 2, seed=5)
    folders = [tmp_path / "a", tmp_path / "b"]
    for instance, folder in enumerate(folders):
        folder.mkdir()
        for layer in chip.layers.values():
            for index, crossbar in enumerate(layer.crossbars):
                g = np.stack([layer.conductances(index, t)[:, instance].numpy() for t in (0.0, 3600.0)])
                if form == "npz":
                    np.savez(folder / f"{crossbar.name}.npz", g_uS=g, t_s=[0.0, 3600.0])
                    continue
                for at in np.ndindex(*g.shape[1:-2]):
                    stem = f"{crossbar.name}.device{at[0]}" + "".join(f".group{group}" for group in at[1:])
                    np.savetxt(folder / f"{stem}.csv", g[0][at], delimiter=",")
                    np.savetxt(folder / f"{stem}@1 h.csv", g[1][at], delimiter=",")
    measured = ohmlet.attach(model, folders, seed=5)
    assert measured.times == (0.0, 3600.0)
    # Chips are compensated against what programming left, measured ones against the first read.
    for t in (0, "1 h"):
        there, here = chip.at(t, compensated=False)(X), measured.at(t, compensated=False)(X)
        assert torch.allclose(there, here, atol=1e-5)
    for state in measured.at(0).states.values():
        assert all(factor is not None and torch.allclose(factor, torch.ones_like(factor)) for factor in state.factors)
    grown = [factor for state in measured.at(3600).states.values() for factor in state.factors]
    assert all(factor is not None and bool((factor > 1.02).all()) for factor in grown)


def test_a_perturbed_read_back_computes_with_what_it_says(exported: Path, tmp_path: Path) -> None:
    model = network({"tile": {**PCM["tile"], "forward": {"out_noise": 0.0, "input_range": "none"}, "drift_compensation": "none"}})
    linear = nn.Sequential(model[3])
    ohmlet.export_targets(linear, tmp_path / "linear")
    generator = np.random.default_rng(0)
    changed: dict[str, Any] = {}

    def change(target: Any, t: float) -> Any:
        changed["g"] = np.clip(target + generator.normal(0, 1, target.shape), 0, None)
        return changed["g"]

    folder = bring_back(tmp_path / "linear", tmp_path / "read", change)
    x = torch.rand(4, 16)
    y = ohmlet.attach(linear, folder).at(0)(x)[0]
    scale = model[3].weight.detach().abs().amax(1, keepdim=True)
    w = torch.tensor((changed["g"][0] - changed["g"][1]) / 25.0) * scale
    assert torch.allclose(y.double(), x.double() @ w.T.double() + model[3].bias.detach().double(), atol=1e-5)


def test_times_that_were_not_measured_are_refused_or_the_noise_models(model: Any, exported: Path, tmp_path: Path) -> None:
    folder = bring_back(exported, tmp_path / "read", lambda g, t: g * (1 if t == 0 else 0.9), [0.0, 60.0])
    known = ohmlet.attach(model, folder, seed=1)
    with pytest.raises(ConfigError, match=r"measured at 0 s, 60 s and not at 3600 s; attach\(..., drift=True\) lets the config's"):
        known.at("1 h")
    drifting = ohmlet.attach(model, folder, seed=1, drift=True)
    assert torch.equal(drifting.at(60)(X), known.at(60)(X))
    layer = drifting.layers["3"]
    crossbar, t = layer.crossbars[0], 3e7
    assert crossbar.coefficients is not None
    read = layer.conductances(0, t)
    expected = crossbar.target[:, None] * torch.exp(-crossbar.coefficients * np.log((t + 20) / 20))
    strong = crossbar.target[:, None] > 10
    assert torch.allclose(read[strong] / expected[strong], torch.ones(()), atol=0.25)  # read noise of some per cent
    assert not torch.equal(read, expected)
    # The exponents are those of a chip programmed with this seed.
    assert torch.equal(crossbar.coefficients, ohmlet.program(model, 1, seed=1).layers["3"].crossbars[0].coefficients)  # type: ignore[arg-type]


def test_drift_needs_a_read_at_zero_and_a_noise_model(model: Any, exported: Path, tmp_path: Path) -> None:
    late = bring_back(exported, tmp_path / "late", lambda g, t: g, [60.0, 3600.0])
    with pytest.raises(ConfigError, match="drift=True starts from what was read at 0 s, and the first of these reads was at 60 s"):
        ohmlet.attach(model, late, drift=True)
    assert ohmlet.attach(model, late).at(60)(X).shape == (1, 6, 3)
    ohmlet.retarget(model, {"tile": "inference", "mapping": {"max_in": 10}})
    assert ohmlet.attach(model, exported).at(0)(X).shape == (1, 6, 3)
    with pytest.raises(ConfigError, match=r"drift=True needs tile.noise_model"):
        ohmlet.attach(model, exported, drift=True)


def copied(exported: Path, tmp_path: Path, keep: str = "npz") -> Path:
    folder = tmp_path / "broken"
    shutil.copytree(exported, folder)
    for path in folder.glob("*.csv" if keep == "npz" else "*.npz"):
        path.unlink()
    return folder


def test_every_problem_of_a_folder_is_told_at_once(model: Any, exported: Path, tmp_path: Path) -> None:
    folder = copied(exported, tmp_path)
    g = np.load(folder / "3.block0.npz")["g_uS"]
    np.savez(folder / "3.block0.npz", g_uS=g[..., :-1])
    (folder / "3.block1.npz").unlink()
    np.savez(folder / "4.block0.npz", g_uS=g)
    holes = np.load(folder / "0.block0.npz")["g_uS"].copy()
    holes[1, 0, 1, 3] = holes[1, 1, 0, 2] = np.nan
    np.savez(folder / "0.block0.npz", g_uS=holes)
    with pytest.raises(ConfigError) as caught:
        ohmlet.attach(model, folder)
    text = str(caught.value)
    assert len(caught.value.problems) == 4
    assert "4.block0.npz: of no crossbar in this model; its crossbars are '0.block0, 3.block0, 3.block1'" in text
    assert "3.block0.npz: 'g_uS' has shape (2, 3, 7), crossbar '3.block0' (2, 3, 8)" in text
    assert "nothing of crossbar '3.block1': neither 3.block1.npz nor 3.block1.device0.csv, 3.block1.device1.csv" in text
    assert "crossbar '0.block0': 2 of 72 devices are missing (NaN), the first at (1, 0, 1, 3)" in text


@pytest.mark.parametrize(
    ("factor", "message"),
    [
        (1e3, r"outside -12.5 to 37.5 uS, such as \d+ uS, and the converter's window is 0 to 25 uS; convert the values to uS"),
        (1e-3, r"no device conducts more than 0.025 uS, and targets reach 25 uS; convert the values to uS"),
        (-1.0, r"outside -12.5 to 37.5 uS, such as -25 uS"),
    ],
    ids=["nS", "mS", "sign"],
)
def test_values_in_another_unit_are_refused(model: Any, exported: Path, tmp_path: Path, factor: float, message: str) -> None:
    folder = bring_back(exported, tmp_path / "read", lambda g, t: g * factor)
    with pytest.raises(ConfigError, match=message) as caught:
        ohmlet.attach(model, folder)
    assert len(caught.value.problems) == 3


def test_a_wider_margin_is_stated_by_the_user(model: Any, exported: Path, tmp_path: Path) -> None:
    folder = bring_back(exported, tmp_path / "read", lambda g, t: g * 2)
    with pytest.raises(ConfigError, match="or allow more with margin_uS"):
        ohmlet.attach(model, folder)
    assert ohmlet.attach(model, folder, margin_uS=25.0).at(0)(X).shape == (1, 6, 3)
    with pytest.raises(ConfigError, match="outside 0 to 25 uS"):
        ohmlet.attach(model, folder, margin_uS=0.0)
    with pytest.raises(ConfigError, match="margin_uS must be at least 0 uS, got -1"):
        ohmlet.attach(model, folder, margin_uS=-1)


def write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


BREAKS: dict[str, tuple[str, Any, str]] = {
    "ragged": ("csv", lambda f: write(f / "3.block0.device0.csv", "1,2\n3\n"), "not a table of numbers separated by commas"),
    "words": ("csv", lambda f: write(f / "3.block0.device0.csv", "a,b\n"), "not a table of numbers separated by commas"),
    "transposed": (
        "csv",
        lambda f: np.savetxt(f / "3.block0.device0.csv", np.ones((8, 3)), delimiter=","),
        r"8 rows of 3 values, expected 3 rows \(outputs\) of 8 \(inputs\)",
    ),
    "one device": ("csv", lambda f: (f / "3.block0.device1.csv").unlink(), r"crossbar '3.block0': no 3.block0.device1.csv beside"),
    "bad time": (
        "csv",
        lambda f: shutil.copy(f / "3.block0.device1.csv", f / "3.block0.device1@soon.csv"),
        "3.block0.device1@soon.csv: not a time: 'soon'",
    ),
    "twice": (
        "csv",
        lambda f: shutil.copy(f / "3.block0.device1.csv", f / "3.block0.device1@0 s.csv"),
        "a second file for the same time as 3.block0.device1.csv",
    ),
    "no device of this number": (
        "csv",
        lambda f: shutil.copy(f / "3.block0.device1.csv", f / "3.block0.device2.csv"),
        "3.block0.device2.csv: of no crossbar in this model",
    ),
    "no npz": ("npz", lambda f: write(f / "3.block0.npz", "1,2"), "3.block0.npz: not an NPZ file"),
    "other array": ("npz", lambda f: np.savez(f / "3.block0.npz", g=[1]), "no array 'g_uS' in it, only g"),
    "complex": ("npz", lambda f: np.savez(f / "3.block0.npz", g_uS=np.ones((2, 3, 8), complex)), "holds complex128, not real numbers"),
    "times": (
        "npz",
        lambda f: np.savez(f / "3.block0.npz", g_uS=np.ones((3, 2, 3, 8)), t_s=[0.0, 1.0]),
        r"'g_uS' has shape \(3, 2, 3, 8\), expected \(2, 2, 3, 8\) for 2 times",
    ),
    "same time": (
        "npz",
        lambda f: np.savez(f / "3.block0.npz", g_uS=np.ones((2, 2, 3, 8)), t_s=[1.0, 1.0]),
        r"'t_s' states a time twice: \[1.0, 1.0\]",
    ),
    "negative time": (
        "npz",
        lambda f: np.savez(f / "3.block0.npz", g_uS=np.ones((1, 2, 3, 8)), t_s=[-1.0]),
        "a time must be finite and not negative: -1.0",
    ),
    "other times": (
        "npz",
        lambda f: np.savez(f / "3.block0.npz", g_uS=np.ones((1, 2, 3, 8)), t_s=[9.0]),
        "crossbar '3.block0' was not read at 0 s, as others were",
    ),
    "unit": (
        "npz",
        lambda f: write(f / "manifest.json", (f / "manifest.json").read_text().replace('"unit": "uS"', '"unit": "S"')),
        "unit 'S'; convert the values to uS and say so",
    ),
    "manifest": ("npz", lambda f: write(f / "manifest.json", "{}"), "not a manifest of exported targets: KeyError: 'unit'"),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_file_that_makes_no_sense_is_named(model: Any, exported: Path, tmp_path: Path, name: str) -> None:
    keep, damage, message = BREAKS[name]
    folder = copied(exported, tmp_path, keep)
    damage(folder)
    with pytest.raises(ConfigError, match=message):
        ohmlet.attach(model, folder)


def test_stale_files_beside_what_was_read_are_refused(model: Any, exported: Path) -> None:
    path = exported / "3.block0.npz"
    g = np.load(path)["g_uS"]
    np.savez(path, g_uS=g + 1.0)
    with pytest.raises(ConfigError, match=r"'3.block0': 3.block0.npz and its CSVs differ in 48 of 48 devices; delete those that are not"):
        ohmlet.attach(model, exported)
    np.savez(path, g_uS=g[None], t_s=[60.0])
    with pytest.raises(ConfigError, match=r"was read at 60 s by 3.block0.npz and at 0 s by its CSVs"):
        ohmlet.attach(model, exported)


def test_a_model_that_was_trained_on_since_is_noticed(model: Any, exported: Path) -> None:
    model[3].weight.data.mul_(torch.rand(3, 16))
    with pytest.raises(ConfigError, match=r"crossbar '3.block0' was exported with targets of [\d.]+ uS on average, and this model's are"):
        ohmlet.attach(model, exported)


def test_chips_read_at_other_times_are_refused(model: Any, exported: Path, tmp_path: Path) -> None:
    late = bring_back(exported, tmp_path / "late", lambda g, t: g, [60.0])
    with pytest.raises(ConfigError, match=re.escape(f"{late}: read at 60 s, and {exported} at 0 s")):
        ohmlet.attach(model, [exported, late])


def test_orders_that_make_no_sense_are_refused(model: Any, exported: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not empty; targets are exported to a new or empty folder"):
        ohmlet.export_targets(model, exported)
    with pytest.raises(OrderError, match="export_targets needs a model with analog layers"):
        ohmlet.export_targets(nn.Linear(2, 2), tmp_path / "none")
    with pytest.raises(ConfigError, match="no such folder"):
        ohmlet.attach(model, tmp_path / "none")
    with pytest.raises(ConfigError, match="attach needs at least one folder"):
        ohmlet.attach(model, [])
    chip: Any = ohmlet.attach(model, exported)
    with pytest.raises(OrderError, match="this is a chip already; attach takes the model"):
        ohmlet.attach(chip, exported)


def test_names_of_layers_are_safe_as_names_of_files(tmp_path: Path) -> None:
    torch.manual_seed(0)
    odd = ohmlet.convert(nn.ModuleDict({"a/b": nn.Linear(3, 2), "a b[0]@1": nn.Linear(3, 2)}), "pcm_inference").model
    ohmlet.export_targets(odd, tmp_path / "odd")
    assert {path.name for path in (tmp_path / "odd").glob("*.npz")} == {"a%2Fb.block0.npz", "a%20b%5B0%5D%401.block0.npz"}
    assert ohmlet.attach(odd, tmp_path / "odd").layers.keys() == {"a/b", "a b[0]@1"}


def test_targets_go_to_a_folder(model: Any, tmp_path: Path) -> None:
    (tmp_path / "targets").write_text("a file")
    with pytest.raises(ConfigError, match="targets: not a folder; targets are several files"):
        ohmlet.export_targets(model, tmp_path / "targets")
