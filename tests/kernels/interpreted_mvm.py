"""Analog products by Triton's interpreter beside the reference; test_analog_mvm_triton.py runs it where the interpreter is on."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from ohmlet.testing.engine import agree
from ohmlet.testing.expect import close, expect, identical
from ohmlet.testing.streams import spread, stream
from ohmlet_kernels.analog_mvm import MVM, Variation
from ohmlet_kernels.analog_mvm.reference import analog_mvm as reference
from ohmlet_kernels.mapped_mvm import Mapping
from ohmlet_kernels.mapped_mvm.reference import mapped_mvm as reference_mapped

EVERYTHING = MVM(
    in_step=1 / 31, in_bound=0.8, in_stochastic=True, in_noise=0.02, in_asymmetry=0.1, w_noise=0.03, out_asymmetry=-0.05, out_noise=0.05,
    out_step=1 / 16, out_bound=2.0, out_stochastic=True, out_scale=1.3,
)  # fmt: skip

SETTINGS = {
    "everything": EVERYTHING,
    "everything, noise of weights relative": EVERYTHING._replace(w_noise_kind="relative"),
    "everything, noise of weights as PCM's": EVERYTHING._replace(w_noise_kind="pcm"),
    "half to even": EVERYTHING._replace(in_stochastic=False, out_stochastic=False),
    "no noise at the inputs": EVERYTHING._replace(in_noise=0.0),
    "asymmetries alone": MVM(in_asymmetry=0.3, out_asymmetry=0.2),
    "converters alone": MVM(in_step=1 / 127, in_bound=1.0, out_step=12 / 127, out_bound=3.0),
    "nothing": MVM(),
}

ELSEWHERE = {
    "bound management": MVM(out_bound=1.0, bound_management=True),
    "IR drop": MVM(ir_drop=1.0),
    "S shape": MVM(nonlinear=True),
    "series resistance": MVM(r_series=0.1),
    "two passes": MVM(passes="digital_sum"),
}


def arguments(lead: tuple[int, ...], of_x: tuple[int, ...], of_w: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor, Any]:
    """Return inputs, weights, scales of which one is zero and one negative, and a stream with late ordinals."""
    x, w = spread(*of_x, 3, 2, 37, seed=1), spread(*of_w, 19, 37, seed=2)
    scale = x.abs().amax(-1, keepdim=True)
    scale[..., 1, 0, :], scale[..., 2, 1, :] = 0.0, -1.0
    return x, w, scale, stream(*lead)._replace(ordinals=torch.arange(3) * 5 + 2**40 + 2**32 - 7)


def both(settings: MVM, lead: tuple[int, ...], of_x: tuple[int, ...], of_w: tuple[int, ...], scaled: bool, label: str) -> None:
    from ohmlet_kernels.analog_mvm.triton import analog_mvm, fits

    x, w, scale, noise = arguments(lead, of_x, of_w)
    expect(fits(x, w, settings, noise, Variation()), f"{label}: the kernels hand this to the reference")
    outputs, gradients = [], []
    for function in (analog_mvm, reference):
        leaves = x.clone().requires_grad_(), w.clone().requires_grad_()
        y = function(*leaves, scale if scaled else None, settings, noise)
        outputs.append(y.detach())
        gradients.append(torch.autograd.grad(y, leaves, spread(*y.shape, seed=3)))
    agree(outputs[0], outputs[1], settings.out_step * settings.out_scale * (scale.clamp_min(1.0) if scaled else 1.0), label)
    for name, found, expected in zip("xw", *gradients, strict=True):
        close(found, expected, f"{label}: gradient of {name}")


def agreement() -> None:
    for words, settings in SETTINGS.items():
        both(settings, (2,), (2,), (2,), True, words)
    for lead, of_x, of_w in (((), (), ()), ((2,), (), (2,)), ((2,), (2,), ()), ((2, 2), (), (2, 2))):
        both(EVERYTHING, lead, of_x, of_w, False, f"x {of_x}, w {of_w}, unscaled")


def whole_numbers() -> None:
    """Rounding is torch's from zero to beyond all fractions, signs and NaN included."""
    from ohmlet_kernels.analog_mvm.triton import analog_mvm

    sizes = torch.tensor([0.0, 0.5, 1.5, 2.5, 2**21 + 0.25, 2**22 - 0.5, 2**22 + 0.5, 2**22 + 1.5, 2**23 - 0.5, 2**23 + 1, 3e9, 1e30])
    x = torch.cat((sizes, -sizes, torch.tensor([float("nan")])))[:, None, None]
    y = analog_mvm(x, torch.ones((1, 1)), None, MVM(in_step=1.0), stream(samples=len(x)))
    identical(y, x.round(), "rounded inputs")


def nan_stays_in_its_row() -> None:
    from ohmlet_kernels.analog_mvm.triton import analog_mvm

    x, w, _, noise = arguments((), (), ())
    x[1, 0, 5] = float("nan")
    y, expected = (function(x, w, None, SETTINGS["converters alone"], noise) for function in (analog_mvm, reference))
    expect(torch.equal(y.isnan(), expected.isnan()) and int(y.isnan().sum()) == 19, f"NaN at {y.isnan().nonzero().tolist()}")


