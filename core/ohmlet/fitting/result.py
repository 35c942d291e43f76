"""What a fit found: the spec, its parameters with their confidence, and how well model and measurement agree."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from ohmlet.config import files, plain
from ohmlet.errors import ConfigError
from ohmlet.spec import Spec

__all__ = ["Curve", "Estimate", "Fit"]

MARK = "# written by ohmlet fit"
"""First words of a spec that a fit wrote, which a later fit may overwrite."""


@frozen
class Estimate:
    """One parameter: its value, standard error and interval of 95 % confidence; NaN where the measurements do not tell."""

    name: str
    value: float
    std: float
    low: float
    high: float
    note: str = ""
    held: float = math.nan
    """What the spec has where nothing was determined."""

    @property
    def determined(self) -> bool:
        """Whether the measurements tell the value."""
        return math.isfinite(self.value)

    @property
    def why(self) -> str:
        """Why nothing was determined, and what the spec has instead."""
        held = "" if math.isnan(self.held) else f"; {self.held:.4g} in the spec"
        return f"undetermined{f' ({self.note})' if self.note else ''}{held}"

    def __str__(self) -> str:
        if not self.determined:
            return f"{self.name}: {self.why}"
        return f"{self.name} = {self.value:.4g} ± {self.std:.2g} [{self.low:.4g}, {self.high:.4g}]{f' ({self.note})' if self.note else ''}"


@frozen(eq=False)
class Curve:
    """Model and measurement of one device, or of all: x, what was measured, what the model has there, and residuals in sigma."""

    title: str
    x: NDArray[np.float64]
    measured: NDArray[np.float64]
    model: NDArray[np.float64]
    residual: NDArray[np.float64]


@frozen(eq=False)
class Fit:
    """A spec fitted to measurements."""

    name: str
    """Of the device or noise model."""
    spec: Spec
    estimates: tuple[Estimate, ...]
    figures: Mapping[str, float]
    """Goodness of fit by name: rmse, r2, chi2, whiteness (a probability), aic, and what the kind of measurement adds."""
    curves: tuple[Curve, ...]
    axes: tuple[str, str]
    source: str
    notes: tuple[str, ...] = ()
    interrupted: bool = False

    def __getitem__(self, name: str) -> Estimate:
        """Return a parameter's estimate."""
        for each in self.estimates:
            if each.name == name:
                return each
        raise KeyError(f"{name!r} was not fitted; fitted: {', '.join(each.name for each in self.estimates)}")

    def yaml(self) -> str:
        """Return the spec as it stands in a config: what differs from the defaults, with comments on what was measured."""
        content = _differing(self.spec)
        lines = [f"{MARK} from {self.source}", *(f"# {note}" for note in self.notes)]
        if self.interrupted:
            lines.append("# interrupted: the best values until then")
        told = {each.name: each for each in self.estimates}
        left = dict(told)
        for key, value in content.items():
            text = files.dumps({key: value}, "yaml").rstrip("\n")
            each = left.pop(key, None)
            lines.append(f"{text}  # {_comment(each)}" if each is not None and "\n" not in text else text)
        lines += [f"# {each}" for each in left.values()]
        lines += [f"# {name}: {value:.4g}" for name, value in self.figures.items()]
        return "\n".join(lines) + "\n"

    def save(self, path: str | Path) -> None:
        """Write the spec to a YAML file; raises ConfigError where there is a file that no fit wrote."""
        path = Path(path)
        if path.exists() and not path.read_text(encoding="utf-8", errors="replace").startswith(MARK):
            raise ConfigError(f"{path} is there and was not written by a fit: choose another name, or move it away")
        new = path.with_name(f"{path.stem}.new{path.suffix}")
        new.write_text(self.yaml(), encoding="utf-8")
        new.replace(path)


def _comment(each: Estimate) -> str:
    if not each.determined:
        return f"undetermined{f': {each.note}' if each.note else ''}"
    return f"± {each.std:.2g}" + (f", {each.note}" if each.note else "")


def _differing(spec: Spec) -> dict[str, Any]:
    """Return a spec as a mapping without the settings that are those of the class."""
    content: dict[str, Any] = plain(spec)
    name = content["type"]
    try:
        standard = plain(type(spec)())
    except (TypeError, ValueError):
        return content
    kept = {key: value for key, value in content.items() if key not in standard or standard[key] != value}
    return {"type": name, **{key: value for key, value in kept.items() if key not in {"type", "preset"}}}
