"""The command line: `ohmlet run`, `list`, `show`, `explain`, `check`."""

from ohmlet.cli.main import main

__all__ = ["main"]
