"""What holds for every layer: whose noise it is, the state it has, copies, chips, and the way back to digital."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import ohmlet
from ohmlet.errors import ConfigError, OrderError
from ohmlet.nn import AnalogLayer
from tests.nn.agreement import IDEAL

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")

NOISY: dict[str, Any] = {
    "tile": {
        "type": "inference",
        "forward": {"dac": {"bits": 7, "rounding": "stochastic"}, "input_range": {"type": "fixed", "value": 3.0}, "out_noise": 0.1},
        "training": {"modifier": {"type": "add_normal", "std": 0.05}},
        "noise_model": "pcm",
        "drift_compensation": "global",
    },
    "mapping": {"max_in": 7, "max_out": 9},
    "seed": 3,
}


class First(nn.Module):
    """Returns the first of a layer's results, and may feed it one input several times."""

    def __init__(self, layer: nn.Module, times: int = 1, **options: Any) -> None:
        super().__init__()
        self.layer, self.times, self.options = layer, times, options

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(*[x] * self.times, **self.options)[0]  # type: ignore[no-any-return]


class Packed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.GRU(4, 3, bidirectional=True)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(self.layer(packed)[0], batch_first=True, total_length=x.shape[1])[0]


class Speaker(nn.Module):
    """A time-first model: linear layers see [T, B, ...] before and after a recurrent one."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.layer, self.down = nn.Linear(4, 5), nn.LSTM(5, 3), nn.Linear(3, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.layer(self.up(x))[0])  # type: ignore[no-any-return]


def sequences(batch: int) -> tuple[Tensor, ...]:
    return (torch.linspace(-2, 2, batch * 5 * 4).view(batch, 5, 4),)


CASES: dict[str, tuple[Any, Any, int]] = {
    "linear": (lambda: nn.Linear(4, 3), sequences, 0),
    "conv1d": (lambda: nn.Conv1d(5, 6, 2), sequences, 0),
    "conv2d": (lambda: nn.Conv2d(2, 4, 2, groups=2), lambda n: (torch.linspace(-2, 2, n * 24).view(n, 2, 3, 4),), 0),
    "conv3d": (lambda: nn.Conv3d(2, 4, 2), lambda n: (torch.linspace(-2, 2, n * 48).view(n, 2, 2, 3, 4),), 0),
    "conv_transpose1d": (lambda: nn.ConvTranspose1d(5, 6, 3, stride=2), sequences, 0),
    "conv_transpose2d": (lambda: nn.ConvTranspose2d(2, 4, 3, 2, groups=2), lambda n: (torch.linspace(-2, 2, n * 24).view(n, 2, 3, 4),), 0),
    "conv_transpose3d": (lambda: nn.ConvTranspose3d(2, 3, 2), lambda n: (torch.linspace(-2, 2, n * 24).view(n, 2, 1, 3, 4),), 0),
    "rnn": (lambda: First(nn.RNN(4, 3, 2, batch_first=True)), sequences, 0),
    "lstm": (lambda: First(nn.LSTM(4, 3, batch_first=True, bidirectional=True)), sequences, 0),
    "lstm_projected": (lambda: First(nn.LSTM(4, 3, proj_size=2, batch_first=True)), sequences, 0),
    "gru": (lambda: First(nn.GRU(4, 3, 2, batch_first=True)), sequences, 0),
    "gru_packed": (Packed, lambda n: (*sequences(n), 1 + torch.arange(n) % 5), 0),
    "lstm_time_first": (lambda: First(nn.LSTM(4, 3, 2, bidirectional=True)), lambda n: (sequences(n)[0].transpose(0, 1),), 1),
    "attention": (lambda: First(nn.MultiheadAttention(4, 2, batch_first=True), 3), sequences, 0),
    "attention_separate": (lambda: First(nn.MultiheadAttention(4, 2, batch_first=True, kdim=4, vdim=4, bias=False), 3), sequences, 0),
    "attention_time_first": (
        lambda: First(nn.MultiheadAttention(4, 2, add_bias_kv=True), 3, need_weights=False),
        lambda n: (sequences(n)[0].transpose(0, 1),),
        1,
    ),
    "embedding": (lambda: nn.Embedding(11, 4), lambda n: (torch.arange(3 * n).view(n, 3) % 11,), 0),
}
EVERY = pytest.mark.parametrize("case", CASES)


def digital(case: str) -> nn.Module:
    torch.manual_seed(0)
    model: nn.Module = nn.Sequential(CASES[case][0]()) if "packed" not in case else CASES[case][0]()
    return model


def converted(case: str, config: Any = NOISY) -> Any:
    rules = {"type:Embedding": "analog"} if case == "embedding" else None
    return ohmlet.convert(digital(case), config, rules, strict=True).model


def layers(model: nn.Module) -> list[AnalogLayer]:
    return [module for module in model.modules() if isinstance(module, AnalogLayer)]


@EVERY
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.filterwarnings("ignore::ohmlet.errors.UnprogrammedWarning")
def test_noise_belongs_to_the_sample_whatever_the_split_into_batches(case: str, training: bool) -> None:
    inputs, dim = CASES[case][1](6), CASES[case][2]
    whole, split = converted(case).train(training), converted(case).train(training)
    together = whole(*inputs)
    apart = torch.cat([split(*parts) for parts in zip(*(x.split([1, 3, 2], min(dim, x.ndim - 1)) for x in inputs), strict=True)], dim)
    assert torch.allclose(together, apart, atol=1e-5)
    assert not torch.equal(whole(*inputs), together)
    assert all(torch.equal(value, whole.state_dict()[name]) or "samples" in name for name, value in split.state_dict().items())


@EVERY
def test_its_state_is_the_digital_one_and_that_of_its_arrays(case: str) -> None:
    before, model = digital(case).state_dict(), converted(case)
    state = model.state_dict()
    assert list(before) == [name for name in state if ".array" not in name]
    assert all(torch.equal(value, state[name]) for name, value in before.items())
    missing, unexpected = model.load_state_dict(before, strict=False)
    assert not unexpected
    assert all(".array" in name for name in missing)


@EVERY
def test_back_to_digital_is_torchs_own_layer_with_the_same_parameters(case: str) -> None:
    expected, model = digital(case), digital(case)
    parameters, inputs = dict(model.named_parameters()), CASES[case][1](4)
    ohmlet.convert(model, NOISY, {"type:Embedding": "analog"} if case == "embedding" else None)
    assert all(parameters[name] is parameter for name, parameter in model.named_parameters() if ".array" not in name)
    ohmlet.to_digital(model)
    assert str(model) == str(expected)
    assert dict(model.named_parameters()).keys() == parameters.keys()
    assert all(parameters[name] is parameter for name, parameter in model.named_parameters())
    assert torch.equal(model(*inputs), expected(*inputs))


@EVERY
@pytest.mark.parametrize("twin", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))], ids=["deepcopy", "pickle"])
def test_a_copy_computes_the_same_and_counts_its_own_steps(case: str, twin: Any) -> None:
    model, inputs = converted(case), CASES[case][1](4)
    model(*inputs)
    other = twin(model)
    assert torch.equal(model(*inputs), other(*inputs))
    torch.optim.SGD(other.parameters(), lr=0.1).step()
    assert {int(array.steps) for layer in layers(other) for array in layer.arrays().values()} == {1}
    assert {int(array.steps) for layer in layers(model) for array in layer.arrays().values()} == {0}


@EVERY
def test_a_saved_state_loads_into_another_model(case: str, tmp_path: Path) -> None:
    model, inputs = converted(case), CASES[case][1](4)
    model(*inputs)
    ohmlet.save(model, tmp_path / "model.pt")
    other = converted(case)
    for parameter in other.parameters():
        parameter.data.zero_()
    ohmlet.load(other, tmp_path / "model.pt")
    assert torch.equal(model(*inputs), other(*inputs))


@EVERY
def test_retarget_keeps_parameters_and_counters(case: str) -> None:
    model, inputs = converted(case), CASES[case][1](4)
    parameters = dict(model.named_parameters())
    model(*inputs)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    ohmlet.retarget(model, {"tile.forward.out_noise": 0.0})
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    ohmlet.retarget(model, {"tile": "ideal"})
    assert all(parameters[name] is parameter for name, parameter in model.named_parameters())
    assert torch.allclose(model(*inputs), digital(case)(*inputs), atol=1e-5)


@EVERY
def test_a_chip_evaluates_all_instances_at_once_and_one_by_one_alike(case: str) -> None:
    inputs, dim = CASES[case][1](4), CASES[case][2]
    chip = ohmlet.program(converted(case), 3, seed=1)
    view = chip.at("1 h", batch_dim=dim)
    together = view(*inputs)
    assert together.shape[0] == 3
    one_by_one = torch.stack([chip.at("1 h", batch_dim=dim).instance(index)(*inputs) for index in range(3)])
    assert torch.allclose(together, one_by_one, atol=1e-5)
    assert not torch.allclose(together[0], together[1], atol=1e-3)
    assert not torch.equal(view(*inputs), together)
    view.rewind()
    assert torch.equal(view(*inputs), together)
    parts = zip(*(x.split([1, 3], min(dim, x.ndim - 1)) for x in inputs), strict=True)
    again = chip.at("1 h", batch_dim=dim)
    assert torch.allclose(torch.cat([again(*part) for part in parts], dim + 1), together, atol=1e-5)


@EVERY
def test_without_noise_a_chip_computes_what_the_layer_does(case: str) -> None:
    quiet = {"type": "pcm", "prog_noise_scale": 0.0, "read_noise_scale": 0.0, "drift_scale": 0.0}
    config = {"tile": {"type": "inference", "forward": {"input_range": "none"}, "noise_model": quiet}, "mapping": NOISY["mapping"]}
    inputs, dim = CASES[case][1](4), CASES[case][2]
    y = ohmlet.program(converted(case, config), 2, seed=1).at("1 year", batch_dim=dim)(*inputs)
    assert torch.allclose(y, digital(case)(*inputs).expand(2, *y.shape[1:]), atol=1e-5)


@pytest.mark.parametrize("batch", [1, 4])
def test_linear_layers_of_a_time_first_model_keep_instances_apart(batch: int) -> None:
    torch.manual_seed(0)
    x = torch.randn(7, batch, 4)
    # Alone, a linear layer numbers what comes first, here time steps; without read-out noise that makes no difference.
    quiet = {"tile.forward.out_noise": 0.0, "tile.forward.dac": None, "tile.forward.input_range": "none"}
    model = ohmlet.convert(Speaker(), ohmlet.AnalogConfig.parse(NOISY).override(quiet)).model
    chip = ohmlet.program(model, 3, seed=1)
    together = chip.at(1, batch_dim=1)(x)
    assert together.shape == (3, 7, batch, 6)
    one_by_one = torch.stack([chip.at(1).instance(index)(x) for index in range(3)])
    assert torch.allclose(together, one_by_one, atol=1e-5)


def test_a_chip_of_a_time_first_model_refuses_what_it_cannot_tell_apart() -> None:
    model = nn.Sequential(nn.Linear(4, 4))
    chip = ohmlet.program(ohmlet.convert(model, NOISY).model, 3, seed=1)
    with pytest.raises(OrderError, match=r"layer '0' got inputs \(6, 6, 4\), two of whose sizes could be the batch of 6"):
        chip.at(1, batch_dim=1)(torch.zeros(6, 2, 4))
    flattened = nn.Sequential(nn.Flatten(0, 1), nn.Linear(4, 4))
    chip = ohmlet.program(ohmlet.convert(flattened, NOISY).model, 3, seed=1)
    with pytest.raises(OrderError, match=r"layer '1' got 30 rows where all chip instances together feed 6"):
        chip.at(1, batch_dim=1)(torch.zeros(5, 2, 4))
    with pytest.raises(OrderError, match=r"have at batch_dim 1 sizes \[2, 3\], which must be one batch size"):
        chip.at(1, batch_dim=1)(torch.zeros(5, 2, 4), torch.zeros(5, 3))
    for wrong in (-1, True, 1.0, "0"):
        with pytest.raises(ConfigError, match="batch_dim must be a whole number of at least 0, got"):
            chip.at(1, batch_dim=wrong)  # type: ignore[arg-type]


def test_a_time_first_model_with_results_per_sequence() -> None:
    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.out = nn.GRU(4, 3), nn.Linear(3, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.out(self.layer(x)[1][-1])  # type: ignore[no-any-return]

    torch.manual_seed(0)
    chip = ohmlet.program(ohmlet.convert(Classifier(), NOISY).model, 3, seed=1)
    x, labels = torch.randn(5, 4, 4), torch.arange(4) % 2
    y = chip.at(1, batch_dim=1, out_batch_dim=0)(x)
    assert y.shape == (3, 4, 2)
    assert torch.allclose(y, torch.stack([chip.at(1).instance(index)(x) for index in range(3)]), atol=1e-5)
    accuracy = chip.at(1, batch_dim=1, out_batch_dim=0).accuracy([(x, labels)])
    assert torch.allclose(accuracy, (y.argmax(-1) == labels).double().mean(1))
    with pytest.raises(OrderError, match=r"whose size 1 is not the batch \(3 instances of 4\); .*out_batch_dim"):
        chip.at(1, batch_dim=1)(x)


def test_programmed_layers_of_several_matrices_name_their_states() -> None:
    chip = ohmlet.program(converted("lstm"), 2, seed=1)
    layer = chip.layers["0.layer"]
    assert set(chip.at(1).states) == {f"0.layer.{which}{way}" for which in ("ih_l0", "hh_l0") for way in ("", "_reverse")}
    assert len(layer.crossbars) == 8
    assert len({tuple(crossbar.keys.tolist()) for crossbar in layer.crossbars}) == 8
    assert repr(chip) == "<2 chip instances of 1 layers on 8 crossbars>"


def test_weights_that_are_not_finite_are_named() -> None:
    model: Any = digital("lstm")
    model[0].layer.bias_hh_l0_reverse.data[1] = torch.nan
    with pytest.raises(ohmlet.errors.ConversionError, match=r"layer '0.layer': 1 of 12 values of its bias_hh_l0_reverse are not finite"):
        ohmlet.convert(model, IDEAL)


@pytest.mark.parametrize("name", ["weight_hh_l0", "in_proj_weight"])
def test_a_weight_that_a_hook_computes_is_reported_as_missing(name: str) -> None:
    layer = nn.LSTM(3, 4) if name == "weight_hh_l0" else nn.MultiheadAttention(4, 2)
    prune.random_unstructured(layer, name, 0.5)
    report = ohmlet.convert(nn.ModuleDict({"pruned": layer, "out": nn.Linear(4, 2)}), IDEAL)
    reasons = {row.name: row.reason for row in report.of("missing")}
    assert "computed from other parameters by a hook" in reasons["pruned"]
    assert set(reasons) <= {"pruned", "pruned.out_proj"}


@pytest.mark.parametrize("case", ["conv1d", "conv_transpose2d", "lstm", "attention"])
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
def test_a_compiled_layer_is_one_graph_and_draws_the_same_numbers(case: str) -> None:
    torch.compiler.reset()
    eager, inputs = converted(case), CASES[case][1](2)
    other = copy.deepcopy(eager)
    compiled: Any = torch.compile(other, backend="aot_eager", fullgraph=True)
    for _ in range(2):
        assert torch.allclose(eager(*inputs), compiled(*inputs), atol=1e-6)
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in eager.state_dict().items())
