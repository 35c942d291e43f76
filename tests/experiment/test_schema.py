"""The experiment file: strict, complete, round trips."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ohmlet.config import files
from ohmlet.errors import ConfigError
from ohmlet.experiment.schema import Experiment
from ohmlet.experiment.sweep import load
from tests.experiment.conftest import SMALL

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.name)
def test_every_example_is_valid(path: Path) -> None:
    assert load(path).name == path.stem


@pytest.mark.parametrize("form", ["yaml", "toml", "json"])
def test_an_experiment_round_trips(form: str, small: Experiment) -> None:
    assert Experiment.parse(files.parse(files.dumps(small.to_plain(), form), form)) == small


def test_an_empty_experiment_is_complete() -> None:
    made = Experiment.parse({})
    assert (made.evaluation.instances, made.hardware.preset) == (25, "pcm_inference")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"epochs": 3}, r"unknown key 'epochs', known: .* @ experiment"),
        ({"training": {"digital": {"epoch": 3}}}, r"unknown key 'epoch', did you mean 'epochs'\? @ experiment.training.digital"),
        ({"data": "mnist"}, r"unknown type 'mnist'; known: digits, import @ experiment.data"),
        ({"model": {"type": "mlp", "hidden": [0]}}, r"'hidden' are sizes of at least 1: \[0\] @ experiment.model"),
        ({"evaluation": {"instances": 0}}, r"'instances' must be >= 1: 0 @ experiment.evaluation"),
        ({"evaluation": {"times": ["1 fortnight"]}}, r"not a time: '1 fortnight'.* @ experiment.evaluation"),
        ({"evaluation": {"times": [-1]}}, r"a time must be finite and not negative: -1.* @ experiment.evaluation"),
        ({"evaluation": {"times": []}}, r"'times' needs at least one time"),
        ({"evaluation": {"variants": {}}}, r"'variants' needs at least one"),
        (
            {"evaluation": {"variants": {"x": {"tile.nose_model.prog_noise_scale": 2}}}},
            r"evaluation\.variants\.x: unknown key 'nose_model', did you mean 'noise_model'\?",
        ),
        ({"name": "../up"}, r"'name' becomes a folder, so it cannot be '../up'"),
        ({"data": {"type": "digits", "test_fraction": 0.5, "validation_fraction": 0.5}}, r"0.5 and .* 0.5 leave nothing to train on"),
        ({"evaluation": {"on": "train"}}, r"'on' must be one of test, validation|'train'"),
        ({"schema": 7}, r"written for schema 7, and this Ohmlet reads schema 1"),
        ({"training": {}, "evaluation": {"direct": False}}, r"nothing to evaluate"),
        ({"hardware": "pcm_inferense"}, r"unknown preset 'pcm_inferense'; did you mean 'pcm_inference'\?"),
        ({"training": {"digital": {"optimizer": {"type": "sgd", "lr": -1}}}}, r"'lr' must be > 0: -1"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_place(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Experiment.parse({**SMALL, **changes})


def test_own_functions_run_only_when_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ohmlet.experiment.imports import Imports

    (tmp_path / "own_parts.py").write_text(
        "import torch\n\n"
        "def data(n):\n    x = torch.linspace(0, 1, 4 * n).reshape(n, 4)\n    y = torch.arange(n) % 2\n    return x, y, x, y\n\n"
        "def model():\n    return torch.nn.Linear(4, 2)\n\n"
        "def wrong():\n    return 3\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    made = Experiment.parse(
        {
            "data": {"type": "import", "function": "own_parts:data", "arguments": {"n": 6}},
            "model": {"type": "import", "function": "own_parts:model"},
        }
    )
    with pytest.raises(ConfigError, match=r"runs your function own_parts:data; add --allow-import"):
        made.data.load(Imports(False))
    split = made.data.load(Imports(True))
    assert split.classes == 2
    assert made.model.build(split, Imports(True))(split.train_x).shape == (6, 2)
    for function, words in [
        ("own_parts", "package.module:function"),
        ("own_parts:absent", "cannot be imported"),
        ("no_such_module:f", "cannot be imported"),
        ("own_parts:wrong", "must return the tensors"),
    ]:
        with pytest.raises(ConfigError, match=words):
            Experiment.parse({"data": {"type": "import", "function": function}}).data.load(Imports(True))


def test_a_cnn_refuses_data_that_are_no_images() -> None:
    import torch

    from ohmlet.experiment.data import Split
    from ohmlet.experiment.imports import Imports
    from ohmlet.experiment.models import CNN

    x, y = torch.zeros(4, 9), torch.tensor([0, 1, 0, 1])
    with pytest.raises(ConfigError, match=r"a cnn of 2 convolutions needs images .* got \(9,\)"):
        CNN().build(Split(x, y, x, y), Imports())


def test_validation_images_are_taken_from_the_training_images() -> None:
    import torch

    from ohmlet.experiment.data import Digits
    from ohmlet.experiment.imports import Imports

    without, kept = Digits().load(Imports()), Digits(validation_fraction=0.3).load(Imports())
    assert without.validation_x is None
    assert torch.equal(without.test_x, kept.test_x)
    assert kept.validation_x is not None
    assert kept.validation_y is not None
    assert torch.equal(torch.cat((kept.validation_x, kept.train_x)), without.train_x)
    assert torch.equal(torch.cat((kept.validation_y, kept.train_y)), without.train_y)
    assert len(kept.validation_x) == round(1797 * 0.5) - round(1797 * 0.2)


def test_own_data_may_have_validation_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from ohmlet.experiment.data import ImportedData
    from ohmlet.experiment.imports import Imports

    (tmp_path / "own_data.py").write_text(
        "import torch\n\n"
        "def six(labels=3):\n    x, y = torch.zeros(3, 2), torch.tensor([0, 1, 0])\n"
        "    return x, y, x, y, x + 1, torch.arange(labels)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    split = ImportedData(function="own_data:six").load(Imports(True))
    x, y = split.evaluated("validation")
    assert torch.equal(x, torch.ones(3, 2))
    assert y.tolist() == [0, 1, 2]
    assert split.classes == 3
    with pytest.raises(ConfigError, match=r"validation_x \(3, 2\) needs as many labels"):
        ImportedData(function="own_data:six", arguments={"labels": 4}).load(Imports(True))
