"""Hardware-aware training in which each sample meets modified weights of its own."""

from __future__ import annotations

import copy
import math
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import ohmlet
import ohmlet_tiles.per_sample
from ohmlet.errors import ConfigError
from ohmlet.nn import AnalogLinear
from ohmlet_kernels.noise import Stream

PLAIN: dict[str, Any] = {"input_range": "none"}
FULL: dict[str, Any] = {"dac": {"bits": 8}, "adc": {"bits": 8, "bound": 12.0}, "input_range": "learned", "out_noise": 0.05}
STOCHASTIC: list[dict[str, Any]] = [
    {"modifier": {"type": "add_normal", "std": 0.2}},
    {"modifier": {"type": "mult_normal", "std": 0.2}},
    {"modifier": {"type": "discretize", "step": 0.1, "stochastic": True}},
    {"modifier": {"type": "discretize_add_normal"}},
    {"modifier": {"type": "poly", "std": 5.0}},
    {"modifier": {"type": "prog_noise", "std": 5.0}},
    {"modifier": {"type": "pcm_noise", "prob_at_random": 0.1, "t_inference": 100.0}},
    {"drop_connect": 0.3},
    {"modifier": {"type": "add_normal", "std": 0.2}, "drop_connect": 0.3, "keep_last_column": True},
]


def settings(training: dict[str, Any], forward: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    tile = {"type": "inference", "forward": forward or PLAIN, "training": {"per_sample": True, **training}, **more}
    return {"tile": tile, "mapping": {"scales": "none"}, "seed": 4}


def linear(training: dict[str, Any], forward: dict[str, Any] | None = None, ins: int = 6, outs: int = 4, **more: Any) -> AnalogLinear:
    torch.manual_seed(0)
    return AnalogLinear(ins, outs, bias=False, config=settings(training, forward, **more), name="layer", dtype=torch.float64)


def weights_of(layer: AnalogLinear, samples: int, std: float) -> Tensor:
    """Return the weights [S, out, in] that samples 0, 1, ... should meet under add_normal, drawn one by one."""
    w, key = layer.weight.detach(), layer.array.keys[0, 0]
    found = []
    for sample in range(samples):
        own = Stream(key, torch.tensor([sample]), layer.array.steps, "training").each().key[0]
        xi = Stream(own, None, layer.array.steps, "training").normal("modifier", w)
        found.append(w + std * w.abs().max() * xi)
    return torch.stack(found)


def test_sample_by_sample_it_is_a_product_with_weights_of_its_own() -> None:
    layer, x = linear({"modifier": {"type": "add_normal", "std": 0.2}}), torch.randn(5, 3, 6, dtype=torch.float64)
    w = weights_of(layer, 5, 0.2)
    y = layer(x)
    for sample in range(5):
        assert torch.allclose(y[sample], x[sample] @ w[sample].T, atol=1e-6)


def test_errors_have_the_variances_and_the_correlations_of_one_noisy_crossbar_per_sample() -> None:
    std, samples = 0.1, 20000
    layer = linear({"modifier": {"type": "add_normal", "std": std}}, ins=3, outs=2)
    x = torch.tensor([[1.0, 2.0, 0.0], [0.0, 1.0, -1.0]], dtype=torch.float64)
    errors = (layer(x.expand(samples, 2, 3)) - x @ layer.weight.T).detach().flatten(1)
    a = float(layer.weight.detach().abs().max())
    expected = torch.kron(x @ x.T, torch.eye(2, dtype=torch.float64)) * (std * a) ** 2
    # Four standard errors of a covariance of normals with variances of at most 5 (std a)^2.
    assert float((errors.T.cov() - expected).abs().max()) < 4 * math.sqrt(2 / samples) * 5 * (std * a) ** 2
    assert float(errors.mean(0).abs().max()) < 4 * math.sqrt(5 / samples) * std * a


def test_inputs_get_the_gradient_of_their_own_weights_and_weights_that_of_the_clean_product() -> None:
    layer, x = linear({"modifier": {"type": "add_normal", "std": 0.2}}), torch.randn(5, 3, 6, dtype=torch.float64, requires_grad=True)
    w, d = weights_of(layer, 5, 0.2), torch.randn(5, 3, 4, dtype=torch.float64)
    layer(x).backward(d)
    assert x.grad is not None
    assert layer.weight.grad is not None
    assert torch.allclose(x.grad, torch.einsum("sro,soi->sri", d, w), atol=1e-6)
    assert torch.allclose(layer.weight.grad, torch.einsum("sro,sri->oi", d, x.detach()))


@pytest.mark.parametrize("forward", [PLAIN, FULL], ids=["plain", "full"])
@pytest.mark.parametrize("training", STOCHASTIC, ids=lambda training: "+".join(map(str, training.get("modifier", training).values())))
def test_every_modifier_draws_for_each_sample_whatever_the_batches(training: dict[str, Any], forward: dict[str, Any]) -> None:
    whole, halves = (linear(training, forward, outs=16) for _ in range(2))
    for crossbar in (*whole.array.crossbars, *halves.array.crossbars):
        cast("Any", crossbar).forward_pass.range = None  # batches would move it
    x = torch.randn(1, 6, dtype=torch.float64).expand(8, 6)
    y = whole(x)
    assert len(y.detach().unique(dim=0)) == 8
    assert torch.allclose(torch.cat([halves(x[:4]), halves(x[4:])]), y, atol=1e-12)
    y.square().sum().backward()
    assert whole.weight.grad is not None
    assert bool(whole.weight.grad.isfinite().all())


def test_weights_of_all_samples_are_never_kept_and_pieces_give_the_same_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    results = []
    for at_once in (2**25, 3 * 24):
        monkeypatch.setitem(ohmlet_tiles.per_sample.ELEMENTS_AT_ONCE, "cpu", at_once)
        layer, x = (
            linear({"modifier": {"type": "add_normal", "std": 0.2}}, FULL),
            torch.linspace(-1, 1, 7 * 6, dtype=torch.float64).view(7, 6),
        )
        x.requires_grad_()
        kept: list[int] = []

        def keep(saved: Tensor, kept: list[int] = kept) -> Tensor:
            kept.append(saved.numel())
            return saved

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda saved: saved):
            y = layer(x)
        assert max(kept) <= x.numel() < 7 * layer.weight.numel()
        y.square().sum().backward()
        results.append((y, x.grad, layer.weight.grad))
    for first, second in zip(*results, strict=True):
        assert torch.allclose(first, second, atol=1e-12)


