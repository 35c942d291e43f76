"""Recurrent layers: torch's own results on ideal crossbars, and noise that belongs to a sequence and a time step."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from ohmlet.nn import AnalogGRU, AnalogLSTM, AnalogRNN
from tests.nn.agreement import MAPPINGS, SPLIT, agree, analog

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")

CELLS: list[Any] = [
    (nn.RNN, {}),
    (nn.RNN, {"nonlinearity": "relu"}),
    (nn.LSTM, {}),
    (nn.LSTM, {"proj_size": 2}),
    (nn.GRU, {}),
]
SHAPES: list[dict[str, Any]] = [
    {},
    {"batch_first": True},
    {"bias": False, "bidirectional": True},
    {"num_layers": 2, "batch_first": True},
    {"num_layers": 2, "bidirectional": True},
]


def state(digital: nn.RNNBase, batch: int | None) -> Any:
    """Return a random state for a batch, or for one sequence."""
    count, shape = digital.num_layers * (1 + digital.bidirectional), () if batch is None else (batch,)
    h = torch.randn(count, *shape, digital.proj_size or digital.hidden_size)
    return (h, torch.randn(count, *shape, digital.hidden_size)) if isinstance(digital, nn.LSTM) else h


@pytest.mark.parametrize("mapping", MAPPINGS, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("cls", "options"), CELLS, ids=str)
def test_on_ideal_crossbars_it_equals_the_digital_layer(cls: Any, options: Any, shape: Any, mapping: dict[str, Any]) -> None:
    digital = cls(3, 4, **shape, **options)
    other = analog(digital, **mapping)
    x = torch.randn(5, 6, 3)
    agree(digital, other, x)
    agree(digital, other, x, state(digital, 5 if digital.batch_first else 6))
    agree(digital, other, x[0])
    agree(digital, other, x[0], state(digital, None))


@pytest.mark.parametrize("with_state", [False, True])
@pytest.mark.parametrize("in_order", [False, True])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("cls", "options"), CELLS, ids=str)
def test_packed_sequences_of_different_lengths(cls: Any, options: Any, shape: Any, in_order: bool, with_state: bool) -> None:
    digital = cls(3, 4, **shape, **options)
    lengths = [5, 4, 2, 1] if in_order else [2, 5, 1, 4]
    packed = pack_padded_sequence(torch.randn(4, 5, 3), lengths, batch_first=True, enforce_sorted=in_order)
    hx = state(digital, 4) if with_state else None
    (expected, last), (found, found_last) = digital(packed, hx), analog(digital, **SPLIT)(packed, hx)
    assert isinstance(found, PackedSequence)
    assert torch.equal(found.batch_sizes, expected.batch_sizes)
    assert (found.sorted_indices is None) == in_order
    assert torch.allclose(found.data, expected.data, atol=1e-5)
    assert torch.allclose(pad_packed_sequence(found)[0], pad_packed_sequence(expected)[0], atol=1e-5)
    for a, b in zip(found_last, last, strict=True):
        assert torch.allclose(a, b, atol=1e-5)


def test_gradients_flow_through_packed_sequences() -> None:
    digital = nn.LSTM(3, 4, bidirectional=True)
    other, x = analog(digital), torch.randn(4, 5, 3)
    for module in (digital, other):
        out, (h, _) = module(pack_padded_sequence(x, [2, 5, 1, 4], batch_first=True, enforce_sorted=False))
        (out.data.square().sum() + h.square().sum()).backward()
    for p, q in zip(digital.parameters(), other.parameters(), strict=True):
        assert p.grad is not None
        assert q.grad is not None
        assert torch.allclose(p.grad, q.grad, atol=1e-4)


def test_dropout_acts_between_layers_in_training_only() -> None:
    digital = nn.GRU(3, 4, num_layers=2, dropout=0.5)
    layer, x = analog(digital), torch.randn(5, 6, 3)
    assert not torch.equal(layer(x)[0], layer(x)[0])
    agree(digital.eval(), layer.eval(), x)
    always = analog(nn.GRU(3, 4, num_layers=2, dropout=1.0))
    alone = nn.GRU(4, 4)
    for name in dict(alone.named_parameters()):
        getattr(alone, name).data = getattr(always, name.replace("l0", "l1")).data
    assert torch.allclose(always(x)[0], alone(torch.zeros(5, 6, 4))[0], atol=1e-5)


@pytest.mark.parametrize(
    ("x", "hx", "words"),
    [
        (torch.zeros(5, 6, 4), None, r"expected inputs \[T, B, 3\] or \[T, 3\] of at least one time step, got \(5, 6, 4\)"),
        (torch.zeros(0, 6, 3), None, "at least one time step"),
        (torch.zeros(3), None, r"expected inputs"),
        (
            torch.zeros(5, 6, 3),
            (torch.zeros(1, 5, 4), torch.zeros(1, 5, 4)),
            r"expected a state of sizes \[\(1, 6, 4\), \(1, 6, 4\)\], got",
        ),
        (torch.zeros(5, 6, 3), (torch.zeros(1, 6, 4),), "expected a state of sizes"),
    ],
    ids=["width", "no time", "vector", "batch", "one state"],
)
def test_inputs_that_make_no_sense_are_refused(x: Tensor, hx: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        analog(nn.LSTM(3, 4))(x, hx)


NOISE = {"tile": {"type": "inference", "forward": {"input_range": "none", "out_noise": 0.1}}, "mapping": {"scales": "none"}}


def test_every_time_step_and_every_sequence_draws_its_own_noise() -> None:
    layer = AnalogRNN(2, 64, bias=False, config=NOISE, seed=1, batch_first=True)
    for parameter in layer.parameters():
        parameter.data.zero_()
    # With all weights zero each step returns the tanh of two draws: its own and nothing of the step before.
    y = torch.atanh(layer(torch.zeros(3, 7, 2))[0].detach())
    assert len(y.flatten().unique()) == y.numel()
    assert float(y.std()) == pytest.approx(0.1 * 2**0.5, rel=0.1)
    steps = y.transpose(0, 1).flatten(1)
    assert float((torch.corrcoef(steps) - torch.eye(7)).abs().max()) < 0.35  # five standard errors of 192 draws


@pytest.mark.parametrize("cls", [AnalogRNN, AnalogLSTM, AnalogGRU])
def test_a_call_counts_its_sequences_once(cls: Any) -> None:
    layer = cls(2, 4, num_layers=2, bidirectional=True, config=NOISE, seed=1)
    layer(torch.zeros(7, 3, 2))
    layer(torch.zeros(5, 2))
    assert {int(array.trained_samples) for array in layer.arrays().values()} == {4}


def test_time_first_and_batch_first_draw_the_same_numbers() -> None:
    torch.manual_seed(0)
    first = AnalogLSTM(2, 4, config=NOISE, seed=1)
    other = AnalogLSTM(2, 4, config=NOISE, seed=1, batch_first=True)
    other.load_state_dict(first.state_dict())
    x = torch.randn(7, 3, 2)
    assert torch.allclose(first(x)[0], other(x.transpose(0, 1))[0].transpose(0, 1), atol=1e-6)


def test_a_packed_batch_draws_the_numbers_of_its_sequences_whatever_their_order() -> None:
    x = torch.randn(3, 5, 2)
    results = []
    for order in ([0, 1, 2], [2, 0, 1]):
        layer = AnalogGRU(2, 4, config=NOISE, seed=1)
        for parameter in layer.parameters():
            parameter.data.fill_(0.1)
        lengths = torch.tensor([5, 5, 5])
        lengths[order[0]] = 3
        out, _ = layer(pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False))
        results.append(pad_packed_sequence(out, batch_first=True)[0].detach())
    assert torch.allclose(results[0][1, :], results[1][1, :], atol=1e-6)
    assert torch.allclose(results[0][:, :3], results[1][:, :3], atol=1e-6)


def test_weight_noise_is_the_same_in_all_time_steps() -> None:
    training = {"modifier": {"type": "add_normal", "std": 0.1}}
    modified = {"tile": {"type": "inference", "forward": {"input_range": "none"}, "training": training}}
    layer: Any = AnalogRNN(1, 1, bias=False, nonlinearity="relu", config=modified, seed=1, batch_first=True)
    layer.weight_ih_l0.data.fill_(1.0)
    layer.weight_hh_l0.data.fill_(1.0)
    # Both matrices are one by one, so each time step multiplies by the same noisy weight.
    x = torch.zeros(1, 6, 1)
    x[0, 0] = 1.0
    y = layer(x)[0].detach()[0, :, 0]
    ratios = y[1:] / y[:-1]
    assert float(ratios[0]) != 1.0
    assert torch.allclose(ratios, ratios[:1].expand(5), rtol=1e-4)


def test_models_may_ask_for_flat_parameters() -> None:
    layer: Any = analog(nn.LSTM(3, 4))
    layer.flatten_parameters()
    assert (layer.input_size, layer.hidden_size, layer.num_layers, layer.bidirectional, layer.batch_first) == (3, 4, 1, False, False)
