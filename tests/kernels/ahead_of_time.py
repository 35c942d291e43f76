"""Triton kernels compiled for GPUs that are not there, and what the compilers say of registers and spills."""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, CompiledKernel

from ohmlet_kernels.pulsed_update import Step
from ohmlet_kernels.pulsed_update.triton import BLOCK_M, BLOCK_N, LINES, OPTIONS
from ohmlet_kernels.pulsed_update.triton_loops import slots
from ohmlet_kernels.pulsed_update.triton_source import update_kernel

__all__ = ["AbsentGPU", "Figures", "Warmed", "compiled_slots", "compiled_update", "figures"]

TARGETS = {"sm_80": GPUTarget("cuda", 80, 32), "sm_90": GPUTarget("cuda", 90, 32), "gfx942": GPUTarget("hip", "gfx942", 64)}
INTEGERS = {"purpose": "i32", "samples": "i32", "rows": "i32", "columns": "i32", "looks": "i32", "lines": "i32"}
INT64 = ("ordinals", "key_at", "pulses_all", "looks_after", "looks_at", "thresholds", "lengths", "out")
BOOLEAN = ("x_signs", "d_signs", "touched_all")


class AbsentGPU:
    """What Triton asks of a driver before it launches: with it kernels can be launched as far as the compiler."""

    def get_current_target(self) -> GPUTarget:
        return TARGETS["sm_90"]

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return device


class Warmed:
    """A kernel that is compiled at a launch and goes no further; what was compiled is appended to `made`."""

    def __init__(self, kernel: Any, made: list[CompiledKernel]) -> None:
        self.kernel, self.made = kernel, made

    def __getitem__(self, grid: tuple[int, ...]) -> Any:
        return lambda *given, **options: self.made.append(self.kernel.warmup(*given, grid=grid, **options))


class Figures(NamedTuple):
    registers: int
    spilled: int
    """Bytes stored to and loaded from memory for want of registers."""


def signature_of(kernel: Any, constants: dict[str, Any], words: int) -> dict[str, str]:
    """Return the type of each argument as a launch finds it."""
    made = {}
    for name in kernel.arg_names:
        if name in constants:
            made[name] = "constexpr"
        elif name in INTEGERS:
            made[name] = INTEGERS[name]
        elif name in INT64 or (name in ("x_all", "d_all") and words):
            made[name] = "*i64"
        elif name in BOOLEAN:
            made[name] = "*u1"
        else:
            made[name] = "fp32" if name.startswith("p_") and f"LAST_{name}" not in kernel.arg_names else "*fp32"
    return made


def compiled(kernel: Any, constants: dict[str, Any], words: int, target: str) -> CompiledKernel:
    source = ASTSource(fn=kernel, signature=signature_of(kernel, constants, words), constexprs=constants)
    return triton.compile(source, target=TARGETS[target], options=OPTIONS)


def compiled_update(step: Step, target: str, lengths: tuple[int, ...] = (), words: int = 1, counted: bool = False) -> CompiledKernel:
    """Return the update of a step with tables of these lengths, for trains of so many words or, with 0, for counts."""
    constants = {
        **{f"LAST_p_{name}": length - 1 for name, length in zip(step.tables, lengths, strict=True)},
        "WORDS": words,
        "SELECT": 0,
        "COUNTED": counted,
        "TOUCHED": counted,
        "BY_COLUMNS": counted,
        "BLOCK_M": BLOCK_M,
        "BLOCK_N": BLOCK_N,
    }
    return compiled(update_kernel(step), constants, words, target)


def compiled_slots(target: str, words: int = 1) -> CompiledKernel:
    """Return the kernel that draws trains."""
    return compiled(slots, {"WORDS": words, "BLOCK": LINES}, 1, target)


def figures(made: CompiledKernel, target: str) -> Figures:
    """Return registers of a thread, and bytes spilled, as the assembler reports them."""
    if target.startswith("gfx"):
        text = made.asm["amdgcn"]
        registers = int(re.findall(r"\.vgpr_count:\s+(\d+)", text)[0])
        return Figures(registers, sum(map(int, re.findall(r"\.vgpr_spill_count:\s+(\d+)", text))))
    architecture = re.findall(r"^\.target (\w+)", made.asm["ptx"], re.MULTILINE)[0]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.ptx"
        path.write_text(made.asm["ptx"], encoding="utf-8")
        # Triton brings an assembler for each generation, and each knows the versions of PTX up to its own.
        for assembler in sorted((Path(triton.__file__).parent / "backends" / "nvidia" / "bin").glob("ptxas*")):
            command = [str(assembler), "-v", "--fmad=false", f"--gpu-name={architecture}", str(path), "-o", str(path.with_suffix(".cubin"))]
            said = subprocess.run(command, capture_output=True, text=True, check=False)
            if said.returncode == 0:
                break
        else:
            raise AssertionError(f"no assembler of Triton's takes its own code: {said.stderr}")
    registers = int(re.findall(r"Used (\d+) registers", said.stderr)[0])
    return Figures(registers, sum(map(int, re.findall(r"(\d+) bytes spill (?:stores|loads)", said.stderr))))
