"""What every test run needs: the package installed with its plugins, one thread per worker, and the slowest files printed."""

from __future__ import annotations

import os
from collections import defaultdict
from importlib.metadata import PackageNotFoundError, distribution

import pytest

pytest.register_assert_rewrite("ohmlet.testing")


def pytest_configure(config: pytest.Config) -> None:
    """Stop with one line when Ohmlet or its entry points are not installed, which would fail every test in its own way."""
    try:
        declared = distribution("ohmlet").entry_points
    except PackageNotFoundError:
        declared = None
    if not declared:
        raise pytest.UsageError("ohmlet is not installed with its entry points: run `make test`, or `pip install -e .` and then pytest")
    if "PYTEST_XDIST_WORKER" in os.environ:
        import torch

        torch.set_num_threads(1)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the ten test files that took longest, set-up included, summed over all workers."""
    seconds: dict[str, float] = defaultdict(float)
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                seconds[report.nodeid.partition("::")[0]] += report.duration
    if seconds:
        terminalreporter.section("slowest files")
        for path in sorted(seconds, key=seconds.__getitem__, reverse=True)[:10]:
            terminalreporter.write_line(f"{seconds[path]:8.2f}s  {path}")
