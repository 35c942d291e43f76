import os
import subprocess
import sys
from pathlib import Path

import pytest

from ohmlet_kernels.pulsed_update import numba_cache
from ohmlet_kernels.pulsed_update.numba_source import loop_source
from tests.kernels.pulsed_steps import STEPS

PROGRAM = """
import torch
from tests.kernels.pulsed_steps import cells_of, random_trains
from ohmlet_kernels.pulsed_update import numba, numba_cache
cells = cells_of("silent", 2, 3)
numba.pulsed_update(cells, random_trains(2, 2, 3), torch.tensor(5), 7, torch.arange(2))
stats = numba_cache.update_loop(cells.step).stats
print(sum(stats.cache_hits.values()), sum(stats.cache_misses.values()), float(cells.w.sum()))
"""


def start(folder: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "OHMLET_CACHE_DIR": str(folder), "NUMBA_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    environment.pop("NUMBA_CACHE_DIR", None)
    root = Path(__file__).parents[2]
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM], env=environment, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def said(process: subprocess.Popen[str]) -> list[str]:
    out, problems = process.communicate(timeout=300)
    assert process.returncode == 0, problems
    return out.split()


@pytest.mark.slow
def test_processes_share_what_one_compiled(tmp_path: Path) -> None:
    """Two processes start at once on an empty folder; a third finds everything and compiles nothing."""
    first, second = start(tmp_path), start(tmp_path)
    results = [said(first), said(second)]
    hits, misses, total = said(start(tmp_path))
    assert (hits, misses) == ("1", "0")
    assert {result[2] for result in results} == {total}
    assert len(list(tmp_path.glob("*.py"))) == 1
    assert not list(tmp_path.glob("*.part"))


def test_a_folder_that_cannot_be_written_is_left_for_a_temporary_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a file"
    file.write_text("")
    monkeypatch.setenv("OHMLET_CACHE_DIR", str(file / "below"))
    folder = numba_cache.cache_folder()
    assert folder.is_dir()
    assert folder.name.startswith("ohmlet-")
    assert numba_cache.cache_folder() == folder


def test_the_users_folder_unless_one_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("OHMLET_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert numba_cache.cache_folder() == tmp_path / "ohmlet"
    monkeypatch.setenv("OHMLET_CACHE_DIR", str(tmp_path / "mine"))
    assert numba_cache.cache_folder() == tmp_path / "mine"


def test_a_file_that_was_tampered_with_is_written_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OHMLET_CACHE_DIR", str(tmp_path))
    step = STEPS["silent"][0]
    numba_cache.loops.__wrapped__(step)
    (file,) = tmp_path.glob("*.py")
    file.write_text("raise SystemExit('never run')")
    numba_cache.loops.__wrapped__(step)
    assert file.read_text() == loop_source(step)


def test_numbers_are_float32_and_names_do_not_clash() -> None:
    source = loop_source(STEPS["everything"][0])
    assert "np.float32(0.25)" in source
    assert "ops.pow(k_" in source
    assert "p_shape" in source
    compile(source, "loop", "exec")
