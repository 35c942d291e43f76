"""Periphery of single arrays: beside the oracle, the conventions of open implementations, refusals, state."""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import ohmlet
from ohmlet.config import files
from ohmlet.config.analog import AnalogConfig
from ohmlet.errors import ConfigError
from ohmlet.optim import AnalogSGD
from ohmlet_kernels.noise import Stream
from ohmlet_tiles.in_memory import InMemory
from tests.oracle.mvm import Product, largest, quantise
from tests.plugins.in_memory import noise
from tests.plugins.test_lrtt_layers import (
    EXACT,
    FULL,
    IDEAL,
    Halves,
    HalvesModule,
    algorithms,
    converted,
    held,
    learned,
    network,
    noisy,
    through,
)

Bits = tuple[int, int, float]
"""Bits of the DAC, bits of the ADC, its bound."""
FORWARD: dict[str, Bits] = {"up": (4, 5, 1.0), "down": (5, 6, 2.0), "core": (6, 7, 4.0)}
IDEAL_CELLS: dict[str, Any] = {"up": "ideal", "down": "ideal", "core": "ideal", "update_c": EXACT}
BACKWARD: dict[str, Bits] = {"up": (5, 4, 1.5), "down": (4, 7, 0.5), "core": (3, 6, 3.0)}


def settings(bits: Bits) -> dict[str, Any]:
    """Return a pass with converters."""
    return {"dac": {"bits": bits[0]}, "adc": {"bits": bits[1], "bound": bits[2]}}


def passed(model: nn.Module, x: torch.Tensor, d: torch.Tensor) -> tuple[Any, Any]:
    """Return outputs, and the gradients of inputs for errors d."""
    given = x.clone().requires_grad_()
    y = model(given)
    y.backward(d)
    assert given.grad is not None
    return y.detach().numpy(), given.grad.numpy()


