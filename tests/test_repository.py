"""The promises that this repository makes about itself."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PACKAGES = [ROOT / package for package in PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]]
SOURCES = sorted(path for package in PACKAGES for path in package.rglob("*.py"))

LONG_FILES: dict[str, str] = {}
"""Source files of more than 400 lines, each with the reason why it is not split."""

LEAN = ["ohmlet", "ohmlet.cli", "ohmlet.config", "ohmlet.errors", "ohmlet.hooks", "ohmlet.registry"]
"""Modules that must not import torch, besides the interfaces."""

MACHINE_PATH = re.compile(rb"(?<![\w.:/$}-])/(?:work|root|home|Users|opt|tmp|mnt)/[\w.]")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def published() -> Iterator[Path]:
    """Yield the files that a clone gets; in a folder without git, those that are no build output."""
    git = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    if (ROOT / ".git").exists():
        names = subprocess.run(git, capture_output=True, check=True, text=True).stdout.split("\0")
        yield from (ROOT / name for name in names if name and (ROOT / name).is_file())
    else:
        for folder in (".ci", "benchmarks", "core", "docs", "examples", "kernels", "plugins", "tests"):
            yield from (path for path in (ROOT / folder).rglob("*") if path.is_file() and not {"__pycache__", "_build"} & {*path.parts})


def run_python(code: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *options, "-c", code], capture_output=True, text=True, timeout=120, check=False)


def test_root_folders_are_no_packages() -> None:
    """Otherwise `import core` would work in a checkout and give every class a second identity."""
    roots = [ROOT / "plugins", *(package.parent for package in PACKAGES)]
    found = [name_of(root / "__init__.py") for root in roots if (root / "__init__.py").exists()]
    assert not found, f"delete {', '.join(found)}: folders that only hold packages are none"


def test_every_package_folder_is_shipped_and_on_the_path() -> None:
    folders = [ROOT / "core", ROOT / "kernels", *(path for path in (ROOT / "plugins").iterdir() if path.is_dir())]
    found = {name_of(init.parent) for folder in folders for init in folder.glob("*/__init__.py")}
    assert found == {name_of(package) for package in PACKAGES}
    assert {name_of(package.parent) for package in PACKAGES} == set(PROJECT["tool"]["hatch"]["build"]["dev-mode-dirs"])


def test_installed_entry_points_are_those_of_pyproject() -> None:
    declared = {(group, *pair) for group, pairs in PROJECT["project"]["entry-points"].items() for pair in pairs.items()}
    declared |= {("console_scripts", *pair) for pair in PROJECT["project"]["scripts"].items()}
    installed = {(point.group, point.name, point.value) for point in distribution("ohmlet").entry_points}
    assert declared == installed, "pyproject.toml changed after the install: run `make install`, or `pip install -e .` again"


def test_every_subfolder_with_sources_is_a_package() -> None:
    bare = {name_of(path.parent) for path in SOURCES if not (path.parent / "__init__.py").exists()}
    assert not bare, f"add an __init__.py to {', '.join(sorted(bare))}"


def test_every_package_is_typed() -> None:
    untyped = [name_of(package) for package in PACKAGES if not (package / "py.typed").is_file()]
    assert not untyped, f"add an empty py.typed to {untyped}"


def test_source_files_are_short() -> None:
    lengths = {name_of(path): len(path.read_text("utf-8").splitlines()) for path in SOURCES}
    long = {name: length for name, length in lengths.items() if length > 400}
    assert not long.keys() - LONG_FILES.keys(), f"split these, or list them in LONG_FILES with a reason: {long}"
    assert not LONG_FILES.keys() - long.keys(), "LONG_FILES lists files that are short or gone"


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_module_says_what_it_is(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text("utf-8")))
    assert docstring, "the first line of a module says what it is"


def test_no_published_file_names_a_place_on_somebodys_machine() -> None:
    found = [f"{name_of(path)}: {match.group()!r}" for path in published() for match in MACHINE_PATH.finditer(path.read_bytes())]
    assert not found


def test_interfaces_and_configs_do_not_import_torch() -> None:
    interfaces = sorted(f"ohmlet.interfaces.{path.stem}" for path in (ROOT / "core/ohmlet/interfaces").glob("[a-z]*.py"))
    assert len(interfaces) >= 8
    code = f"""
import importlib, sys
for name in {LEAN + interfaces}:
    importlib.import_module(name)
    print(name, "torch" in sys.modules)
"""
    done = run_python(code)
    assert done.returncode == 0, done.stderr
    heavy = [line.split()[0] for line in done.stdout.splitlines() if line.endswith("True")]
    assert not heavy, f"the first of these imports torch at run time: {heavy}"


def test_names_of_the_api_are_not_hidden_by_modules_of_the_same_name() -> None:
    """Importing a submodule sets it on the package: `ohmlet.convert` would be a function or a module depending on what ran before."""
    code = """
import importlib, pkgutil, types, ohmlet
for module in pkgutil.iter_modules(ohmlet.__path__):
    if module.name != "__main__":
        importlib.import_module(f"ohmlet.{module.name}")
hidden = [name for name in ohmlet.__all__ if isinstance(getattr(ohmlet, name), types.ModuleType)]
assert not hidden, f"modules hide these names of the API: {hidden}"
"""
    done = run_python(code)
    assert done.returncode == 0, done.stderr.splitlines()[-1]


@pytest.mark.parametrize("arguments", [["list"], ["list", "noise_model", "--json"], ["--help"]], ids=" ".join)
def test_listing_plugins_does_not_import_torch(arguments: list[str]) -> None:
    code = f"import sys; sys.argv = {['ohmlet', *arguments]}; from ohmlet.cli import main; main()"
    done = run_python(code, "-X", "importtime")
    assert done.returncode == 0, done.stderr.splitlines()[-1]
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "ohmlet.cli" in imported
    assert not imported & {"torch", "numba", "matplotlib", "sklearn"}
