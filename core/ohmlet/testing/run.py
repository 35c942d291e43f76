"""Running a kit without pytest, as `ohmlet check KIND NAME` does."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from unittest import SkipTest

from attrs import frozen

from ohmlet.errors import PluginError
from ohmlet.interfaces.memristor import Memristor
from ohmlet.registry import KINDS, did_you_mean
from ohmlet.testing.adc import ADCTests
from ohmlet.testing.conductance_converter import ConductanceConverterTests
from ohmlet.testing.device import DeviceTests
from ohmlet.testing.drift_compensation import DriftCompensationTests
from ohmlet.testing.engine import EngineTests
from ohmlet.testing.memristor import MemristorTests
from ohmlet.testing.noise_model import NoiseModelTests
from ohmlet.testing.preset import PresetTests
from ohmlet.testing.tile import TileTests
from ohmlet.testing.update_algorithm import UpdateAlgorithmTests

__all__ = ["Result", "kit_tests", "kits", "run_kit"]


@frozen
class Result:
    """The outcome of one test: its name, the sentence that it tests, and what is wrong (or why it was skipped)."""

    name: str
    doc: str
    passed: bool
    message: str = ""
    skipped: bool = False
    """True for a test that cannot run here or does not apply; it counts as passed, and `message` says why."""


def kits() -> Mapping[str, type]:
    """Return the kit of each kind that has one."""
    return {
        "adc": ADCTests,
        "conductance_converter": ConductanceConverterTests,
        "device": DeviceTests,
        "drift_compensation": DriftCompensationTests,
        "engine": EngineTests,
        "noise_model": NoiseModelTests,
        "preset": PresetTests,
        "tile": TileTests,
        "update_algorithm": UpdateAlgorithmTests,
    }


def kit_tests(kind: str, spec: Any = None) -> tuple[str, ...]:
    """Return the names of a kit's tests in the order they run, those for a spec if given; raises PluginError for a kind without a kit."""
    if kind not in KINDS:
        raise PluginError(f"unknown kind '{kind}'; {did_you_mean(kind, KINDS)}")
    if kind not in kits():
        raise PluginError(f"kind '{kind}' has no conformance kit in this version of Ohmlet; there is one for {', '.join(kits())}")
    names = [name for cls in reversed(_kit(kind, spec).__mro__) for name in vars(cls) if name.startswith("test_")]
    return tuple(dict.fromkeys(names))


def _kit(kind: str, spec: Any) -> type:
    """Return the kit of a kind, or of what a spec is besides."""
    return MemristorTests if kind == "device" and isinstance(spec, Memristor) else kits()[kind]


def run_kit(kind: str, spec: Any, progress: Callable[[Result], None] | None = None) -> list[Result]:
    """Run every test of a kind's kit on a spec (for kind "preset", on a preset) and return the outcomes.

    Each test runs whatever the others did; `progress` is called with each outcome. Raises PluginError for a kind without a kit.
    """
    results = []
    for name in kit_tests(kind, spec):
        results.append(_run(getattr(_kit(kind, spec)(), name), name, spec))
        if progress is not None:
            progress(results[-1])
    return results


def _run(test: Callable[[Any], None], name: str, spec: Any) -> Result:
    doc = (inspect.getdoc(test) or "").partition("\n")[0]
    try:
        test(spec)
    except SkipTest as skip:
        return Result(name, doc, True, str(skip), skipped=True)
    except AssertionError as error:
        return Result(name, doc, False, str(error) or _raised(error))
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:  # a stranger's method may even call sys.exit
        return Result(name, doc, False, _raised(error))
    return Result(name, doc, True)


def _raised(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return f"raised {type(error).__name__}: {error}{where}"
