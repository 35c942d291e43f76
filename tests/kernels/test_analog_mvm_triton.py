"""The analog product's Triton kernels: run by Triton's interpreter in a process of its own, and compiled for GPUs that are not there."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from torch import nn

import ohmlet
from ohmlet.errors import ConfigError
from ohmlet_tiles.engine_triton import TritonEngine, interpreted
from tests.kernels.interpreted_mvm import CHECKS

SLOW = ("engine_kit", "tile_kit")
FAST = tuple(name for name in CHECKS if name not in SLOW)

with_triton = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed: pip install 'ohmlet[triton]'")


ahead_of_time = pytest.mark.skipif(interpreted(), reason="TRITON_INTERPRET=1 leaves nothing to compile")


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A kernel that an earlier run left behind would say nothing about the compiler."""
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "triton"))


def outcomes(*names: str) -> dict[str, str]:
    """Return what is wrong with each check, nothing being nothing."""
    done = subprocess.run(
        # Beyond an array's edge kernels compute what nobody reads, which numpy, on which the interpreter stands, remarks on.
        [
            sys.executable,
            "-W",
            "error",
            "-W",
            "ignore:invalid value:RuntimeWarning",
            "-W",
            "ignore:Conversion of an array:DeprecationWarning",
            "-m",
            "tests.kernels.interpreted_mvm",
            *names,
        ],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "TRITON_INTERPRET": "1", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def fast() -> dict[str, str]:
    return outcomes(*FAST)


def passed(message: str) -> None:
    if "InterpreterError" in message and "0-dimensional" in message:
        pytest.skip("this Triton's interpreter needs an older numpy for loops of variable length")
    assert message == ""


@with_triton
@pytest.mark.parametrize("name", FAST)
def test_interpreted_kernels_equal_the_reference(fast: dict[str, str], name: str) -> None:
    passed(fast[name])


@with_triton
@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_interpreted_kernels_pass_the_kits(name: str) -> None:
    passed(outcomes(name)[name])


TYPES = {
    **dict.fromkeys(("x_all", "scales", "v_all", "w_all", "y_all", "powers", "out"), "*fp32"),
    **dict.fromkeys(("step", "bound", "noise", "asymmetry", "w_noise", "out_scale"), "fp32"),
    "keys": "*i64",
    "ordinals": "*i64",
    "flags": "*u8",
}


def switched(*, on: bool, **more: Any) -> dict[str, Any]:
    from ohmlet_kernels.analog_mvm.triton import BLOCKS

    return {**dict.fromkeys(("STEPPED", "AT_RANDOM", "NOISY", "LOSSY", "FLAGGED"), on), **more, **BLOCKS}


def assembled(name: str, target: str, *, on: bool) -> Any:
    """Return registers and spills of a kernel with everything switched on, or nothing."""
    import triton
    from triton.compiler import ASTSource

    from ohmlet_kernels.analog_mvm import triton as module
    from tests.kernels.ahead_of_time import TARGETS, figures

    kernel = getattr(module, name)
    if name == "multiply":
        constants, options = {**module.PRODUCT_BLOCKS, "PRECISION": "ieee" if on else "tf32"}, module.PRODUCT_OPTIONS
    else:
        more = {"POWERS": 512 if on else 0, "EMPTY_IS_ZERO": not on} if name == "read_out" else {}
        constants, options = switched(on=on, **more), module.OPTIONS
    signature = {each: "constexpr" if each in constants else TYPES.get(each, "i32") for each in kernel.arg_names}
    made = triton.compile(ASTSource(fn=kernel, signature=signature, constexprs=constants), target=TARGETS[target], options=options)
    return figures(made, target)


@ahead_of_time
@with_triton
@pytest.mark.parametrize("on", [True, False])
@pytest.mark.parametrize("name", ["drive", "multiply", "read_out"])
def test_kernels_compile_for_sm_90_without_spilling(name: str, on: bool) -> None:
    found = assembled(name, "sm_90", on=on)
    assert 0 < found.registers <= 255
    assert found.spilled == 0


@ahead_of_time
@with_triton
@pytest.mark.slow
@pytest.mark.parametrize("target", ["sm_80", "gfx942"])
@pytest.mark.parametrize("name", ["drive", "multiply", "read_out"])
def test_kernels_compile_for_other_gpus_without_spilling(name: str, target: str) -> None:
    assert assembled(name, target, on=True).spilled == 0


CONFIG = {"tile": {"type": "triton_inference"}, "seed": 1}


@pytest.mark.parametrize(("installed", "message"), [(True, "no GPU.*TRITON_INTERPRET=1"), (False, "triton is not installed: pip install")])
def test_tile_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, installed: bool, message: str) -> None:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("ohmlet_tiles.engine_triton.find_spec", lambda name: installed or None)
    config = ohmlet.AnalogConfig.parse(CONFIG)
    with pytest.raises(ConfigError, match=f"engine 'triton' cannot run here: .*{message}"):
        ohmlet.convert(nn.Linear(3, 2), config)


def test_engine_serves_gpus_and_leaves_cpus_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    assert TritonEngine().preference("cpu") is None
    assert (TritonEngine().preference("cuda") or 0) > 0
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert (TritonEngine().preference("cpu") or 0) < 0  # auto takes others


def test_tile_conflicts_with_another_engine() -> None:
    with pytest.raises(ConfigError, match="engine 'numba' conflicts with the tile, which runs on 'triton'"):
        ohmlet.AnalogConfig.parse({**CONFIG, "engine": "numba"})
    assert ohmlet.AnalogConfig.parse({**CONFIG, "engine": "triton"}).engine == "triton"
