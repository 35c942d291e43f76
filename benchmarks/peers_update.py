"""The peer of benchmarks/update.py, in an environment of its own: it times one pulsed update for each line of JSON that it is given."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from aihwkit.simulator.configs import ConstantStepDevice, ExpStepDevice, SingleRPUConfig, SoftBoundsDevice, UpdateParameters
from aihwkit.simulator.parameters.enums import RPUDataType
from aihwkit.simulator.presets import GokmenVlasovPresetDevice, ReRamESPresetDevice
from aihwkit.simulator.tiles import AnalogTile

DEVICES: dict[str, Callable[[], Any]] = {
    "soft_bounds": SoftBoundsDevice,
    "exp_step": ExpStepDevice,
    "constant_step": ConstantStepDevice,
    "reram_es": ReRamESPresetDevice,
    "gokmen_vlasov": GokmenVlasovPresetDevice,
}


def update_of(case: dict[str, Any]) -> Callable[[], None]:
    """Return the update of one case, the call into the compiled tile and nothing around it."""
    device, managed = DEVICES[case["device"]](), case["managed"]
    update = UpdateParameters(update_management=managed, update_bl_management=managed)
    tile = AnalogTile(case["rows"], case["columns"], SingleRPUConfig(device=device, update=update))
    granularity = device.as_bindings(RPUDataType.FLOAT).calc_weight_granularity()
    tile.set_learning_rate(case["rate"] * granularity)
    tile.set_weights(torch.zeros(case["rows"], case["columns"]))
    x, d = (torch.tensor(case[name]) for name in ("x", "d"))
    return lambda: tile.tile.update(x, d, False, False, False, False)


def main() -> None:
    """Answer each line with the time and the processor time in ms: a case makes a new tile, an empty line updates it once more."""
    torch.set_num_threads(int(sys.argv[1]))
    update: Callable[[], None] | None = None
    for line in sys.stdin:
        if line.strip():
            update = update_of(json.loads(line))
        assert update is not None
        start, begun = time.perf_counter(), time.process_time()
        update()
        print(1e3 * (time.perf_counter() - start), 1e3 * (time.process_time() - begun), flush=True)


if __name__ == "__main__":
    main()
