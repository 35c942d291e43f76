"""What is published: the wheel, the source archive, and what README and CONTRIBUTING tell people to type."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from configparser import ConfigParser
from pathlib import Path
from textwrap import dedent

import pytest

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PAGES = ["README.md", "CONTRIBUTING.md"]


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Build a wheel from the checkout, and another from the source archive."""
    built = {}
    for name, options in (("checkout", ["--wheel"]), ("archive", [])):
        out = tmp_path_factory.mktemp(name)
        command = [sys.executable, "-m", "build", "--no-isolation", *options, "--outdir", str(out), str(ROOT)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        (built[name],) = out.glob("*.whl")
    return built


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_wheel_runs_on_every_python_3_and_platform(wheels: dict[str, Path]) -> None:
    assert wheels["checkout"].name.endswith("-py3-none-any.whl")


def test_wheel_holds_exactly_the_packages(wheels: dict[str, Path]) -> None:
    names = contents(wheels["checkout"])
    expected = {"ohmlet", "ohmlet_kernels", "ohmlet_devices", "ohmlet_noise_models", "ohmlet_optimizers", "ohmlet_tiles"}
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == expected
    assert {name.split("/")[0] for name in names if name.endswith("/py.typed")} == expected
    assert not [name for name in names if "__pycache__" in name]


def test_wheel_declares_the_entry_points_of_pyproject(wheels: dict[str, Path]) -> None:
    (text,) = (data.decode() for name, data in contents(wheels["checkout"]).items() if name.endswith("/entry_points.txt"))
    parser = ConfigParser(delimiters="=")
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(text)
    declared = {"console_scripts": PROJECT["project"]["scripts"], **PROJECT["project"]["entry-points"]}
    assert {section: dict(parser[section]) for section in parser.sections()} == declared


def test_wheel_from_the_source_archive_is_the_same(wheels: dict[str, Path]) -> None:
    assert contents(wheels["archive"]) == contents(wheels["checkout"])


def test_source_archive_holds_sources_only(wheels: dict[str, Path]) -> None:
    (path,) = wheels["archive"].parent.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        top = {name.split("/")[1] for name in archive.getnames()}
    files = {"PKG-INFO", "pyproject.toml", "constraints.txt", "README.md", "LICENSE", ".gitignore"}
    assert top <= {"core", "kernels", "plugins", "examples"} | files
    assert {"core", "kernels", "plugins", "examples", "LICENSE"} <= top


@pytest.mark.parametrize("page", [*PAGES, "docs/index.md"])
def test_python_of_the_page_runs(page: str, tmp_path: Path) -> None:
    """All blocks of a page, top to bottom, as one script in an empty folder."""
    blocks = re.findall(r"^( *)```python\n(.*?)^\1```$", (ROOT / page).read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert blocks
    (tmp_path / "page.py").write_text("\n".join(dedent(block) for _, block in blocks), "utf-8")
    done = subprocess.run([sys.executable, "page.py"], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES)
def test_commands_of_the_page_exist(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    typed = set(re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE))
    assert typed
    assert typed <= targets


@pytest.mark.parametrize("page", PAGES)
def test_links_of_the_page_lead_somewhere(page: str) -> None:
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", (ROOT / page).read_text("utf-8"))
    assert not [link for link in links if not link.startswith("https://") and not (ROOT / link).exists()]
