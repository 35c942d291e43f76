"""State and config side by side: a file of plain tensors and a JSON of the hardware that is never applied unasked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ohmlet.config.analog import SCHEMA
from ohmlet.config.structure import plain
from ohmlet.conversion import analog_layers
from ohmlet.errors import ConfigError

__all__ = ["load", "save"]


def save(model: nn.Module, path: str | Path) -> None:
    """Write `path` (a state_dict of plain tensors) and beside it `path` with the ending .json (each analog layer's config).

    The ending .safetensors writes that format, with shared tensors once; every other one what `torch.save` writes. Raises ConfigError
    for the ending .json, and when safetensors is asked for and not installed.
    """
    path = Path(path)
    if path.suffix == ".json":
        raise ConfigError(f"{path}: the config is written beside the state with the ending .json; choose another ending, such as .pt")
    configs = {name: plain(layer.config) for name, layer in analog_layers(model, "save").items()}
    if path.suffix == ".safetensors":
        _safetensors(path).save_model(model, str(path))
    else:
        torch.save(model.state_dict(), path)
    path.with_suffix(".json").write_text(json.dumps({"schema": SCHEMA, "layers": configs}, indent=2) + "\n", encoding="utf-8")


def load(model: nn.Module, path: str | Path) -> None:
    """Load a saved state into a converted model; raises ConfigError when it was saved under other hardware, naming what differs.

    The saved config is compared, never applied: convert or retarget the model to the config you want first.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f"{path}: no such file")
    layers = analog_layers(model, "load")
    beside = path.with_suffix(".json")
    if not beside.is_file():
        raise ConfigError(f"{beside}: no such file, so nothing says what hardware the state is of; model.load_state_dict takes any")
    try:
        saved = json.loads(beside.read_text(encoding="utf-8"))["layers"]
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{beside}: not a saved config: {type(error).__name__}: {error}") from None
    if saved.keys() != layers.keys():
        raise ConfigError(f"{beside}: saved from analog layers {', '.join(saved)}; this model has {', '.join(layers)}")
    for name, layer in layers.items():
        differs = _differences(saved[name], json.loads(json.dumps(plain(layer.config))), "")
        if differs:
            raise ConfigError(
                f"{beside}: layer '{name}' was saved under other hardware: {'; '.join(differs)}; "
                "retarget the model first, or load the state_dict yourself"
            )
    if path.suffix == ".safetensors":
        _safetensors(path).load_model(model, str(path))
    else:
        model.load_state_dict(torch.load(path, weights_only=True, map_location="cpu"))


def _safetensors(path: Path) -> Any:
    try:
        import safetensors.torch
    except ImportError:
        raise ConfigError(f"{path}: safetensors is not installed: pip install safetensors, or choose the ending .pt") from None
    return safetensors.torch


def _differences(saved: object, now: object, path: str) -> list[str]:
    if isinstance(saved, dict) and isinstance(now, dict):
        keys = dict.fromkeys([*saved, *now])
        return [
            line
            for key in keys
            if key not in {"seed", "preset"}
            for line in _differences(saved.get(key), now.get(key), f"{path}.{key}".strip("."))
        ]
    return [] if saved == now else [f"{path} was {saved!r} and is {now!r}"]