def test_what_is_fixed_when_a_crossbar_is_built_is_shared_by_the_samples() -> None:
    forward = {
        "adc": {"bound": 2.0}, "input_range": "none", "nonlinearity": {"strength": 0.8, "spread": 0.5},
        "passes": {"type": "separate", "w_asymmetry": 0.3},
    }  # fmt: skip
    own = linear({"modifier": {"type": "add_normal", "std": 1e-14}}, forward)
    plain = AnalogLinear(6, 4, bias=False, config=settings({"per_sample": False}, forward), name="layer", dtype=torch.float64)
    plain.weight = own.weight
    x = torch.randn(5, 6, dtype=torch.float64)
    assert torch.allclose(own(x), plain(x), atol=1e-12)


def test_the_transposed_pass_reads_each_samples_own_crossbar() -> None:
    layer = linear({"modifier": {"type": "add_normal", "std": 0.2}}, backward={"input_range": "none"})
    x, d = torch.randn(5, 6, dtype=torch.float64, requires_grad=True), torch.randn(5, 4, dtype=torch.float64)
    w = weights_of(layer, 5, 0.2)
    layer(x).backward(d)
    assert x.grad is not None
    assert torch.allclose(x.grad, torch.einsum("so,soi->si", d, w), atol=1e-6)


