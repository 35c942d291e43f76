"""A config as the equations it stands for, with values and units."""

from __future__ import annotations

import inspect
from typing import Any

from attrs import has

from ohmlet.config.analog import AnalogConfig
from ohmlet.registry import registry
from ohmlet.spec import Spec, describe

__all__ = ["explain"]


def explain(config: Any) -> str:
    """Return a config (or any spec, name of a preset, or mapping) as text: each part with its equations, values and units."""
    if isinstance(config, Spec):
        return "\n".join(_lines(config, "", 0))
    config = AnalogConfig.parse(config)
    lines = [f"config{f' from preset {config.preset}' if config.preset else ''}"]
    for name, value, _, doc in describe(config):
        lines += _lines(value, name, 1) if has(type(value)) else [f"    {name} = {_shown(value)}".ljust(36) + f"  {doc}".rstrip()]
    return "\n".join(lines)


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def _lines(spec: Any, field: str, depth: int) -> list[str]:
    pad = "  " * depth
    if isinstance(spec, Spec):
        title = registry(spec.kind).name_of(type(spec))
        title += f" (from preset {spec.preset})" if spec.preset else ""
    else:
        title = getattr(spec, "type_name", "")
    summary = (inspect.getdoc(type(spec)) or "").partition("\n")[0]
    lines = [f"{pad}{field}{': ' if field and title else ''}{title}".ljust(28) + f"  {summary}".rstrip()]
    lines += [f"{pad}    {line}" for line in (spec.equations() if isinstance(spec, Spec) else ())]
    for name, value, unit, doc in describe(spec):
        if has(type(value)):
            lines += _lines(value, name, depth + 1)
        else:
            words = f"{name} = {_shown(value)}{f' {unit}' if unit not in {'', '1'} and value is not None else ''}"
            lines.append(f"{pad}  {words}".ljust(36) + f"  {doc}".rstrip())
    return lines