def the_rest_runs_on_the_reference() -> None:
    from ohmlet_kernels.analog_mvm.triton import analog_mvm, fits

    x, w, _, noise = arguments((), (), ())
    given = [(words, x, w, settings, Variation()) for words, settings in ELSEWHERE.items()]
    given += [("float64", x.double(), w.double(), EVERYTHING, Variation())]
    given += [("varied outputs", x, w, MVM(), Variation(out_noise=torch.ones(19)))]
    for words, inputs, weights, settings, variation in given:
        expect(not fits(inputs, weights, settings, noise, variation), f"{words}: no kernel knows this")
        y = analog_mvm(inputs, weights, None, settings, noise, variation)
        identical(y, reference(inputs, weights, None, settings, noise, variation), words)


def mapped() -> None:
    from ohmlet_kernels.mapped_mvm.triton import mapped_mvm

    for lead in ((), (2,)):
        x, w, scale, noise = arguments(lead, lead, lead)
        mapping = Mapping(w.abs().amax(-1, keepdim=True), 0.1)
        given = (x, w, mapping, scale, EVERYTHING, noise)
        agree(mapped_mvm(*given), reference_mapped(*given), 1.3 / 16 * scale.clamp_min(1.0), f"mapped, {lead}")


def blocks_of_any_size() -> None:
    """Addresses are those of rows and columns, so that the sizes of programs leave no trace."""
    from ohmlet_kernels.analog_mvm import triton as module

    x, w, scale, noise = arguments((2,), (2,), (2,))
    found = []
    for rows, columns in ((4, 128), (2, 16), (8, 32)):
        module.BLOCKS.update(BLOCK_M=rows, BLOCK_N=columns)
        module.PRODUCT_BLOCKS.update(BLOCK_M=16 * rows, BLOCK_N=16)
        found.append(module.analog_mvm(x, w, scale, EVERYTHING, noise))
    for y in found[1:]:
        close(y, found[0], "smaller blocks")


def kit_of(kind: str, spec: Any) -> None:
    from ohmlet.testing import run_kit

    results = run_kit(kind, spec)
    failed = [f"{result.name}: {result.message}" for result in results if not result.passed]
    skipped = {result.name for result in results if result.skipped}
    expect(
        not failed and skipped <= {"test_learning", "test_conductances_stand_for_weights"},
        "\n".join(failed) or f"skipped: {sorted(skipped)}",
    )


def engine_kit() -> None:
    from ohmlet_tiles.engine_triton import TritonEngine

    kit_of("engine", TritonEngine())


FORWARD = {
    "dac": {"bits": 8, "rounding": "stochastic"}, "adc": {"bits": 8, "bound": 8.0}, "out_noise": 0.04,
    "weight_noise": {"type": "additive_constant", "std": 0.02},
}  # fmt: skip
TRAINING = {"modifier": {"type": "add_normal", "std": 0.08}}
TILE = {"forward": FORWARD, "backward": {"dac": {"bits": 8}}, "training": TRAINING, "noise_model": "pcm"}


def model() -> None:
    """A model trains, and becomes chips, on tile `triton_inference` as it does on tile `inference` and the reference."""
    import ohmlet

    found = []
    for config in ({"tile": {"type": "triton_inference", **TILE}}, {"tile": {"type": "inference", **TILE}, "engine": "reference"}):
        layer = torch.nn.Linear(9, 4)
        with torch.no_grad():
            layer.weight.copy_(spread(4, 9, seed=4))
            layer.bias.copy_(spread(4, seed=5))
        analog = ohmlet.convert(torch.nn.Sequential(layer), ohmlet.AnalogConfig.parse({**config, "seed": 3})).model
        x = spread(5, 9, seed=6).requires_grad_()
        y = analog(x)
        y.square().sum().backward()
        weight: Any = analog[0].weight  # type: ignore[index]
        chip = ohmlet.program(analog, instances=2, seed=1).at("1 h")
        found.append((y.detach(), x.grad, weight.grad, chip(x).detach()))
    for words, one, other in zip(("outputs", "gradient of x", "gradient of the weights", "chips"), *found, strict=True):
        close(one, other, words)


def tile_kit() -> None:
    from ohmlet.config import structure
    from ohmlet.interfaces.tile import Tile

    kit_of("tile", structure({"type": "triton_inference", **TILE}, Tile))


CHECKS: dict[str, Callable[[], None]] = {
    check.__name__: check
    for check in (
        *(agreement, whole_numbers, nan_stays_in_its_row, the_rest_runs_on_the_reference, mapped),
        *(blocks_of_any_size, model, engine_kit, tile_kit),
    )
}


def outcomes(names: list[str]) -> Iterator[tuple[str, str]]:
    from ohmlet_kernels.analog_mvm import triton as module

    for name in names:
        # Few large programs take the interpreter less time than many small ones.
        module.BLOCKS.update(BLOCK_M=32, BLOCK_N=64)
        try:
            CHECKS[name]()
        except Exception as error:  # whatever went wrong is the outcome
            yield name, f"{type(error).__name__}: {error}"
        else:
            yield name, ""


if __name__ == "__main__":
    json.dump(dict(outcomes(sys.argv[1:])), sys.stdout)