def test_time_steps_of_a_sample_share_its_weights() -> None:
    torch.manual_seed(0)
    config = settings({"modifier": {"type": "add_normal", "std": 0.3}})
    layer: Any = ohmlet.convert(nn.RNN(3, 3, nonlinearity="relu", bias=False), config).model.double()
    with torch.no_grad():
        layer.weight_hh_l0.zero_()
        layer.weight_ih_l0.abs_()
    x = torch.full((4, 6, 3), 10.0, dtype=torch.float64)  # [T, B, in]
    # With recurrent weights of zero, whose noise has A = 1, the second step would differ: leave it without.
    ohmlet.retarget(layer, {"tile.training.modifier.w_max": 1e-9})
    y = layer(x)[0]
    assert torch.allclose(y, y[:1].expand_as(y), atol=1e-5)
    ohmlet.retarget(layer, {"tile.training.modifier.w_max": 0.1})
    assert len(layer(x)[0][0].detach().unique(dim=0)) == 6


@pytest.mark.parametrize("layer", [lambda: nn.Conv2d(4, 4, 3, groups=2), lambda: nn.ConvTranspose2d(4, 4, 3), lambda: nn.Conv2d(4, 2, 3)])
def test_patches_of_an_image_share_its_weights(layer: Any) -> None:
    torch.manual_seed(0)
    config = settings({"modifier": {"type": "add_normal", "std": 0.3}})
    model = ohmlet.convert(layer(), config).model
    image = torch.ones(3, 4, 8, 8)
    y = model(image)[..., 3:5, 3:5].detach()
    assert torch.allclose(y, y[..., :1, :1].expand_as(y), atol=1e-5)
    assert len(y[:, 0, 0, 0].unique()) == 3


def test_engines_agree() -> None:
    found = []
    for engine in ("reference", "numba"):
        torch.manual_seed(0)
        config = {**settings({"modifier": {"type": "add_normal", "std": 0.2}}, FULL), "engine": engine}
        layer = AnalogLinear(30, 20, config=config, name="layer")
        x = torch.randn(6, 30, generator=torch.Generator().manual_seed(1)).requires_grad_()
        y = layer(x)
        y.square().sum().backward()
        found.append((y, x.grad, layer.weight.grad))
    for first, second in zip(*found, strict=True):
        assert torch.allclose(first, second, atol=1e-4)


def test_a_checkpointed_layer_repeats_the_weights_of_each_sample() -> None:
    once = linear({"modifier": {"type": "add_normal", "std": 0.2}}, FULL)
    twice, x = copy.deepcopy(once), torch.randn(5, 6, dtype=torch.float64)
    once(x).square().sum().backward()
    checkpoint(twice, x, use_reentrant=False).square().sum().backward()
    assert torch.equal(once.weight.grad, twice.weight.grad)  # type: ignore[arg-type]


def test_evaluation_modifies_only_when_asked() -> None:
    x = torch.randn(4, 6, dtype=torch.float64)
    layer = linear({"modifier": "add_normal"}).eval()
    assert torch.allclose(layer(x), x @ layer.weight.T)
    layer = linear({"modifier": "add_normal", "in_evaluation": True}).eval()
    assert not torch.allclose(layer(x), x @ layer.weight.T)


def test_an_empty_batch_passes() -> None:
    assert linear({"modifier": "add_normal"}, FULL)(torch.zeros(0, 6, dtype=torch.float64)).shape == (0, 4)


@pytest.mark.parametrize(
    ("training", "words"),
    [
        ({}, "per_sample has no effect without a modifier or drop_connect"),
        ({"modifier": "discretize"}, "per_sample has no effect: modifier discretize draws nothing"),
        ({"modifier": "dorefa"}, "per_sample has no effect: modifier dorefa draws nothing"),
    ],
)
def test_it_is_refused_where_it_means_nothing(training: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        linear(training)


def test_a_running_average_of_gradients_is_refused() -> None:
    with pytest.raises(ConfigError, match="reads samples side by side"):
        linear({"modifier": "add_normal"}, backward={"input_range": "average_abs_max"})


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
def test_it_compiles_into_one_graph() -> None:
    torch.compiler.reset()
    eager = linear({"modifier": "add_normal", "ramp": {"steps": 4, "start": 0.5}}, FULL)
    other, x = copy.deepcopy(eager), torch.randn(5, 6, dtype=torch.float64)
    compiled = torch.compile(other, backend="aot_eager", fullgraph=True)
    y = compiled(x)
    assert torch.equal(y, eager(x))
    y.square().sum().backward()
    eager(x)
    assert other.weight.grad is not None
