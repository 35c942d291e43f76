"""The Triton engine without a GPU: its tests on Triton's interpreter, and its kernels compiled ahead of time."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

triton = pytest.importorskip("triton", reason="triton is not installed: pip install 'ohmlet[triton]'")

from ohmlet.cells import DeviceArray, build_array  # noqa: E402 - only with Triton
from ohmlet.interfaces.device import ArraySite, Device  # noqa: E402
from ohmlet.nn.kernels import kernels_of  # noqa: E402
from ohmlet.registry import registry  # noqa: E402
from ohmlet_kernels.pulsed_update import StepError, read_step  # noqa: E402
from ohmlet_kernels.pulsed_update.triton_loops import slots  # noqa: E402
from ohmlet_kernels.pulsed_update.triton_source import kernel_source, update_kernel  # noqa: E402
from ohmlet_tiles.engine_triton import interpreted  # noqa: E402
from tests.gpu.where import OLD_INTERPRETER  # noqa: E402
from tests.kernels.pulsed_steps import STEPS, cells_of, random_trains  # noqa: E402

ROOT = Path(__file__).parents[2]
TARGETS = ["sm_80", "sm_90", "gfx942"]
SIMPLE = ["constant_step", "linear_step", "soft_bounds"]
DEVICES = [name for name, entries in registry("device").entries().items() for entry in entries if entry.dist == "ohmlet"]

ahead_of_time = pytest.mark.skipif(interpreted(), reason="TRITON_INTERPRET=1 leaves nothing to compile")
ops: Any = None


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A kernel that an earlier run left behind would say nothing about the compiler."""
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "triton"))


def array_of(name: str) -> DeviceArray | None:
    spec = registry("device").get(name)()
    if not isinstance(spec, Device):
        return None
    array = build_array(spec, ArraySite(2, 2, torch.tensor(1), kernels_of("reference"), lambda w, x, noise: x @ w.mT))
    assert isinstance(array, DeviceArray)
    return array


def test_interpreted_kernels_pass_the_tests_for_gpus() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "tests/gpu"]
    said = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env={**os.environ, "TRITON_INTERPRET": "1"})
    assert said.returncode == 0, said.stdout + said.stderr
    if " passed" not in said.stdout and OLD_INTERPRETER in said.stdout:
        pytest.skip(OLD_INTERPRETER)
    passed = re.search(r"(\d+) passed", said.stdout)
    assert passed is not None
    assert int(passed[1]) > 60, said.stdout


@ahead_of_time
@pytest.mark.parametrize("target", TARGETS)
def test_trains_and_simple_devices_compile_without_a_spill(target: str) -> None:
    from tests.kernels.ahead_of_time import compiled_slots, compiled_update, figures

    made = {"slots": compiled_slots(target)}
    for name in SIMPLE:
        array = array_of(name)
        assert array is not None
        made[name] = compiled_update(array.step, target)
    for name, kernel in made.items():
        registers, spilled = figures(kernel, target)
        assert spilled == 0, f"{name} on {target}: {spilled} spilled of {registers} registers"
        assert registers <= 128, f"{name} on {target} takes {registers} registers a thread"


@ahead_of_time
@pytest.mark.parametrize("target", TARGETS)
def test_every_form_of_an_update_compiles(target: str) -> None:
    from tests.kernels.ahead_of_time import compiled_update

    for words, counted in ((0, False), (3, True)):
        assert compiled_update(STEPS["bounded"][0], target, words=words, counted=counted).asm
    step, _, tables = STEPS["everything"]
    assert compiled_update(step, target, tuple(len(table) for table in tables)).asm


