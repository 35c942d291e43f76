"""Hardware-aware training of a layer in one step of autograd, against the same layer taken through every step of the way."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ohmlet.interfaces.tile import Site
from ohmlet.nn import AnalogLinear
from ohmlet.nn.array import AnalogArray
from ohmlet_kernels.analog_mvm import Variation
from ohmlet_kernels.noise import Stream
from ohmlet_tiles.inference import Inference, InferenceCrossbar

pytest.importorskip("numba")
IO: dict[str, Any] = {"dac": {"bits": 7}, "adc": {"bits": 9, "bound": 2.0}, "out_noise": 0.06}
NOISE = {"modifier": {"type": "add_normal", "std": 0.1}}
FORWARDS: dict[str, dict[str, Any]] = {
    "converters": IO,
    "ideal": {},
    "inputs clip": {**IO, "input_range": {"type": "abs_max", "limit": 0.8}},
    "outputs clip": {**IO, "adc": {"bits": 6, "bound": 0.3}, "out_scale": 1.3},
    "codes of two bytes": {**IO, "dac": {"bits": 12, "bound": 0.7}},
    "inputs clip without codes": {"dac": {"bits": None, "bound": 0.5}},
}
TRAININGS: dict[str, dict[str, Any]] = {
    "noise": NOISE,
    "noise of a stated size": {"modifier": {"type": "add_normal", "std": 0.1, "w_max": 0.4}},
    "no noise": {},
}


def layer(
    forward: dict[str, Any] = IO,
    training: dict[str, Any] = NOISE,
    mapping: dict[str, Any] | None = None,
    size: tuple[int, int] = (7, 5),
    bias: bool = True,
) -> AnalogLinear:
    """Return a layer that is trained with the hardware in the loop."""
    torch.manual_seed(1)
    tile = {"type": "inference", "forward": forward, "training": training}
    return AnalogLinear(*size, bias=bias, config={"tile": tile, "mapping": mapping or {}, "engine": "numba", "seed": 3}, name="one")


def trained(made: AnalogLinear, at_once: bool, monkeypatch: pytest.MonkeyPatch, samples: int = 4) -> list[Tensor]:
    """Return outputs, gradients and the state of some steps of training."""
    taken, whole = [], AnalogArray.mapped_at_once

    def counted(array: AnalogArray, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor | None:
        y = whole(array, x, weight, bias) if at_once else None
        taken.append(y is not None)
        return y

    monkeypatch.setattr(AnalogArray, "mapped_at_once", counted)
    optimizer, seen = torch.optim.SGD(made.parameters(), lr=0.05), []
    for step in range(3):
        optimizer.zero_grad()
        x = torch.randn(samples, made.in_features, generator=torch.Generator().manual_seed(step))
        x[1] = 0
        x.requires_grad_()
        y = made(x)
        (y - 1).square().sum().backward()
        assert x.grad is not None
        seen += [y.detach().clone(), x.grad.clone(), *(p.grad.clone() for p in made.parameters() if p.grad is not None)]
        optimizer.step()
    monkeypatch.undo()
    assert taken == [at_once] * 3
    return [*seen, *(value.clone() for value in made.state_dict().values())]


@pytest.mark.parametrize("training", TRAININGS.values(), ids=TRAININGS)
@pytest.mark.parametrize("forward", FORWARDS.values(), ids=FORWARDS)
def test_same_numbers(forward: dict[str, Any], training: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    once, steps = (trained(layer(forward, training), way, monkeypatch) for way in (True, False))
    for one, other in zip(once, steps, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    "mapping", [{"scales": "none"}, {"scales": "tilewise", "omega": 0.5}, {"max_scale_range": 1.2}], ids=["none", "tilewise", "range"]
)
def test_same_numbers_for_every_mapping(bias: bool, mapping: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    once, steps = (trained(layer(mapping=mapping, bias=bias), way, monkeypatch) for way in (True, False))
    for one, other in zip(once, steps, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_same_numbers_where_libraries_and_threads_compute(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        once, steps = (trained(layer(mapping={"max_in": 0, "max_out": 0}, size=(640, 820)), way, monkeypatch, 33) for way in (True, False))
    finally:
        torch.set_num_threads(threads)
    for one, other in zip(once, steps, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


@pytest.mark.parametrize("frozen", ["weight", "bias", "inputs"])
def test_what_needs_no_gradient_gets_none(frozen: str) -> None:
    gradients = []
    for without in ("", frozen):
        made = layer()
        x = torch.randn(4, 7, generator=torch.Generator().manual_seed(0)).requires_grad_(without != "inputs")
        if without in ("weight", "bias"):
            made.get_parameter(without).requires_grad_(False)
        made(x).square().sum().backward()
        gradients.append({"inputs": x.grad, "weight": made.weight.grad, "bias": made.bias.grad if made.bias is not None else None})
    for name, gradient in gradients[1].items():
        assert (gradient is None) == (name == frozen)
        assert gradient is None or torch.equal(gradient, gradients[0][name])  # type: ignore[arg-type]


def test_running_again_in_backward_draws_the_same_noise() -> None:
    seen = []
    for again in (False, True):
        made, x = layer(), torch.randn(4, 7, generator=torch.Generator().manual_seed(0)).requires_grad_()
        for _ in range(2):
            y: Any = checkpoint(made, x, use_reentrant=False) if again else made(x)
            y.square().sum().backward()
        assert int(made.array.trained_samples) == 8
        seen.append((x.grad, made.weight.grad))
    for one, other in zip(*seen, strict=True):
        assert one is not None
        assert other is not None
        assert torch.equal(one, other)


def test_weights_changed_between_forward_and_backward_are_refused() -> None:
    made = layer()
    y = made(torch.randn(4, 7, requires_grad=True))
    with torch.no_grad():
        made.weight.add_(1.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def measured(made: Any, x: Tensor) -> Tensor:
    """State the noise of each output, as for a crossbar that was measured."""
    made.array.crossbars[0].forward_pass.variation = Variation(out_noise=torch.ones(5))
    return x


@pytest.mark.parametrize(
    "change",
    [
        lambda made, x: (made.eval(), x)[1],
        lambda made, x: (made.array.register_forward_hook(lambda *_: None), x)[1],
        lambda made, x: x.double(),
        measured,
    ],
    ids=["evaluation", "hooks", "float64", "a measured crossbar"],
)
def test_left_to_the_long_way(change: Any) -> None:
    made = layer()
    x = torch.randn(4, 7)
    assert made.array.mapped_at_once(x, made.weight, made.bias) is not None
    x = change(made, x)
    before = made.array.trained_samples.clone()
    assert made.array.mapped_at_once(x, made.weight, made.bias) is None
    assert torch.equal(made.array.trained_samples, before)


def test_a_crossbar_with_a_product_of_its_own_takes_the_long_way() -> None:
    class Doubled(InferenceCrossbar):
        def mapped_mvm(self, x: Tensor, weight: Tensor, divisor: Tensor, noise: Stream) -> Tensor:
            return 2 * super().mapped_mvm(x, weight, divisor, noise)

    class Tile(Inference):
        def build(self, site: Site) -> Doubled:
            return Doubled(self, site)

    torch.manual_seed(1)
    made = AnalogLinear(7, 5, bias=False, config={"tile": Tile(), "engine": "numba"})
    x = torch.randn(4, 7)
    torch.testing.assert_close(made(x), 2 * x @ made.weight.mT)


@pytest.mark.parametrize(
    ("forward", "training", "mapping"),
    [
        ({**IO, "weight_noise": "additive_constant"}, NOISE, {}),
        ({**IO, "in_noise": 0.1}, NOISE, {}),
        ({**IO, "input_range": "learned"}, NOISE, {}),
        ({**IO, "bound_management": "iterative"}, NOISE, {}),
        ({**IO, "ir_drop": "quadratic"}, NOISE, {}),
        ({**IO, "out_noise_spread": 0.1}, NOISE, {}),
        (IO, {"drop_connect": 0.1}, {}),
        (IO, {**NOISE, "clip": {"type": "layer_gaussian", "sigma": 2.5}}, {}),
        (IO, {**NOISE, "per_sample": True}, {}),
        (IO, {"modifier": {"type": "mult_normal"}}, {}),
        (IO, NOISE, {"learned_scales": "columnwise"}),
        (IO, NOISE, {"bias": "analog"}),
        (IO, NOISE, {"max_in": 4}),
    ],
)
def test_settings_of_the_long_way(forward: dict[str, Any], training: dict[str, Any], mapping: dict[str, Any]) -> None:
    made = layer(forward, training, mapping)
    assert made.array.mapped_at_once(torch.randn(4, 7), made.weight, made.bias) is None
    assert made(torch.randn(4, 7)).shape == (4, 5)
