"""The peer of benchmarks/digits.py, in an environment of its own: it times one epoch of training for each line of JSON it is given."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from aihwkit.nn import AnalogLinear, AnalogSequential
from aihwkit.optim import AnalogSGD
from aihwkit.simulator.configs import (
    BufferedTransferCompound,
    ChoppedTransferCompound,
    DigitalRankUpdateRPUConfig,
    DynamicTransferCompound,
    MixedPrecisionCompound,
    SingleRPUConfig,
    SoftBoundsReferenceDevice,
    TransferCompound,
    UnitCellRPUConfig,
)
from aihwkit.simulator.presets import GokmenVlasovPresetDevice
from torch import nn

TRANSFERS = {
    "tiki_taka": TransferCompound,
    "ttv2": BufferedTransferCompound,
    "c_ttv2": ChoppedTransferCompound,
    "agad": DynamicTransferCompound,
}


def config(algorithm: str, dw_min: float) -> Any:
    """Return an algorithm's configuration; converters and noise are the peer's defaults, which the other side states."""
    if algorithm == "sgd":
        return SingleRPUConfig(device=GokmenVlasovPresetDevice())
    cells = [SoftBoundsReferenceDevice(dw_min=dw_min) for _ in range(2)]
    if algorithm == "mixed_precision":
        return DigitalRankUpdateRPUConfig(device=MixedPrecisionCompound(device=cells[0]))
    return UnitCellRPUConfig(device=TRANSFERS[algorithm](unit_cell_devices=cells))


def epoch_of(case: dict[str, Any]) -> Callable[[], None]:
    """Return one epoch of training."""
    x, y, batch = torch.tensor(case["x"]), torch.tensor(case["y"]), case["batch"]
    layers: list[nn.Module] = []
    for ins, outs in case["layers"]:
        layers += [AnalogLinear(ins, outs, rpu_config=config(case["algorithm"], case["dw_min"])), nn.Sigmoid()]
    model = AnalogSequential(*layers[:-1], nn.LogSoftmax(dim=-1))
    optimizer = AnalogSGD(model.parameters(), lr=case["lr"])
    optimizer.regroup_param_groups(model)

    def epoch() -> None:
        for first in range(0, len(x), batch):
            optimizer.zero_grad()
            nn.functional.nll_loss(model(x[first : first + batch]), y[first : first + batch]).backward()
            optimizer.step()

    return epoch


def main() -> None:
    """Answer each line with the time in ms: a case makes a new network, an empty line trains it for one more epoch."""
    torch.set_num_threads(1)
    epoch: Callable[[], None] | None = None
    for line in sys.stdin:
        if line.strip():
            epoch = epoch_of(json.loads(line))
        assert epoch is not None
        start = time.perf_counter()
        epoch()
        print(1e3 * (time.perf_counter() - start), flush=True)


if __name__ == "__main__":
    main()
