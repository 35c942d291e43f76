"""The same layers in other simulators, timed in an environment of their own: `make bench-peers` makes it and runs the benchmark.

Run by that environment's Python, this prints one JSON object on its last line: for each simulator, row and batch the time over that of
`torch.nn.Linear` in the same process. A step is forward, backward and an optimizer step, since aihwkit computes the weights' gradient
and draws the weights' noise there; the digital layer it is divided by does the same.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

CONVERTERS, PRESET = "converters, output and weight noise", "standard preset"


def configs() -> dict[tuple[str, str], Any]:
    """Return aihwkit's configs of the benchmark's rows, by simulator and row; its torch tile has no read noise and no IR drop."""
    from aihwkit.simulator.configs import InferenceRPUConfig, TorchInferenceRPUConfig
    from aihwkit.simulator.parameters.enums import BoundManagementType, WeightModifierType, WeightNoiseType

    def common(config: Any) -> Any:
        forward = config.forward
        forward.inp_res, forward.out_res, forward.out_bound, forward.out_noise = 1 / 254, 1 / 254, 10.0, 0.04
        forward.bound_management, forward.w_noise, forward.ir_drop = BoundManagementType.NONE, 0.0, 0.0
        config.mapping.max_input_size = config.mapping.max_output_size = 512
        return config

    def modified(config: Any) -> Any:
        config.modifier.type, config.modifier.std_dev = WeightModifierType.ADD_NORMAL, 0.08
        return config

    preset = common(InferenceRPUConfig())
    preset.forward.w_noise_type, preset.forward.w_noise, preset.forward.ir_drop = WeightNoiseType.PCM_READ, 0.0175, 1.0
    preset.pre_post.input_range.enable = True
    return {
        ("aihwkit torch", CONVERTERS): modified(common(TorchInferenceRPUConfig())),
        ("aihwkit C++", CONVERTERS): modified(common(InferenceRPUConfig())),
        ("aihwkit C++", PRESET): preset,
    }


def least_ms(calls: list[Callable[[], object]], repeats: int) -> list[float]:
    """Return the least time of each call in ms of this thread, taken in turns so that a busy machine is busy for all."""
    least = [float("inf")] * len(calls)
    for _ in range(repeats):
        for index, call in enumerate(calls):
            call()
            for _ in range(3):
                start = time.thread_time()
                call()
                least[index] = min(least[index], time.thread_time() - start)
    return [1e3 * each for each in least]


def step(layer: nn.Module, optimizer: torch.optim.Optimizer, x: torch.Tensor) -> Callable[[], object]:
    """Return one step of training."""

    def call() -> None:
        optimizer.zero_grad()
        y = layer(x)
        y.backward(torch.ones_like(y))
        optimizer.step()

    return call


def main() -> None:
    """Time every row and print the ratios."""
    torch.set_num_threads(1)
    from aihwkit.nn import AnalogLinear
    from aihwkit.optim import AnalogSGD

    rows = []
    for batch in map(int, sys.argv[1].split(",")):
        x = torch.randn(batch, 512, requires_grad=True)
        linear = nn.Linear(512, 512)
        calls = [step(linear, torch.optim.SGD(linear.parameters(), lr=1e-6), x)]
        names = []
        for (peer, what), config in configs().items():
            layer = AnalogLinear(512, 512, rpu_config=config)
            optimizer = AnalogSGD(layer.parameters(), lr=1e-6)
            optimizer.regroup_param_groups(layer)
            calls.append(step(layer.train(), optimizer, x))
            names.append((peer, what))
        base, *times = least_ms(calls, max(4, 1024 // batch))
        rows += [{"peer": p, "what": w, "batch": batch, "ratio": ms / base} for (p, w), ms in zip(names, times, strict=True)]
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
