"""Every example in the documentation runs: Python, configs and commands, page by page, top to bottom, in an empty folder.

A fenced block after a line that holds nothing but a file's name is written to that file instead. A text block after Python or a command
is what it prints; numbers with a decimal point may differ, and a line of three dots stands for any lines.
"""

from __future__ import annotations

import importlib
import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import click
import pytest
import torch

from ohmlet.cli import main
from ohmlet.cli.main import ohmlet_group
from ohmlet.config import files
from ohmlet.config.analog import AnalogConfig
from ohmlet.experiment.schema import is_experiment
from ohmlet.experiment.sweep import read
from ohmlet.registry import registry

DOCS = Path(__file__).parents[2] / "docs"
PAGES = (
    "algorithms",
    "chip",
    "circuit",
    "cmo",
    "cli",
    "devices",
    "examples",
    "experiments",
    "fitting",
    "in_memory",
    "layers",
    "linalg",
    "memristors",
    "plugins",
    "presets",
    "randomness",
    "sweeps",
    "tutorial",
    "vmm_engines",
)
FENCE = re.compile(r"^(?:`(?P<file>[\w./-]+\.\w+)`:\n\n)?```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
SMALL = {"evaluation.instances": 2, "training.digital.epochs": 1, "training.hardware_aware.epochs": 1}
SMALL_COMPARISON = {"training.epochs": 1, "training.batch_size": 100, "processes": 1}
SMALL_CIRCUIT = {"training.epochs": 1, "model.hidden": [2], "programming.tuning.max_sweeps": 3, "evaluation.samples": 5}


class Block(NamedTuple):
    """One fenced block of a page."""

    page: str
    line: int
    language: str
    text: str
    file: str | None

    def __str__(self) -> str:
        return f"docs/{self.page}.md, line {self.line}"


def blocks(page: str) -> Iterator[Block]:
    text = (DOCS / f"{page}.md").read_text("utf-8")
    for found in FENCE.finditer(text):
        line = text.count("\n", 0, found.start("text")) + 1
        yield Block(page, line, found["language"], found["text"], found["file"])


def words(text: str) -> list[str]:
    """Return the words of a text, numbers with a decimal point or an exponent as one sign."""
    return re.sub(r"-?\d+\.\d+(?:e-?\d+)?|\d+e-?\d+", "#", text).split()


def same(shown: str, printed: str) -> bool:
    """Whether a page shows what was printed, a line of three dots standing for any lines."""
    parts = [words(part) for part in re.split(r"^\.\.\.$", shown, flags=re.MULTILINE)]
    pattern = ".*".join("".join(re.escape(f" {word}") for word in part) + "(?= |$)" for part in parts)
    return re.fullmatch(pattern, "".join(f" {word}" for word in words(printed)), re.DOTALL) is not None


def parse_config(text: str) -> None:
    """Refuse a YAML block that is neither an experiment nor a config."""
    content = files.parse(text, "yaml")
    if is_experiment(content):
        read(content, "page")
    else:
        AnalogConfig.parse(content)


def typed(arguments: list[str]) -> None:
    """Refuse a command line of ohmlet whose command or options do not exist."""
    context = click.Context(ohmlet_group, info_name="ohmlet")
    arguments = [argument for argument in arguments if argument not in {"--debug", "--help", "--version"}]
    if arguments:
        command = ohmlet_group.get_command(context, arguments[0])
        assert command is not None, f"no command {arguments[0]!r}"
        command.make_context(arguments[0], arguments[1:], parent=context).close()


def ohmlet_prints(arguments: list[str], may_fail: bool) -> str:
    """Return what a command prints, errors included; experiments run in small."""
    runs = arguments[0] == "run"
    if runs:
        content = files.read(arguments[1])
        small = SMALL_COMPARISON if "compare" in content else SMALL_CIRCUIT if "programming" in content else SMALL
        arguments = [*arguments, "--quiet", *(part for path, value in small.items() for part in ("--set", f"{path}={value}"))]
    out = io.StringIO()
    with redirect_stdout(out), redirect_stderr(out):
        status = main(arguments)
    assert status == 0 or may_fail, out.getvalue()
    return out.getvalue()


def python_prints(*arguments: str) -> str:
    """Return what `python -m ...` prints in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(Path("installed").resolve()), "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    run = [sys.executable, "-m", *arguments]
    done = subprocess.run(run, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def prints(line: str, shown: str) -> str | None:
    """Return what a command line prints, or None for one that is only looked at."""
    name, *arguments = [word for word in shlex.split(line) if not re.match(r"[A-Z_]+=", word)]
    if name == "ohmlet":
        typed(arguments)
        runs = arguments[0] == "run" and Path(arguments[1]).exists()
        return ohmlet_prints(arguments, bool(shown)) if shown or runs else None
    if name == "pip":
        # Without a network, and away from the environment that the tests run in.
        python_prints("pip", *arguments, "--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--target", "installed")
        importlib.invalidate_caches()
        registry.cache_clear()
    if name == "pytest":
        return python_prints("pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *arguments)
    return None


class Page:
    """A page as somebody follows it."""

    def __init__(self) -> None:
        # A module, as a notebook's __main__ is, so that classes defined on the page can be pickled.
        self.module = sys.modules["page"] = ModuleType("page")
        self.printed = ""

    def follow(self, block: Block) -> None:
        """Do what one block says."""
        if block.file is not None:
            path = Path(block.file)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
        elif block.language == "python":
            out = io.StringIO()
            with redirect_stdout(out):
                exec(compile("\n" * (block.line - 1) + block.text, str(DOCS / f"{block.page}.md"), "exec"), vars(self.module))
            self.printed = out.getvalue()
        elif block.language == "text":
            assert same(block.text, self.printed), f"{block} shows\n{block.text}\nbut this is printed:\n{self.printed}"
        elif block.language == "console":
            self._console(block)
        if block.language == "yaml":
            parse_config(block.text)

    def _console(self, block: Block) -> None:
        for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
            line, _, shown = part.partition("\n")
            printed = prints(line, shown)
            assert not shown or same(shown, printed or ""), f"{block}: '{line}' shows\n{shown}\nbut this is printed:\n{printed}"


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Yield an empty working folder; what a page registers is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.syspath_prepend(tmp_path / "installed")
    before = set(sys.modules)
    state = torch.get_rng_state()
    registry.cache_clear()
    yield tmp_path
    registry.cache_clear()
    for name in set(sys.modules) - before:
        if name == "page" or str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]
    torch.set_rng_state(state)


# torch warns of itself while it traces an autograd function.
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
@pytest.mark.parametrize("page", PAGES)
def test_examples_of_a_page_run(page: str, alone: Path) -> None:
    reader = Page()
    for block in blocks(page):
        reader.follow(block)


@pytest.mark.parametrize("page", PAGES)
def test_every_block_is_of_a_kind_that_is_tried(page: str) -> None:
    languages = set(re.findall(r"^```(.*)$", (DOCS / f"{page}.md").read_text("utf-8"), re.MULTILINE)[::2])
    assert languages <= {"python", "text", "console", "yaml", "toml"}, f"docs/{page}.md: nothing tries blocks of {languages}"
