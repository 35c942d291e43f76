"""What became of settings that aihwkit ignores or treats by a peculiarity: one row each, never a silent change."""

from __future__ import annotations

from attrs import frozen

__all__ = ["ImportRow"]


@frozen
class ImportRow:
    """One setting, its value, and what it became in Ohmlet."""

    setting: str
    value: object
    became: str

    def __str__(self) -> str:
        return f"{self.setting} = {self.value!r} became {self.became}"
