"""Running kits without pytest: every test runs, whatever the others do."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from attrs import frozen
from torch import Tensor

from ohmlet.errors import OhmletError
from ohmlet.interfaces.conductance_converter import ConductanceConverter
from ohmlet.interfaces.drift_compensation import DriftCompensation
from ohmlet.interfaces.noise_model import ConductanceWindow
from ohmlet.registry import registry
from ohmlet.testing import Result, kit_tests, kits, run_kit


@frozen(kw_only=True)
class Quitter(DriftCompensation):
    """Leaves the process."""

    def read_out(self, mvm: Callable[[Tensor], Tensor], in_features: int, like: Tensor) -> Tensor | None:
        sys.exit(3)


@frozen(kw_only=True)
class Interrupted(ConductanceConverter):
    """Is stopped by the user."""

    @property
    def window(self) -> ConductanceWindow:
        raise KeyboardInterrupt

    def to_conductances(self, w: Tensor) -> Tensor:
        return w[None]

    def to_weights(self, g: Tensor) -> Tensor:
        return g[0]


def test_results_come_in_order_and_as_they_are_made() -> None:
    seen: list[Result] = []
    results = run_kit("conductance_converter", registry("conductance_converter").get("single_pair")(), seen.append)
    assert seen == results
    assert tuple(result.name for result in results) == kit_tests("conductance_converter")
    assert results[0].name == "test_is_frozen"
    assert results[-1].name == "test_draws_nothing"


@pytest.mark.parametrize("kind", sorted(kits()))
def test_every_test_says_what_it_tests(kind: str) -> None:
    for name in kit_tests(kind):
        doc = getattr(kits()[kind], name).__doc__
        assert doc
        assert doc.partition("\n")[0].endswith(".")


def test_exception_of_a_plugin_is_a_result_that_says_where() -> None:
    results = {result.name: result for result in run_kit("drift_compensation", Quitter())}
    assert len(results) == len(kit_tests("drift_compensation"))
    failed = results["test_nothing_drifted"]
    assert not failed.passed
    assert failed.message.startswith("raised SystemExit: 3 (test_run.py, line ")
    assert results["test_is_frozen"].passed


def test_keyboard_interrupt_stops() -> None:
    with pytest.raises(KeyboardInterrupt):
        run_kit("conductance_converter", Interrupted())


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("noise_modell", "unknown kind 'noise_modell'; did you mean 'noise_model'?"),
    ],
)
def test_kind_without_kit(kind: str, message: str) -> None:
    spec: Any = None
    with pytest.raises(OhmletError) as error:
        run_kit(kind, spec)
    assert str(error.value).startswith(message)


def test_kits_need_no_pytest() -> None:
    code = "import sys, ohmlet.testing; sys.exit('pytest' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=120, check=False).returncode == 0
