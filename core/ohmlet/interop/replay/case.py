"""A folder of reference cases: each with parameters, arrays and the rule by which an array is compared."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from attrs import frozen

from ohmlet.errors import ConfigError

__all__ = ["Case", "read_cases"]


@frozen
class Case:
    """One case: what the file says of it, and its arrays by their short names."""

    group: str
    data: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray[Any, Any]]

    @property
    def id(self) -> str:
        """The case's name, such as "A13"."""
        return str(self.data["id"])

    @property
    def kind(self) -> str:
        """What is computed, such as "mvm_deterministic"."""
        return str(self.data["kind"])

    @property
    def compared(self) -> list[str]:
        """The arrays that are to be compared."""
        return [name for name, entry in self.data["arrays"].items() if entry.get("compare", {"rule": "info"})["rule"] != "info"]

    def inputs(self) -> dict[str, torch.Tensor]:
        """Return the arrays as tensors; those that are to be compared are left out, so that no replay can copy them."""
        hidden = set(self.compared)
        return {name: torch.from_numpy(np.array(array)) for name, array in self.arrays.items() if name not in hidden}


def read_cases(folder: Path) -> Iterator[Case]:
    """Yield every case of a folder in the order of its files; raises ConfigError when there is none or a file is damaged.

    A `task` is no case but the inputs of all others in its file, whose arrays it joins; so are those of a `measurement`, itself a case.
    """
    files = [path for path in sorted(folder.glob("*.json")) if path.name != "presets.json"]
    if not files:
        raise ConfigError(f"{folder}: no reference data (JSON files with cases) here")
    for path in files:
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            numbers = np.load(path.parent / content["npz"])
            arrays = [{name: numbers[entry["key"]] for name, entry in data["arrays"].items()} for data in content["cases"]]
            given = {
                name: array
                for data, own in zip(content["cases"], arrays, strict=True)
                if data["kind"] in {"task", "measurement"}
                for name, array in own.items()
            }
            for data, own in zip(content["cases"], arrays, strict=True):
                if data["kind"] != "task":
                    yield Case(str(content["group"]), data, {**given, **own})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"{path}: not reference data: {type(error).__name__}: {error}") from error
