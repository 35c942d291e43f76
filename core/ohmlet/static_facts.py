"""What the source of a class states, without running it: the constants of its body, those it inherits included."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path
from typing import Any

from ohmlet.interfaces.preset import ReadConditions, WritePulses

__all__ = ["constants", "path_of"]

CALLS = {"WritePulses": WritePulses, "ReadConditions": ReadConditions}
"""Calls that a constant may be."""


def path_of(module: str) -> Path | None:
    """Return the file of a module without importing it or its parents; None when there is none in Python source."""
    root, *rest = module.split(".")
    try:
        spec = importlib.util.find_spec(root)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if not rest:
        return Path(spec.origin) if spec.origin and spec.origin.endswith(".py") else None
    for folder in spec.submodule_search_locations or ():
        for candidate in (Path(folder, *rest).with_suffix(".py"), Path(folder, *rest, "__init__.py")):
            if candidate.is_file():
                return candidate
    return None


def value_of(node: ast.expr, known: dict[str, Any]) -> Any:
    """Return the value of a literal, of the name of a constant, or of one of the calls above; raises ValueError for anything else."""
    if isinstance(node, ast.Name) and node.id in known:
        return known[node.id]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CALLS and not node.args:
        try:
            return CALLS[node.func.id](**{str(word.arg): value_of(word.value, known) for word in node.keywords})
        except TypeError as error:
            raise ValueError(str(error)) from error
    return ast.literal_eval(node)


def assigned(body: list[ast.stmt], known: dict[str, Any]) -> dict[str, Any]:
    """Return the constants that a module or a class assigns; `known` are those of the module around it."""
    found: dict[str, Any] = {}
    for node in body:
        target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0] if isinstance(node, ast.Assign) else None
        if isinstance(node, ast.AnnAssign | ast.Assign) and isinstance(target, ast.Name) and node.value is not None:
            try:
                found[target.id] = value_of(node.value, known | found)
            except ValueError:
                continue
    return found


def constants(tree: ast.Module, name: str) -> dict[str, Any]:
    """Return the constants of a class of a module and of its bases, which the module defines or imports by `from`."""
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    if name not in classes:
        return {}
    return _inherited(classes[name], classes, imported_names(tree), assigned(tree.body, {}))


def imported_names(tree: ast.Module) -> dict[str, tuple[str, str]]:
    """Return the module and the name there of each name that a module imports by `from`."""
    return {
        alias.asname or alias.name: (node.module, alias.name)
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module and not node.level
        for alias in node.names
    }


def _inherited(
    cls: ast.ClassDef, classes: dict[str, ast.ClassDef], imports: dict[str, tuple[str, str]], known: dict[str, Any]
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    others = {name: node for name, node in classes.items() if name != cls.name}
    for base in reversed(cls.bases):
        if not isinstance(base, ast.Name):
            continue
        if base.id in others:
            found |= _inherited(others[base.id], others, imports, known)
        elif base.id in imports:
            module, name = imports[base.id]
            path = path_of(module)
            if path is not None and not module.startswith("ohmlet."):
                found |= constants(ast.parse(path.read_text(encoding="utf-8")), name)
    return found | assigned(cls.body, known)
