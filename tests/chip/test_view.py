"""A chip looked at: a pure view of any time, instance by instance, batch by batch."""

from __future__ import annotations

import math
from collections import OrderedDict
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import ohmlet
from ohmlet.errors import ConfigError, OrderError
from tests.chip.test_program import PCM, X, network


@pytest.fixture(scope="module")
def chip() -> ohmlet.Chip:
    return ohmlet.program(network(), 3, seed=1)


TIMES: list[Any] = [0, 1.0, "1 min", "1 h", "1 day", "1 month", "1 year"]


def test_any_order_of_times_gives_the_same_numbers(chip: ohmlet.Chip) -> None:
    forward = {t: chip.at(t)(X) for t in TIMES}
    backward = {t: chip.at(t)(X) for t in reversed(TIMES)}
    assert all(torch.equal(forward[t], backward[t]) for t in TIMES)
    assert all(not torch.equal(forward[a], forward[b]) for a, b in pairwise(TIMES))


def test_views_do_not_disturb_each_other(chip: ohmlet.Chip) -> None:
    expected = chip.at(60)(X)
    first, second = chip.at(60), chip.at("1 year")
    second(X)
    assert torch.equal(first(X), expected)


@pytest.mark.parametrize(
    ("words", "number"),
    [
        ("1 h", 3600),
        ("60 min", 3600.0),
        ("1 day", 24 * 3600),
        ("86400", 86400),
        ("1 year", 365 * 86400),
        ("0", 0),
        ("2.5e3 s", 2500),
        (-0.0, 0),
    ],
)
def test_words_and_seconds_are_the_same_time(chip: ohmlet.Chip, words: Any, number: Any) -> None:
    assert torch.equal(chip.at(words)(X), chip.at(number)(X))


@pytest.mark.parametrize(
    "time", [-1, -1e-9, "-1 h", float("nan"), float("inf"), "inf", "1 fortnight", "h", "", "1 h 2", True, None, [1], 1j], ids=str
)
def test_a_time_that_makes_no_sense_is_refused_with_its_words(chip: ohmlet.Chip, time: Any) -> None:
    with pytest.raises(ConfigError, match=r"(not a time: .*|a time must be finite and not negative: )"):
        chip.at(time)


def test_the_view_says_what_it_is(chip: ohmlet.Chip) -> None:
    assert repr(chip.at("1 h")) == "<3 chip instances at 1 h>"
    assert repr(chip.at(2, compensated=False)) == "<3 chip instances at 2 s, uncompensated>"


@pytest.mark.parametrize("sizes", [[6], [3, 3], [1] * 6, [2, 0, 4], [5, 1]], ids=str)
def test_numbers_do_not_depend_on_the_batches(chip: ohmlet.Chip, sizes: list[int]) -> None:
    view = chip.at("1 h")
    assert torch.allclose(torch.cat([view(part) for part in X.split(sizes)], dim=1), chip.at("1 h")(X), atol=1e-5)


def test_a_view_goes_on_numbering_samples_until_it_is_rewound(chip: ohmlet.Chip) -> None:
    view = chip.at("1 h")
    first = view(X)
    assert not torch.equal(view(X), first)
    view.rewind()
    assert torch.equal(view(X), first)


def test_the_first_size_of_the_result_are_the_instances(chip: ohmlet.Chip) -> None:
    y = chip.at(1)(X)
    assert y.shape == (3, 6, 3)
    assert not y.requires_grad
    assert all(not torch.allclose(y[i], y[j], atol=1e-3) for i in range(3) for j in range(i))


@pytest.mark.parametrize("t", [0, "1 year"])
@pytest.mark.parametrize("compensated", [True, False])
def test_an_instance_is_one_row_of_all(chip: ohmlet.Chip, t: Any, compensated: bool) -> None:
    rows = chip.at(t, compensated=compensated)(X)
    for index in range(3):
        model = chip.at(t, compensated=compensated).instance(index)
        assert not model.training
        assert torch.allclose(model(X), rows[index], atol=1e-5)


