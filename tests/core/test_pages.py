"""The pages on configs and hooks are true: every example in them runs and prints what they show."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..docs.test_docs_examples import Page, alone, blocks

__all__ = ["alone"]


@pytest.mark.parametrize("name", ["config", "hooks"])
@pytest.mark.usefixtures("alone")
def test_examples_of_the_page_run(name: str) -> None:
    page = Page()
    for block in blocks(name):
        page.follow(block)
    assert Path("mine.yaml" if name == "config" else "pyproject.toml").exists()
