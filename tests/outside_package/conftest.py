"""The package's own tests run where the package is installed, as tests/plugins/test_outside_package.py pretends that it is."""

from __future__ import annotations

from importlib.util import find_spec

collect_ignore = [] if find_spec("ohmlet_tutorial") else ["tests"]