@pytest.mark.parametrize("chops", [False, True])
@pytest.mark.parametrize(("inject", "back"), [(True, True), (True, False), (False, True)])
def test_each_array_has_converters_of_its_own(inject: bool, back: bool, chops: bool) -> None:
    """Of other resolution and bound each, both ways; a chopper's signs come between one array's ADC and the next one's DAC."""
    torch.manual_seed(0)
    own: dict[str, dict[str, Any]] = {name: {} for name in FORWARD}
    for name in own:
        if inject or name == "core":
            own[name]["forward"] = settings(FORWARD[name])
        if back or name == "core":
            own[name]["backward"] = settings(BACKWARD[name])
    rule = {**IDEAL, "alpha": 0.7, "forward_inject": inject, "backward_inject": back, "filter": "chopper" if chops else "none"}
    model = converted(nn.Linear(6, 5, bias=False), rule, {"io": {name: each for name, each in own.items() if each}})
    (module,) = algorithms(model)
    signs = np.array([-1.0, 1.0]) if chops else np.ones(2)
    if chops:
        module.signs.copy_(torch.tensor([[-1.0, 1.0]]))
    w = {name: value.double().numpy() for name, value in held(module).items()}
    x, d = torch.randn(3, 6), torch.randn(3, 5)
    y, gradient = passed(model, x, d)
    for row in range(3):
        v, e = x[row].double().numpy(), d[row].double().numpy()
        out, back_out = through(w["core"], v, *FORWARD["core"]), through(w["core"].T, e, *BACKWARD["core"])
        if inject:
            hidden = signs * through(w["down"], v, *FORWARD["down"])
            out = out + 0.7 * through(w["up"], hidden, *FORWARD["up"])
        if back:
            hidden = signs * through(w["up"].T, e, *BACKWARD["up"])
            back_out = back_out + 0.7 * through(w["down"].T, hidden, *BACKWARD["down"])
        np.testing.assert_allclose(y[row], out, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(gradient[row], back_out, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("which", ["forward", "backward", "read"])
def test_what_the_tile_says_is_what_arrays_do_unless_they_say(which: str) -> None:
    """The tile's pass, stated once more for every array, noise and all, changes no bit of a training; the tile's own is then left out."""
    every = {name: {which: FULL[which]} for name in ("up", "down", *(("core",) if which != "read" else ()))}
    tiles = [FULL, {**FULL, "io": every}]
    if which == "read":
        tiles[1] = {"forward": FULL["forward"], "backward": FULL["backward"], "io": every}
    states = []
    for tile in tiles:
        torch.manual_seed(0)
        rule = noisy(transfer_read="onehot", reinit_mode="hybrid", reinit_write="pulsed")
        states.append(learned(converted(network(), rule, tile), range(7)).state_dict())
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_the_fork_in_python_reads_each_tile_through_its_own_converters() -> None:
    """aihwkit_lrtt: three tiles; p is a forward pass of down, q a backward pass of up, whose converters all have the settings of one."""
    torch.manual_seed(0)
    forward, backward = (5, 6, 4.0), (6, 7, 3.0)
    rule = {"type": "aihwkit_lrtt", "rank": 2, "alpha": 0.7, "transfer_micro_steps": None, **IDEAL_CELLS}
    tile = {
        "forward": settings(forward),
        "backward": settings(backward),
        "io": {"down": {"read": settings(forward)}, "up": {"read": settings(backward)}},
        "update": EXACT,
    }
    model = converted(nn.Linear(6, 5, bias=False), rule, tile)
    (module,) = algorithms(model)
    w = {name: value.double().numpy() for name, value in held(module).items()}
    x, d = torch.randn(3, 6), torch.randn(3, 5)
    y, gradient = passed(model, x, d)
    factor = 0.01 * 0.7 / 2**0.5
    up, down = w["up"].copy(), w["down"].copy()
    for row in range(3):
        v, e = x[row].double().numpy(), d[row].double().numpy()
        p, q = through(w["down"], v, *forward), through(w["up"].T, e, *backward)
        out = through(w["core"], v, *forward) + 0.7 * through(w["up"], p, *forward)
        np.testing.assert_allclose(y[row], out, rtol=1e-5, atol=1e-6)
        back = through(w["core"].T, e, *backward) + 0.7 * through(w["down"].T, q, *backward)
        np.testing.assert_allclose(gradient[row], back, rtol=1e-5, atol=1e-6)
        up -= factor * np.outer(e, p)
        down -= factor * np.outer(q, v)
    AnalogSGD(model.parameters(), 0.01).step()
    np.testing.assert_allclose(held(module)["up"].numpy(), up, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(held(module)["down"].numpy(), down, rtol=1e-4, atol=1e-6)


def test_the_fork_in_cuda_shares_converters() -> None:
    """test_move: one DAC for core and down, none between down and up, one ADC for the sum; p and q exact; core alone backward."""
    torch.manual_seed(0)
    bits_in, bits_out, bound = forward = (5, 6, 4.0)
    backward = (6, 7, 3.0)
    rule = {"type": "lrtt_test_move", "rank": 2, "alpha": 0.7, "transfer_micro_steps": None, **IDEAL_CELLS}
    tile = {"forward": settings(forward), "backward": settings(backward), "update": EXACT}
    model = converted(nn.Linear(6, 5, bias=False), rule, tile)
    (module,) = algorithms(model)
    w = {name: value.double().numpy() for name, value in held(module).items()}
    x, d = torch.randn(3, 6), torch.randn(3, 5)
    y, gradient = passed(model, x, d)
    up = w["up"].copy()
    for row in range(3):
        v, e = x[row].double().numpy(), d[row].double().numpy()
        scale = largest(v)
        driven = np.array([quantise(each / scale, 2 / (2**bits_in - 2), 1.0) for each in v])
        currents = w["core"] @ driven + 0.7 * (w["up"] @ (w["down"] @ driven))
        out = scale * np.array([quantise(each, 2 * bound / (2**bits_out - 2), bound) for each in currents])
        np.testing.assert_allclose(y[row], out, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(gradient[row], through(w["core"].T, e, *backward), rtol=1e-5, atol=1e-6)
        up -= 0.01 * 2**0.5 * np.outer(e, w["down"] @ v)
    for which in ("forward", "backward", "read"):
        with pytest.raises(ConfigError, match=rf"tile\.io\.up\.{which} has no effect: as it is set, LRTT reads up by itself in no pass"):
            converted(nn.Linear(6, 5), rule, {"io": {"up": {which: settings(forward)}}})
    # The first transfer comes with the step, and leaves up until the next one.
    AnalogSGD(model.parameters(), 0.01).step()
    np.testing.assert_allclose(held(module)["up"].numpy(), up, rtol=1e-4, atol=1e-6)


def test_what_came_after_the_forks_reads_core_alone() -> None:
    """lrtt_manuscript: passes are core's, read by tile.forward; up and down have read-outs, each its own if it is to."""
    torch.manual_seed(0)
    forward, backward = (5, 6, 4.0), (6, 7, 3.0)
    rule = {"type": "lrtt_manuscript", "rank": 2, **IDEAL_CELLS}
    own = {"down": {"read": settings(FORWARD["down"])}, "up": {"read": settings(BACKWARD["up"])}}
    model = converted(
        nn.Linear(6, 5, bias=False), rule, {"forward": settings(forward), "backward": settings(backward), "io": own, "update": EXACT}
    )
    (module,) = algorithms(model)
    w = {name: value.double().numpy() for name, value in held(module).items()}
    x, d = torch.randn(3, 6), torch.randn(3, 5)
    y, gradient = passed(model, x, d)
    up, down = w["up"].copy(), w["down"].copy()
    for row in range(3):
        v, e = x[row].double().numpy(), d[row].double().numpy()
        np.testing.assert_allclose(y[row], through(w["core"], v, *forward), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(gradient[row], through(w["core"].T, e, *backward), rtol=1e-5, atol=1e-6)
        up -= 0.01 * np.outer(e, through(w["down"], v, *FORWARD["down"]))
        down -= 0.01 * np.outer(through(w["up"].T, e, *BACKWARD["up"]), v)
    AnalogSGD(model.parameters(), 0.01).step()
    np.testing.assert_allclose(held(module)["up"].numpy(), up, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(held(module)["down"].numpy(), down, rtol=1e-4, atol=1e-6)
    # One-hot reads of transfers: columns of up, rows of down, each line at full scale.
    module.transfer(noise(module.lines.site, 0, 1))
    told = {
        "up": np.stack([through(held(module)["up"].double().numpy(), line, *BACKWARD["up"]) for line in np.eye(2)], axis=1),
        "down": np.stack([through(held(module)["down"].double().numpy().T, line, *FORWARD["down"]) for line in np.eye(2)]),
    }
    moved = held(module)["core"].double().numpy() - w["core"]
    np.testing.assert_allclose(moved, told["up"] @ told["down"], rtol=1e-4, atol=1e-6)


def test_a_running_range_is_that_of_one_array() -> None:
    """average_abs_max of up follows what down puts out, not the layer's inputs; it is in the state_dict."""
    torch.manual_seed(0)
    own = {"up": {"forward": {"input_range": {"type": "average_abs_max", "decay": 0.25}}}}
    model = converted(nn.Linear(6, 5, bias=False), IDEAL, {"io": own})
    (module,) = algorithms(model)
    x = torch.randn(4, 6)
    model(x)
    average = -1.0
    for hidden in (x @ held(module)["down"].mT).abs().amax(-1).tolist():
        average = hidden if average < 0 else 0.75 * average + 0.25 * hidden
    (name,) = [name for name in model.state_dict() if name.endswith("average")]
    assert name.endswith("io.up_forward.running.average")
    assert float(model.state_dict()[name]) == pytest.approx(average, rel=1e-5)


OWN: dict[str, Any] = {
    "up": {"forward": {"input_range": "average_abs_max", "adc": {"bits": 8, "bound": 4.0}, "out_noise": 0.05}},
    "down": {"backward": {"dac": {"bits": 6}, "out_noise": 0.03}, "read": {"weight_noise": {"type": "additive_constant", "std": 0.02}}},
}


def test_engines_agree() -> None:
    found = {}
    for engine in ("reference", "numba"):
        torch.manual_seed(0)
        model = converted(network(), noisy(transfer_read="onehot"), {**FULL, "io": OWN}, engine=engine)
        found[engine] = learned(model, range(7)).state_dict()
    for name, value in found["reference"].items():
        torch.testing.assert_close(found["numba"][name], value, rtol=1e-4, atol=1e-5)


def test_a_checkpoint_goes_on_bit_by_bit() -> None:
    torch.manual_seed(0)
    whole = learned(converted(network(), noisy(), {**FULL, "io": OWN}), range(4))
    file = io.BytesIO()
    torch.save(whole.state_dict(), file)
    file.seek(0)
    fresh, twin = converted(network(), noisy(), {**FULL, "io": OWN}), pickle.loads(pickle.dumps(whole))
    fresh.load_state_dict(torch.load(file, weights_only=True))
    for model in (whole, fresh, twin):
        learned(model, range(4, 9))
    for other in (fresh, twin):
        state = other.state_dict()
        assert all(torch.equal(value, state[name]) for name, value in whole.state_dict().items())


def test_crossbars_of_groups_have_passes_of_their_own() -> None:
    """A convolution in two groups: the product of each group's arrays, through the same converters."""
    torch.manual_seed(0)
    own = {name: {"forward": settings(bits)} for name, bits in FORWARD.items()}
    # Ratios of two codes of down are often a tie for up's DAC, which float32 rounds either way.
    del own["up"]["forward"]["dac"]
    model = converted(nn.Conv1d(4, 6, 1, groups=2, bias=False), {**IDEAL, "alpha": 0.7}, {"io": own})
    x = torch.randn(2, 4, 3)
    y = model(x).detach()
    for group, module in enumerate(algorithms(model)):
        w = {name: value.double().numpy() for name, value in held(module).items()}
        for sample in range(2):
            for position in range(3):
                v = x[sample, 2 * group : 2 * group + 2, position].double().numpy()
                hidden = through(w["down"], v, *FORWARD["down"])
                _, bits, bound = FORWARD["up"]
                scale, step = largest(hidden), 2 * bound / (2**bits - 2)
                second = Product(hidden, w["up"], scale=scale, out_step=step, out_bound=bound).y
                out = through(w["core"], v, *FORWARD["core"]) + 0.7 * second
                np.testing.assert_allclose(y[sample, 3 * group : 3 * group + 3, position].numpy(), out, rtol=1e-5, atol=1e-6)


def test_range_of_converters_that_are_the_largest_output() -> None:
    """adc.bound max of an array is the number of its own inputs: r for up, however large the layer."""
    torch.manual_seed(0)
    adc = {"type": "sar", "bits": 6, "bound": "max"}
    model = converted(nn.Linear(6, 5), IDEAL, {"io": {"up": {"forward": {"adc": adc}, "backward": {"adc": adc}}}})
    crossbar = model[0].array.crossbars[0]
    assert crossbar.pass_of("up", "forward").readout.range() == 2
    assert crossbar.pass_of("up", "backward").readout.range() == 5


def parsed(own: Any, rule: dict[str, Any] | None = None, **tile: Any) -> AnalogConfig:
    """Return a config with io."""
    rule = rule if rule and "type" in rule else {"type": "lrtt", "rank": 2, **(rule or {})}
    return AnalogConfig.parse({"tile": {"type": "in_memory", "update_algorithm": rule, "io": own, **tile}})


A = settings((7, 9, 12.0))


@pytest.mark.parametrize(
    ("own", "rule", "tile", "message"),
    [
        ({"up": {"forward": A}}, {"forward_inject": False, "proj": "digital"}, {}, r"tile\.io\.up\.forward has no effect.* in no pass"),
        (
            {"up": {"read": A}},
            {"proj": "digital"},
            {},
            r"tile\.io\.up\.read .* LRTT reads up by itself only in forward and backward passes",
        ),
        ({"down": {"backward": A}}, {"backward_inject": False}, {}, "reads down by itself only in forward and read passes"),
        (
            {"core": {"forward": A}},
            {"forward_inject": False},
            {},
            r"in no pass; leave it out, and say what there is to say in tile\.forward",
        ),
        ({"core": {"forward": A}}, {"periphery": "shared"}, {}, "LRTT reads core by itself in no pass"),
        ({"core": {"read": A}}, {}, {}, "LRTT reads core by itself only in forward and backward passes"),
        ({"slow": {"read": A}}, {}, {}, r"tile\.io has no array 'slow' of LRTT; known: core, down, up"),
        ({"upp": {"read": A}}, {}, {}, "did you mean 'up'"),
        (
            {"up": {"read": A}, "down": {"read": {}}},
            {},
            {"read": A},
            r"tile\.read has no effect: io gives up and down, which alone are read",
        ),
        ({"up": {}}, {}, {}, r"without forward, backward or read has no effect: leave it out @ config.tile.io\['up'\]"),
        ({"up": {"forwrd": A}}, {}, {}, "unknown key 'forwrd', did you mean 'forward'"),
        ({"up": A}, {}, {}, "unknown key 'adc', known: backward, forward, read"),
        ("up", {}, {}, r"expected a mapping from names, got 'up' @ config\.tile\.io"),
        ({"up": {"forward": {"input_range": "learned"}}}, {}, {}, r"forward\.input_range learned of a single array is set by nothing"),
        ({"up": {"read": {"input_range": "fixed"}}}, {}, {}, r"read\.input_range fixed of a single array is set by nothing"),
        (
            {"up": {"forward": {"adc": {"bits": 8, "bound": "calibrated"}}}},
            {},
            {},
            r"forward\.adc of a single array needs a number as bound",
        ),
    ],
)
def test_settings_without_effect(own: Any, rule: dict[str, Any], tile: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parsed(own, rule, **tile)


def test_one_array_needs_no_passes_of_its_own() -> None:
    with pytest.raises(ConfigError, match=r"tile\.io\.device\.forward has no effect: as it is set, SGD reads device by itself in no pass"):
        parsed({"device": {"forward": A}}, {"type": "sgd"})


def test_reads_of_core_are_for_verification() -> None:
    """Core is read where transfers are verified by what is read, and nowhere else."""
    verified = {"transfer_read": "onehot", "transfer_write": "program_verify"}
    assert parsed({"core": {"read": A}}, verified).tile.io.keys() == {"core"}  # type: ignore[attr-defined]


def test_configs_with_io_travel() -> None:
    config = parsed({"up": {"forward": A}, "down": {"read": {}}})
    for form in ("yaml", "toml", "json"):
        assert AnalogConfig.parse(files.parse(files.dumps(config.to_plain(), form), form, "a file")) == config
    for same in (copy.deepcopy(config), pickle.loads(pickle.dumps(config))):
        assert same == config
        assert hash(same) == hash(config)
    changed: Any = config.override({"tile.io.up.forward.adc.bits": 6, "tile.io.core.backward": A}).tile
    assert changed.io["up"].forward.adc.bits == 6
    assert list(changed.io) == ["core", "down", "up"]
    assert "up, forward: z_i = clip(round(y_i / 0.0470588) 0.0470588, ±12)" in config.tile.equations()
    assert parsed({}).tile.io is None  # type: ignore[attr-defined]


def test_arrays_of_other_rules_have_passes_of_their_own_too() -> None:
    """A rule that names operands and says nothing further: forward and backward passes, of its arrays' sizes."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 4, bias=False))
    own: dict[str, Any] = {"upper": {"forward": {"out_scale": 0.5}, "backward": {"out_scale": 2.0}}}
    ohmlet.convert(model, {"tile": {"type": "in_memory", "update_algorithm": Halves(), "update": EXACT, "io": own}})
    rule: Any = next(module for module in model.modules() if isinstance(module, HalvesModule))
    rule.arrays["upper"].set_weights(torch.randn(2, 5), Stream(torch.tensor(0)))
    whole, upper = (array.weights().clone() for array in rule.arrays.values())
    x, d = torch.randn(3, 5), torch.randn(3, 4)
    y, gradient = passed(model.train(), x, d)
    np.testing.assert_allclose(y, x @ whole.mT + nn.functional.pad(0.5 * x @ upper.mT, (0, 2)), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(gradient, d @ whole + 2.0 * d[:, :2] @ upper, rtol=1e-5, atol=1e-6)
    with pytest.raises(ConfigError, match=r"tile\.io\.upper\.read has no effect: as it is set, .* only in forward and backward passes"):
        InMemory(update_algorithm=Halves(), io={"upper": {"read": A}})  # type: ignore[dict-item]


def test_training_with_io_learns() -> None:
    """A regression through converters of each array's own comes to half the loss that no weights have."""
    torch.manual_seed(0)
    target, layer = 0.3 * torch.randn(6, 8), nn.Linear(8, 6, bias=False)
    nn.init.zeros_(layer.weight)
    model = nn.Sequential(layer)
    tile = {"type": "in_memory", "update_algorithm": noisy(reinit_gain=0.5), "forward": A, "backward": A, "io": OWN | {"up": {"read": A}}}
    ohmlet.convert(model, {"tile": tile, "seed": 1})
    losses = []
    for _ in range(200):
        x = torch.randn(10, 8)
        optimizer = AnalogSGD(model.parameters(), 0.2)
        loss = (model(x) - x @ target.mT).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert sum(losses[-50:]) / 50 < 0.5 * float(target.square().sum()) / 6
