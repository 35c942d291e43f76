"""Where the update loops of devices are kept: written once, compiled once, loaded by every later process.

The folder is `OHMLET_CACHE_DIR`, else the user's cache folder; where neither can be written, a temporary one that goes with the process.
"""

from __future__ import annotations

import atexit
import functools
import importlib.util
import inspect
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numba
import numpy as np

from ohmlet_kernels import addresses
from ohmlet_kernels.noise import numba as noise
from ohmlet_kernels.pulsed_update import numba_blocks, numba_lanes, numba_loops, numba_together, numba_trains, ops_numba
from ohmlet_kernels.pulsed_update.numba_source import loop_source
from ohmlet_kernels.pulsed_update.step import Step

__all__ = ["cache_folder", "loops", "update_loop"]


def _wanted_folder() -> Path:
    """Return the folder to use if it can be written."""
    if os.environ.get("OHMLET_CACHE_DIR"):
        return Path(os.environ["OHMLET_CACHE_DIR"]).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "ohmlet" / "cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "ohmlet"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ohmlet"


def cache_folder() -> Path:
    """Return the folder of compiled device loops, made if need be."""
    try:
        folder = _wanted_folder()
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except (OSError, RuntimeError):
        return _temporary()


@functools.cache
def _temporary() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="ohmlet-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@functools.cache
def _fingerprint() -> str:
    """Return what a compiled loop depends on besides its own source: the loops that it calls, and the compiler."""
    modules = (addresses, noise, numba_blocks, numba_lanes, numba_loops, numba_together, numba_trains, ops_numba)
    sources = "".join(inspect.getsource(module) for module in modules)
    return f"{numba.__version__} {np.__version__} {sys.version} {sources}"


def update_loop(step: Step) -> Callable[..., None]:
    """Return the compiled update of a device's step; compiles at its first call unless an earlier process has."""
    return loops(step).update  # type: ignore[no-any-return]


@functools.lru_cache(maxsize=256)
def loops(step: Step) -> Any:
    """Return the module of a device's step, with the functions that `loop_source` states."""
    source = loop_source(step)
    name = f"ohmlet_step_{blake2b((source + _fingerprint()).encode(), digest_size=12).hexdigest()}"
    path = cache_folder() / f"{name}.py"
    # What is there is not trusted but compared: it is about to be executed.
    if not path.exists() or path.read_text(encoding="utf-8") != source:
        logging.getLogger("ohmlet").info("compiling the update of %s, once: a few seconds", step.function.__qualname__)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".part", delete=False, encoding="utf-8") as file:
            file.write(source)
        # Another process may do the same at the same time; each puts a whole file in place.
        Path(file.name).replace(path)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