@pytest.mark.parametrize("index", [3, -1, 100])
def test_an_instance_that_is_not_there_is_refused(chip: ohmlet.Chip, index: int) -> None:
    with pytest.raises(OrderError, match=f"this chip has instances 0 to 2, not {index}"):
        chip.at(1).instance(index)


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("bias", ["digital", "analog"])
@pytest.mark.parametrize("scales", ["tilewise", "columnwise"])
def test_without_any_noise_a_chip_computes_what_the_model_does(groups: int, bias: str, scales: str) -> None:
    noise_model = {"type": "pcm", "prog_noise_scale": 0.0, "read_noise_scale": 0.0, "drift_scale": 0.0}
    tile = {"type": "inference", "forward": {"input_range": "none"}, "noise_model": noise_model, "drift_compensation": "global"}
    torch.manual_seed(0)
    digital = nn.Sequential(nn.Conv2d(4, 8, 3, padding=1, groups=groups), nn.ReLU(), nn.Flatten(), nn.Linear(128, 3))
    x = torch.randn(5, 4, 4, 4)
    expected = digital(x)
    model = ohmlet.convert(
        digital, {"tile": tile, "mapping": {"max_in": 9, "max_out": 3, "bias": bias, "scales": scales, "omega": 0.5}}
    ).model
    y = ohmlet.program(model, 3, seed=1).at("1 year")(x)
    assert torch.allclose(y, expected.expand(3, -1, -1), atol=1e-5)


def test_compensation_undoes_most_of_the_drift_and_can_be_left_out() -> None:
    torch.manual_seed(0)
    digital = nn.Sequential(nn.Linear(200, 50, bias=False))
    x = torch.rand(40, 200)
    exact = digital(x).detach()
    model = ohmlet.convert(digital, {"tile": {**PCM["tile"], "forward": {"input_range": "none"}}}).model
    chip = ohmlet.program(model, 2, seed=1)

    def error(t: str, compensated: bool) -> float:
        return float((chip.at(t, compensated=compensated)(x) - exact).norm() / exact.norm() / math.sqrt(2))

    assert error("1 year", True) < 0.25
    assert 0.4 < error("1 year", False) < 0.7
    factors = [float(chip.at(t).states["0"].factors[0].mean()) for t in ("1 s", "1 h", "1 year")]  # type: ignore[union-attr]
    assert 1.0 < factors[0] < factors[1] < factors[2] < 2.5
    assert chip.at("1 h", compensated=False).states["0"].factors == [None]


def labelled(sizes: list[int]) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(4)
    x, y = torch.randn(30, 2, 4, 4, generator=generator), torch.randint(3, (30,), generator=generator)
    return list(zip(x.split(sizes), y.split(sizes), strict=True))


@pytest.mark.parametrize("sizes", [[30], [10, 10, 10], [1] * 30, [29, 0, 1]], ids=str)
def test_accuracy_does_not_depend_on_the_batches(chip: ohmlet.Chip, sizes: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    expected = chip.at("1 h").accuracy(labelled([30]))
    assert expected.shape == (3,)
    assert torch.equal(chip.at("1 h").accuracy(labelled(sizes)), expected)
    monkeypatch.setattr("ohmlet.chip.view.ROWS_AT_ONCE", 7)
    assert torch.equal(chip.at("1 h").accuracy(labelled(sizes)), expected)


def test_accuracy_is_the_mean_over_samples_not_over_batches(chip: ohmlet.Chip) -> None:
    batches = labelled([29, 1])
    outputs = chip.at("1 h")(torch.cat([x for x, _ in batches]))
    labels = torch.cat([y for _, y in batches])
    assert torch.allclose(chip.at("1 h").accuracy(batches), (outputs.argmax(-1) == labels).double().mean(1))


def test_evaluating_twice_gives_the_same(chip: ohmlet.Chip) -> None:
    view = chip.at("1 h")
    assert torch.equal(view.accuracy(labelled([30])), view.accuracy(labelled([30])))


@pytest.mark.parametrize("batches", [[], [(X[:0], torch.zeros(0))]], ids=["none", "empty"])
def test_evaluating_on_nothing_is_refused(chip: ohmlet.Chip, batches: Any) -> None:
    with pytest.raises(OrderError, match="there is nothing to evaluate on: no batch, or only empty ones"):
        chip.at(1).accuracy(batches)


class Shaped(nn.Module):
    """A model whose forward takes and returns what a test needs."""

    def __init__(self, forward: Any) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 2)
        self.run = forward

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.run(self, *args, **kwargs)


