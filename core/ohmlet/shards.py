"""Checkpoints in several safetensors files, read one tensor at a time into a model that may be on the meta device."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ohmlet.conversion import analog_layers
from ohmlet.errors import ConfigError
from ohmlet.nn.array import AnalogArray

__all__ = ["load_sharded"]

Place = tuple[nn.Module, str]
"""A module and the name under which it holds a tensor."""


def load_sharded(model: nn.Module, files: str | Path | Iterable[str | Path], device: str | torch.device = "cpu") -> None:
    """Load a checkpoint of one or more safetensors files into a converted model, one tensor at a time, and put what is meta on `device`.

    `files` is a folder, an index (`model.safetensors.index.json`), a file, or several. The checkpoint is of the converted model or of
    the digital one, whose parameters have the same names; crossbar state that it does not hold gets its initial values: noise keys
    from the seed, counts of zero. Tied parameters stay tied and may be in the files once. Memory in use is at most that of the loaded
    model and one tensor. With `torch.device("meta")`: build, `convert`, `load_sharded`, then make the optimizer.

    Raises ConfigError, before anything is loaded, for files or names that are missing, names that the model does not know, sizes that
    differ, and buffers on the meta device that no file holds; also when safetensors is not installed.
    """
    analog_layers(model, "load_sharded")
    paths = _paths(files)
    sizes = {path: _sizes(path) for path in paths}
    held = {name: (path, size) for path in paths for name, size in sizes[path].items()}
    places = _places(model)
    problems = [
        f"{path}: holds '{name}' {list(size)}, {_misfit(places.get(name), size)}"
        for name, (path, size) in held.items()
        if _misfit(places.get(name), size)
    ]
    problems += _missing(model, places, set(held))
    if problems:
        raise ConfigError(*problems)
    for module in model.modules():
        if isinstance(module, AnalogArray) and module.keys.is_meta:
            module.to_empty(device=device)
    places = _places(model)
    for path in paths:
        with _opened(path, str(device)) as file:
            for name in sizes[path]:
                _put(places[name], file.get_tensor(name))


def _opened(path: Path, device: str = "cpu") -> Any:
    try:
        from safetensors import safe_open
    except ImportError:
        raise ConfigError("load_sharded reads safetensors files, and safetensors is not installed: pip install safetensors") from None
    return safe_open(path, framework="pt", device=device)


def _sizes(path: Path) -> dict[str, tuple[int, ...]]:
    try:
        with _opened(path) as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118  # no mapping
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(f"{path}: not a safetensors file: {type(error).__name__}: {error}") from None


def _paths(files: str | Path | Iterable[str | Path]) -> list[Path]:
    given = [Path(files)] if isinstance(files, str | Path) else [Path(file) for file in files]
    found: list[Path] = []
    for path in given:
        if path.is_dir():
            index = sorted(path.glob("*.safetensors.index.json"))
            inside = _paths(index[0]) if len(index) == 1 else sorted(path.glob("*.safetensors"))
            if not inside:
                raise ConfigError(f"{path}: no safetensors file in this folder")
            found += inside
        elif path.suffix == ".json" and path.is_file():
            try:
                names = json.loads(path.read_text("utf-8"))["weight_map"].values()
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise ConfigError(f"{path}: not an index of safetensors files: {type(error).__name__}: {error}") from None
            found += [path.parent / name for name in dict.fromkeys(names)]
        else:
            found.append(path)
    absent = [f"{path}: no such file" for path in found if not path.is_file()]
    if absent or not found:
        raise ConfigError(*(absent or ["load_sharded needs at least one file"]))
    return found


def _places(model: nn.Module) -> dict[str, list[Place]]:
    """Return for each name of the model's state where its tensor is, under all of the names that tied modules have for it."""
    named = [
        (f"{path}.{label}".lstrip("."), (module, label), tensor)
        for path, module in model.named_modules(remove_duplicate=False)
        for label, tensor in [*module._parameters.items(), *module._buffers.items()]
        if tensor is not None
    ]
    shared: dict[int, list[Place]] = {}
    for _, place, tensor in named:
        shared.setdefault(id(tensor), []).append(place)
    return {name: shared[id(tensor)] for name, _, tensor in named}


def _tensor(places: list[Place]) -> Tensor:
    module, label = places[0]
    found = module._parameters[label] if label in module._parameters else module._buffers[label]
    assert found is not None
    return found


def _misfit(places: list[Place] | None, size: tuple[int, ...]) -> str:
    if places is None:
        return "which the model does not have"
    own = tuple(_tensor(places).shape)
    return "" if own == size else f"which has sizes {list(own)} in the model"


def _missing(model: nn.Module, places: dict[str, list[Place]], held: set[str]) -> list[str]:
    """Return a line for each tensor that would stay without its values."""
    arrays = {
        path: {f"{path}.{name}" for name in module.state_dict()}
        for path, module in model.named_modules()
        if isinstance(module, AnalogArray)
    }
    new = {name for names in arrays.values() if not names & held for name in names}
    kept, given = set(model.state_dict()), {id(_tensor(places[name])) for name in held & places.keys()}
    lines = []
    for name, where in places.items():
        tensor = _tensor(where)
        if name in new or id(tensor) in given or not (name in kept or tensor.is_meta):
            continue
        if name in kept:
            lines.append(f"'{name}' is in none of the files")
        elif not any(name.startswith(f"{path}.") for path in arrays):
            lines.append(f"buffer '{name}' is on the meta device and no part of a checkpoint: give it its values first")
    return lines


@torch.no_grad()
def _put(places: list[Place], value: Tensor) -> None:
    own = _tensor(places)
    if not own.is_meta:
        own.copy_(value)
        return
    # Copied in any case: a tensor of a mapped file would change, or crash the process, with the file.
    value = value.to(own.dtype, copy=True)
    new = nn.Parameter(value, own.requires_grad) if isinstance(own, nn.Parameter) else value
    for module, label in places:
        (module._parameters if label in module._parameters else module._buffers)[label] = new  # type: ignore[assignment]
