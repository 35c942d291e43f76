"""Matrices on crossbars give the same numbers on a GPU, and take numpy's vectors there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import ohmlet
from tests.linalg.test_products import IN_MEMORY, numbers

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]


@pytest.mark.parametrize("config", ["pcm_inference", IN_MEMORY])
def test_products_and_writes(config: Any) -> None:
    m, x = torch.tensor(0.5 * numbers(6, 8)).float(), torch.tensor(numbers(8, 3, seed=1)).float()
    found = []
    for device in ("cpu", "cuda"):
        a = ohmlet.array(m.to(device), config, seed=1)
        a[1:3, [0, 5]] = 0.125
        y, z = a @ x.to(device), x.T[:, :6].to(device) @ a[:, 2:]
        assert y.device.type == z.device.type == a.read().device.type == device
        found.append([each.cpu() for each in (a.read(), y, z)])
        assert isinstance(a @ x.numpy(), np.ndarray)
    for cpu, gpu in zip(*found, strict=True):
        # One code of the output converter is 0.08 of full scale, where sums are rounded the other way.
        torch.testing.assert_close(gpu, cpu, rtol=1e-4, atol=0.1 if config == "pcm_inference" else 1e-5)