def chip_of(forward: Any) -> ohmlet.Chip:
    torch.manual_seed(0)
    return ohmlet.program(ohmlet.convert(Shaped(forward), PCM).model, 3, seed=1)


V = torch.linspace(-1, 1, 20).view(5, 4)


def test_outputs_in_tuples_and_mappings_are_split_by_instance() -> None:
    y = chip_of(lambda m, x: OrderedDict(both=(m.first(x), [m.second(x)]), name="text", none=None)).at(1)(V)
    assert y["both"][0].shape == (3, 5, 4)
    assert y["both"][1][0].shape == (3, 5, 2)
    assert (y["name"], y["none"]) == ("text", None)


def test_inputs_may_come_by_name_and_in_mappings() -> None:
    view = chip_of(lambda m, batch, scale, *, shift: m.first(batch["x"]) * scale + shift[:, None]).at(1)
    y = view({"x": V}, 2.0, shift=torch.arange(5.0))
    assert y.shape == (3, 5, 4)
    expected = chip_of(lambda m, x: m.first(x)).at(1)(V)
    assert torch.allclose(y, 2 * expected + torch.arange(5.0)[:, None], atol=1e-6)


def test_sequences_and_flattened_sequences_keep_instances_apart() -> None:
    x = torch.randn(5, 6, 4)
    flattened = chip_of(lambda m, x: m.second(m.first(x.flatten(0, 1))).unflatten(0, x.shape[:2]))
    y = flattened.at(1)(x)
    for index in range(3):
        assert torch.allclose(flattened.at(1).instance(index)(x), y[index], atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "sizes"), [((V, V[:2]), r"\[2, 5\]"), ((), r"\[\]"), ((torch.tensor(1.0),), r"\[\]")], ids=["two sizes", "none", "scalar"]
)
def test_arguments_without_one_batch_size_are_refused(arguments: tuple[Any, ...], sizes: str) -> None:
    with pytest.raises(
        OrderError, match=rf"a chip evaluates batches: its tensor arguments start with sizes {sizes}, which must be one batch size"
    ):
        chip_of(lambda m, *x: m.first(V)).at(1)(*arguments)


@pytest.mark.parametrize(
    "forward", [lambda m, x: m.first(x).sum(), lambda m, x: m.first(x).T, lambda m, x: m.first(x)[:4]], ids=["sum", "transpose", "part"]
)
def test_an_output_without_the_batch_in_front_is_refused(forward: Any) -> None:
    with pytest.raises(
        OrderError, match=r"the model returned a tensor of shape .*, whose first size is not the batch \(3 instances of 5\); evaluate"
    ):
        chip_of(forward).at(1)(V)


def test_a_layer_that_is_fed_something_else_than_the_batch_is_named() -> None:
    chip = chip_of(lambda m, x: m.first(x.T[:, :4]) if len(x) != 4 else m.first(x))
    with pytest.raises(
        OrderError, match=r"layer 'first' got 4 rows where all chip instances together feed 15: its first size is not the batch"
    ):
        chip.at(1)(V)
    # The error leaves the view usable.
    view = chip.at(1)
    with pytest.raises(OrderError):
        view(V)
    assert view.instance(0)(V[:4]).shape == (4, 4)


def test_views_share_the_memory_of_what_does_not_drift(chip: ohmlet.Chip) -> None:
    view = chip.at(1)
    assert all(a is b for a, b in zip(view.model.parameters(), chip.model.parameters(), strict=True))
    assert all(a is b for a, b in zip(view.instance(0).parameters(), chip.model.parameters(), strict=True))


def test_normalisation_layers_and_dropout_are_in_evaluation_mode() -> None:
    torch.manual_seed(0)
    model: Any = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.9), nn.Linear(4, 2))
    ohmlet.convert(model, PCM)
    chip = ohmlet.program(model.train(), 2, seed=1)
    assert torch.equal(chip.at(1)(V), chip.at(1)(V))
    assert int(model[1].num_batches_tracked) == 0


def test_a_chip_in_double_precision_agrees_with_one_in_single_precision() -> None:
    single = network()
    double = network().double()
    a, b = (ohmlet.program(model, 2, seed=1).at("1 h") for model in (single, double))
    assert torch.allclose(a(X).double(), b(X.double()), atol=1e-4)
