"""The scripts in examples/ as modules whose commands can be run in this process."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result

EXAMPLES = Path(__file__).parents[2] / "examples"


def loaded(name: str) -> Any:
    """Return a script as a module."""
    spec = spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Result]]:
    """Yield a function that runs a script with arguments, as `python examples/NAME.py ...` would."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    before, state = set(sys.modules), torch.get_rng_state()

    def runs(name: str, *arguments: object, status: int = 0) -> Result:
        result = CliRunner().invoke(loaded(name).main, [str(each) for each in arguments], catch_exceptions=False)
        assert result.exit_code == status, result.output
        return result

    yield runs
    torch.set_rng_state(state)
    for name in set(sys.modules) - before:
        if str(EXAMPLES) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]
