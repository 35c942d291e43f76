"""The plugins that the interfaces' docstrings show are whole: put into a module of their own, they pass the kits."""

from __future__ import annotations

import inspect
import sys
from types import ModuleType
from typing import Any

import pytest

from ohmlet.interfaces.drift_compensation import DriftCompensation
from ohmlet.interfaces.noise_model import NoiseModel
from ohmlet.interfaces.tile import Tile
from ohmlet.interfaces.update_algorithm import UpdateAlgorithm
from tests.testing.faults import caught

IMPORTS = """
import torch
from attrs import frozen
from torch import nn
from ohmlet.interfaces.drift_compensation import DriftCompensation
from ohmlet.interfaces.noise_model import NoiseModel
from ohmlet.interfaces.tile import Tile
from ohmlet.config import part
from ohmlet.interfaces.device import UnitCell
from ohmlet.interfaces.update_algorithm import UpdateAlgorithm
from ohmlet.spec import integer, number
"""

TILE = '''
@frozen(kw_only=True)
class TwoPass(Tile):
    """The spec that the docstring leaves out."""

    out_noise: float = number(0.1, "noise of a pass", ge=0)

    def build(self, site):
        return TwoPassCrossbar(self, site)
'''


def example(interface: type) -> str:
    """Return the first indented block with a class in a docstring."""
    lines = inspect.cleandoc(interface.__doc__ or "").splitlines()
    first = next(index for index, line in enumerate(lines) if line.startswith(("    @frozen", "    class ")))
    last = next((index for index in range(first, len(lines)) if lines[index] and not lines[index].startswith(" ")), len(lines))
    return inspect.cleandoc("\n".join(["", *lines[first:last]]))


@pytest.mark.parametrize(
    ("interface", "name", "rest"),
    [(NoiseModel, "Gaussian", ""), (DriftCompensation, "Repeated", ""), (Tile, "TwoPass", TILE), (UpdateAlgorithm, "EveryNth", "")],
)
def test_example_passes_its_kit(interface: Any, name: str, rest: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType(f"example_of_{interface.kind}")
    monkeypatch.setitem(sys.modules, module.__name__, module)  # where pickle looks classes up
    exec(f"{IMPORTS}\n{example(interface)}\n{rest}", vars(module))
    assert not caught(interface.kind, getattr(module, name)())
