"""What was published, or measured with an established simulator, of training in memory: who wins, and by how much.

The regression is that of Rasch et al., Nat. Commun. 15, 7133 (2024), doi:10.1038/s41467-024-51221-z: a single array of devices with 20
noisy steps is to learn a matrix. The digits are a network of three layers; the figures that its thresholds come from are means over the
last three epochs, test accuracies in %.
"""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import ohmlet
from ohmlet.experiment.data import Digits
from ohmlet.experiment.imports import Imports
from ohmlet.experiment.train import accuracy
from ohmlet.interfaces.pulses import PulsedUpdate
from ohmlet.interfaces.update_algorithm import UpdateAlgorithm
from ohmlet.optim import AnalogSGD
from ohmlet_devices.soft_bounds_reference import SoftBoundsReference
from ohmlet_optimizers.agad import AGAD
from ohmlet_optimizers.c_ttv2 import ChoppedTTv2
from ohmlet_optimizers.sgd import SGD
from tests.plugins.in_memory import built, noise, site

pytestmark = pytest.mark.slow

# One array that learns a matrix.


def twenty_states(offset: float) -> SoftBoundsReference:
    """Return a device of 20 states with the default spreads, its symmetry point at zero but for `offset`, a standard deviation."""
    return SoftBoundsReference(dw_min=0.1, w_max=1.0, w_min=-1.0, subtract_symmetry_point=True, reference_std=offset, count_pulses=True)


def rule(name: str, offset: float, fast_lr: float = 0.1) -> UpdateAlgorithm:
    """Return an algorithm; offsets are those of the fast array's devices."""
    slow = twenty_states(0.0)
    if name == "sgd":
        return SGD(device=slow)
    both: dict[str, Any] = {
        "fast": twenty_states(offset), "slow": slow, "fast_lr": fast_lr, "auto_scale": True, "auto_granularity": 1000.0,
    }  # fmt: skip
    chopped = {"ttv2": 0.0, "c_ttv2": 0.1, "agad": 0.1}[name]
    return AGAD(in_chop_prob=chopped, **both) if name == "agad" else ChoppedTTv2(in_chop_prob=chopped, **both)


@functools.cache
def regression(name: str, offset: float, fast_lr: float = 0.1, vectors: int = 60_000) -> tuple[float, dict[str, float]]:
    """Return the error of the learned weights over the last tenth, in % of their range, and pulses per device and vector."""
    size, batch = 20, 20
    generator = torch.Generator().manual_seed(5)
    target = (0.3 * torch.randn(size, size, generator=generator)).clamp(-0.8, 0.8)
    at = site(size, size)
    module = built(rule(name, offset, fast_lr), at, PulsedUpdate(desired_bl=31 if name == "sgd" else 5))
    errors: list[Tensor] = []
    for first in range(0, vectors, batch):
        x = 2 * torch.rand(batch, size, generator=generator) - 1
        module.update(x, x @ (module.weights() - target).mT, 0.1, noise(at, first, batch))
        if first >= 0.9 * vectors:
            errors.append((module.weights() - target).square().mean())
    counts = {key: float(value.sum()) / value[0].numel() / vectors for key, value in module.named_buffers() if key.endswith("pulses")}
    return 50 * float(torch.stack(errors).mean().sqrt()), {key.split(".")[1]: count for key, count in counts.items()}


def test_twenty_states_are_too_few_for_sgd_and_enough_for_a_buffered_transfer() -> None:
    # Published: above 25 % and about 5 %. Here: 12.6 and 2.4.
    sgd, ttv2 = regression("sgd", 0.0)[0], regression("ttv2", 0.0)[0]
    assert sgd > 4 * ttv2
    assert ttv2 < 5


def test_offsets_of_the_fast_array_spoil_a_buffered_transfer_little_by_little() -> None:
    # Published: about 9 % from 0.1 on, which is 5 % of the range.
    errors = [regression("ttv2", offset)[0] for offset in (0.0, 0.1, 0.25, 0.5)]
    assert errors == sorted(errors)
    assert errors[-1] > 3 * errors[0]


def test_choppers_hold_up_to_an_offset_of_a_quarter_of_the_range() -> None:
    # Published: c-TTv2 holds to 0.5 of a range of 2.
    quiet, loud = regression("c_ttv2", 0.0)[0], regression("c_ttv2", 0.5)[0]
    assert loud < 1.5 * quiet
    assert loud < regression("ttv2", 0.5)[0] / 2


def test_a_reference_on_the_fly_makes_the_offset_unimportant() -> None:
    errors = [regression("agad", offset)[0] for offset in (0.0, 0.1, 0.25, 0.5)]
    assert max(errors) < 1.1 * min(errors)
    assert max(errors) < 1.5 * regression("ttv2", 0.0)[0]


@pytest.mark.parametrize("name", ["ttv2", "agad"])
def test_the_fast_array_takes_thousands_of_pulses_for_each_one_of_the_slow_array(name: str) -> None:
    # Published: 0.5 to 4 for each sample on the fast array, 2e-4 to 4e-4 on the slow one. Here, as pulses of a device and at fast_lr 1,
    # 0.72 and 1.9e-4 (ttv2), 0.77 and 3.4e-4 (agad).
    _, counts = regression(name, 0.0, fast_lr=1.0, vectors=20_000)
    assert 0.5 < counts["fast"] < 4
    assert counts["slow"] < 4e-4
    assert counts["fast"] > 1000 * counts["slow"]


