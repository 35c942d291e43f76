"""The error of 512x512 products on drifting phase-change memory, as the field's reference simulator has it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import ohmlet

# Relative L2 error in per cent at seconds after the first read-out, which is 20 s after programming: programming, read noise and drift
# only, measured with aihwkit 1.2.0. Its drift merges the two conductances of a pair, which accounts for 0.2 to 0.3 of the 0.3 to 0.45
# by which Ohmlet, which keeps them apart, lies below.
PUBLISHED = {1.0: 11.9, 3600.0: 13.6, 86400.0: 15.3, 365 * 86400.0: 19.5}
TOLERANCE = 0.7
SIZE = 512


@pytest.mark.parametrize(("programmings", "vectors"), [(1, 200), pytest.param(3, 1000, marks=pytest.mark.slow)])
def test_the_error_of_products_over_a_year_of_drift_is_the_published_one(programmings: int, vectors: int) -> None:
    generator = torch.Generator().manual_seed(0)
    layer = nn.Linear(SIZE, SIZE, bias=False)
    layer.weight.data = (0.246 * torch.randn(SIZE, SIZE, generator=generator)).clamp(-1, 1)
    x = torch.rand(vectors, SIZE, generator=generator) * 2 - 1
    x *= torch.rand(vectors, SIZE, generator=generator) < 0.5
    exact = layer(x).detach()
    tile = {"type": "inference", "forward": {"input_range": "none"}, "noise_model": "pcm", "drift_compensation": "global"}
    model = ohmlet.convert(layer, {"tile": tile, "mapping": {"scales": "columnwise"}}).model
    chip = ohmlet.program(model, programmings, seed=1)
    for t, published in PUBLISHED.items():
        off = chip.at(t)(x) - exact
        error = 100 * float((off.norm(dim=(-2, -1)) / exact.norm()).mean())
        print(f"{t:g} s: {error:.2f} %, published {published} %")  # noqa: T201 - shown by -s, quoted in reports
        assert error == pytest.approx(published, abs=TOLERANCE)
