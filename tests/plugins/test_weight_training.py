"""Clipping and noise of weights in hardware-aware training."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ohmlet_kernels.noise import Stream
from ohmlet_tiles.clip import FixedValue, LayerGaussian
from ohmlet_tiles.modifiers import AddNormal


def weights(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def stream(step: int = 0) -> Stream:
    return Stream(torch.tensor(2), torch.arange(5), torch.tensor([step]), "training")


def test_the_noise_is_relative_to_the_crossbars_largest_weight() -> None:
    w = weights(200, 300)
    noise = AddNormal(std=0.1).modify(w, stream()) - w
    spread = 0.1 * float(w.abs().max())
    # Five standard errors of mean and spread of 60000 normals.
    assert abs(float(noise.mean())) < 5 * spread / math.sqrt(w.numel())
    assert abs(float(noise.std()) / spread - 1) < 5 / math.sqrt(2 * w.numel())
    xi = Stream(torch.tensor(2), None, torch.tensor([0]), "training").normal("modifier", w)
    assert torch.allclose(noise, spread * xi)


def test_each_group_takes_its_own_largest_weight() -> None:
    w = torch.stack((weights(4, 5), 100 * weights(4, 5, seed=1)))
    keyed = stream()._replace(key=torch.tensor([2, 3]))
    noisy = AddNormal(std=0.1).modify(w, keyed)
    assert torch.equal(noisy[1], AddNormal(std=0.1).modify(w[1], keyed._replace(key=torch.tensor(3))))


def test_noise_is_shared_by_samples_and_changes_with_the_step() -> None:
    w = weights(4, 5)
    modify = AddNormal(std=0.1).modify
    assert torch.equal(modify(w, stream(3)), modify(w, stream(3).at(torch.arange(7, 9))))
    assert not torch.equal(modify(w, stream(3)), modify(w, stream(4)))


def test_weights_get_the_gradient_of_the_clean_product_and_inputs_that_of_the_noisy_one() -> None:
    w, x = weights(4, 5).requires_grad_(), weights(3, 5, seed=1).requires_grad_()
    noisy = AddNormal(std=0.3).modify(w, stream())
    (x @ noisy.T).sum().backward()
    assert w.grad is not None
    assert x.grad is not None
    assert torch.allclose(w.grad, x.detach().sum(0).expand(4, 5))
    assert torch.allclose(x.grad, noisy.detach().sum(0).expand(3, 5))


@pytest.mark.parametrize("sigma", [0.5, 1.5, 2.5])
def test_layer_gaussian_clips_at_standard_deviations_of_the_crossbar(sigma: float) -> None:
    w = weights(30, 20) + 0.3
    bound = sigma * float(np.std(w.numpy(), ddof=1))
    assert np.abs(LayerGaussian(sigma=sigma).constrain(w).numpy() - np.clip(w.numpy(), -bound, bound)).max() < 1e-15


def test_fixed_value_clips_at_its_value() -> None:
    w = weights(30, 20)
    assert torch.equal(FixedValue(value=0.4).constrain(w), w.clamp(-0.4, 0.4))


@pytest.mark.parametrize(
    "w", [torch.zeros(3, 4), torch.full((3, 4), 0.5), torch.ones(1, 1), -torch.ones(2, 1)], ids=["zeros", "equal", "single", "column"]
)
def test_weights_without_spread_stay_as_they_are(w: Tensor) -> None:
    assert torch.equal(LayerGaussian(sigma=2.5).constrain(w), w)


@pytest.mark.parametrize("clip", [LayerGaussian(sigma=1.0), FixedValue(value=0.6)])
def test_a_step_through_the_clip_is_a_projected_step(clip: Any) -> None:
    w = weights(8, 6).requires_grad_()
    clipped = clip.constrain(w)
    bound = float(clipped.detach().abs().max())
    gradient = weights(8, 6, seed=3)
    clipped.backward(gradient)
    for value, g, passed in zip(w.detach().flatten().tolist(), gradient.flatten().tolist(), w.grad.flatten().tolist(), strict=True):  # type: ignore[union-attr]
        outward = (value > bound and g < 0) or (value < -bound and g > 0)
        assert passed == (0.0 if outward else g)


def test_a_clipped_weight_comes_back_when_the_loss_pulls_it_inside() -> None:
    w = torch.tensor([[3.0, 0.1]], requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=0.5)
    for _ in range(20):
        optimizer.zero_grad()
        (FixedValue(value=1.0).constrain(w) - 0.2).square().sum().backward()
        optimizer.step()
    assert torch.allclose(w, torch.tensor([[0.2, 0.2]]), atol=1e-3)