# Three layers that learn digits.

IO = {"dac": {"levels": 126}, "adc": {"levels": 510, "bound": 12.0}, "out_noise": 0.06}


def forty_states(offset: float) -> dict[str, Any]:
    """Return a device of 40 noisy steps."""
    return {
        "type": "soft_bounds_reference", "dw_min": 0.05, "dw_min_dtod": 0.3, "dw_min_dtod_log_normal": True, "log_normal_center": "median",
        "dw_min_std": 1.0, "w_max": 1.0, "w_min": -1.0, "w_max_dtod": 0.1, "w_min_dtod": 0.1, "reference_std": offset,
    }  # fmt: skip


def hardware(name: str, offset: float) -> dict[str, Any]:
    """Return the config of an algorithm with the settings that the established simulator gives it by default.

    Each row of weights fills 0.6 of the devices' range; the learned factor is one for each crossbar.
    """
    mapping = {"scales": "columnwise", "learned_scales": "tilewise", "learned_form": "linear", "omega": 0.6}
    both = {"fast": forty_states(offset), "slow": forty_states(offset)}
    update: dict[str, Any] = {"desired_bl": 5}
    if name in {"gokmen_vlasov", "sgd"}:
        algorithm: dict[str, Any] = {"type": "sgd", "device": name if name == "gokmen_vlasov" else forty_states(offset)}
        update = {}
    elif name == "tiki_taka":
        algorithm, update = {"type": "tiki_taka", **both}, {}
    elif name == "ttv2":
        algorithm = {"type": "c_ttv2", "in_chop_prob": 0.0, **both}
    else:
        algorithm = {"type": "agad", "fast_lr": 0.1, "auto_scale": True, "transfer_update": {"desired_bl": 1}, **both}
    read = {"read": {**IO, "input_range": "none"}} if algorithm["type"] != "sgd" else {}
    tile = {"type": "in_memory", "update_algorithm": algorithm, "update": update, "backward": IO, **read}
    return {"tile": {**tile, "forward": {**IO, "bound_management": "iterative"}}, "mapping": mapping, "seed": 0}


@functools.cache
def digits(name: str, offset: float = 0.05, epochs: int = 30, seed: int = 0) -> float:
    """Return the test accuracy in %, mean over the last three epochs."""
    split = Digits().load(Imports())
    x, test = split.train_x.flatten(1), split.test_x.flatten(1)
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(64, 64), nn.Sigmoid(), nn.Linear(64, 32), nn.Sigmoid(), nn.Linear(32, 10))
    if name != "digital":
        ohmlet.convert(model, hardware(name, offset) | {"seed": seed})
    optimizer = AnalogSGD(model.parameters(), lr=0.1)
    found = []
    for epoch in range(epochs):
        for group in optimizer.param_groups:
            group["lr"] = 0.1 * 0.5 ** ((epoch >= 0.5 * epochs) + (epoch >= 0.8 * epochs))
        for some in torch.randperm(len(x), generator=torch.Generator().manual_seed(1000 * seed + epoch)).split(5):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[some]), split.train_y[some]).backward()
            optimizer.step()
        found.append(100 * accuracy(model, test, split.test_y))
    return sum(found[-3:]) / 3


# Published, means of three seeds; measured here in brackets, seed 0. Digital 94.7 (94.8); Gokmen-Vlasov 94.8 (97.3); 40 states: sgd 10.4
# (8.6), tiki_taka 95.4 (96.2), ttv2 95.8 (95.6), agad 93.2 (93.4); with references that differ by 0.5, ttv2 87.9 (88.8), agad 92.1 (95.5).
# The scales matter: with exponential factors, which grow to twice as much, agad comes to 91.2 (five seeds) and c_ttv2 loses 3 points; with
# a learned factor for each column, or one scale for all weights of a crossbar, tiki_taka comes to some 80 here and to some 60 in the
# established simulator, and without any to 91 in both.
# One test sample is 0.28 points; runs differ by about one point.


def test_sgd_on_many_fine_steps_learns_as_digitally() -> None:
    assert digits("gokmen_vlasov") >= digits("digital") - 1.0


def test_forty_noisy_steps_leave_sgd_at_chance() -> None:
    assert digits("sgd") <= 30.0


@pytest.mark.parametrize("name", ["tiki_taka", "ttv2"])
def test_forty_noisy_steps_do_not_defeat_transfers_between_arrays(name: str) -> None:
    assert digits(name) >= 93.0


def test_references_that_differ_cost_a_buffered_transfer_four_points() -> None:
    assert digits("ttv2", 0.5) <= digits("ttv2", 0.05) - 4.0


def test_references_that_differ_cost_a_dynamic_reference_next_to_nothing() -> None:
    assert digits("agad", 0.5) >= digits("agad", 0.05) - 2.5
    assert digits("agad", 0.5) >= digits("ttv2", 0.5) + 1.5