@ahead_of_time
def test_a_launch_compiles_what_was_compiled_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the sizes and the purpose, so that one kernel serves all layers with a device."""
    from ohmlet_kernels.pulsed_update import triton as engine
    from tests.kernels.ahead_of_time import AbsentGPU, Warmed, compiled_slots, compiled_update

    made: list[Any] = []
    kernel, key = update_kernel(STEPS["bounded"][0]), torch.tensor(-5)
    monkeypatch.setattr(engine, "update_kernel", lambda step: Warmed(kernel, made))
    monkeypatch.setattr(engine, "slots", Warmed(slots, made))
    # None on a machine without a GPU, where asking for it raises.
    monkeypatch.setattr(triton.runtime.driver, "_active", AbsentGPU())
    for samples, rows, columns in ((1, 1, 1), (3, 5, 7), (16, 32, 64)):
        ordinals = torch.arange(samples)
        for purpose in (5, 0x89ABCDEF):
            engine.pulsed_update(cells_of("bounded", rows, columns), random_trains(samples, rows, columns), key, purpose, ordinals)
            engine.pulse_bits(ordinals[:, None].expand(samples, rows), ordinals, 1, key, purpose, ordinals)
    assert len(made) == 12
    assert len({found.hash for found in made}) == 2
    ahead = compiled_update(STEPS["bounded"][0], "sm_90"), compiled_slots("sm_90")
    assert {str(found.src.signature) for found in made} == {str(known.src.signature) for known in ahead}


@ahead_of_time
@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", DEVICES)
def test_every_built_in_device_compiles(name: str, target: str) -> None:
    from tests.kernels.ahead_of_time import compiled_update, figures

    array = array_of(name)
    if array is None:
        pytest.skip("made of other devices, whose updates are compiled")
    registers, spilled = figures(compiled_update(array.step, target, tuple(len(table) for table in array.tables)), target)
    # Maths in float64 may cost a few words of a thread's memory; what a cell keeps must not.
    assert spilled <= 128, f"{spilled} of {registers} registers"


@ahead_of_time
def test_products_and_sums_stay_apart() -> None:
    """Contracted to one rounding they would give other normals than the reference's; popcount is one instruction."""
    from tests.kernels.ahead_of_time import compiled_update

    code = compiled_update(STEPS["bounded"][0], "sm_90").asm["ptx"]
    assert "fma.rn.f32" not in code
    assert "mul.f32" in code or "mul.rn.f32" in code
    assert "popc.b32" in code


def divided(w: Any, up: Any, noise: Any, cell: Any, hidden: Any, params: Any) -> tuple[Any, Any]:
    """Divides, and looks up a table."""
    w /= 2
    return w + ops.interpolate(params.shape, w) / cell.dw, hidden


def whole(w: Any, up: Any, noise: Any, cell: Any, hidden: Any, params: Any) -> tuple[Any, Any]:
    """Renames what no compiler can rename."""
    all_of_them = cell
    return w + all_of_them.dw, hidden


def test_divisions_and_tables_are_written_out() -> None:
    source = kernel_source(read_step(divided, ("dw",), (), (), ("shape",), 0, 0))
    assert "s_w = ops.divide(s_w, 2.0)" in source
    assert "r_0 = s_w + ops.divide(ops.interpolate(p_shape, LAST_p_shape, s_w), c_dw)" in source
    assert "philox(" not in source.partition("def update")[2]


@pytest.mark.parametrize(("normals", "uniforms", "blocks"), [(1, 0, 1), (2, 0, 1), (3, 0, 3), (2, 2, 1), (4, 1, 5)])
def test_a_counter_is_drawn_where_its_first_word_is_used(normals: int, uniforms: int, blocks: int) -> None:
    step = STEPS["silent"][0]._replace(normals=normals, uniforms=uniforms)
    assert kernel_source(step).partition("def update")[2].count("= philox(") == blocks


def test_one_kernel_for_each_step() -> None:
    step = STEPS["bounded"][0]
    assert update_kernel(step) is update_kernel(step._replace())
    assert update_kernel(step) is not update_kernel(STEPS["silent"][0])


def test_a_step_that_no_engine_compiles_says_so() -> None:
    with pytest.raises(StepError):
        kernel_source(read_step(whole, ("dw",), (), (), (), 0, 0))
