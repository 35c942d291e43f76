"""Tables of measurements as files: columns by name, numbers with their unit, and the line of whatever makes no sense."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from attrs import define, field, frozen

from ohmlet.errors import ConfigError, shortened
from ohmlet.registry import did_you_mean
from ohmlet.units import COLUMN_UNITS

__all__ = ["Column", "Problems", "Table", "column_of", "read_table"]

MOST_PROBLEMS = 12
"""Problems told one by one; more are counted."""

MISSING = ("", "nan", "na", "n/a", "-")
"""What stands for a value that was not measured."""

SEPARATORS = (",", ";", "\t")


@define
class Problems:
    """What is wrong with a file, each with its line."""

    name: str
    found: list[str] = field(factory=list)

    def add(self, line: int, words: str) -> None:
        """Note one."""
        self.found.append(f"{self.name}, line {line}: {words}")

    def check(self) -> None:
        """Raise ConfigError with all of them, if there are any."""
        further = len(self.found) - MOST_PROBLEMS
        if self.found:
            raise ConfigError(*self.found[:MOST_PROBLEMS], *([f"{self.name}: {further} further problems"] if further > 0 else []))


@frozen
class Column:
    """A column: the quantity that its name states, and the factor that turns its numbers into uS or seconds."""

    quantity: str
    unit: str
    factor: float


@frozen(eq=False)
class Table:
    """Rows of text with their line numbers, and what their columns are."""

    name: str
    columns: dict[str, tuple[int, Column]]
    """Quantity -> place and column."""
    rows: tuple[tuple[int, tuple[str, ...]], ...]
    problems: Problems

    def text(self, quantity: str) -> list[str]:
        """Return a column as text, blanks stripped."""
        place = self.columns[quantity][0]
        return [row[place].strip() for _, row in self.rows]

    def numbers(self, quantity: str, *, least: float = -math.inf, missing: bool = False) -> list[float]:
        """Return a column in uS, seconds or as it stands, NaN where nothing was measured; notes what is no such number."""
        column, out = self.columns[quantity][1], []
        for (line, _), text in zip(self.rows, self.text(quantity), strict=True):
            value = math.nan
            if text.lower() in MISSING:
                if not missing:
                    self.problems.add(line, f"{quantity} is missing: leave the row out, or give a number")
            else:
                try:
                    value = float(text)
                except ValueError:
                    hint = "; write a decimal point" if "," in text else ""
                    self.problems.add(line, f"{quantity} is no number: {shortened(text)}{hint}")
                else:
                    if not math.isfinite(value):
                        self.problems.add(line, f"{quantity} must be finite: {shortened(text)}")
                    elif value < least:
                        self.problems.add(line, f"{quantity} must be at least {least:g}: {shortened(text)}")
            out.append(value * column.factor)
        return out

    def lines(self) -> list[int]:
        """Return the line number of each row."""
        return [line for line, _ in self.rows]


def column_of(name: str, quantities: Sequence[str]) -> Column:
    """Return what a column's name states, such as "conductance_uS"; raises ConfigError for an unknown name or unit.

    Quantities that COLUMN_UNITS knows, or that end in them ("target_conductance"), need a unit; others take none.
    """
    plain = name.strip()
    if plain.lower() in quantities and unit_family(plain.lower()) is None:
        return Column(plain.lower(), "", 1.0)
    stem, _, unit = plain.rpartition("_")
    family = unit_family(stem.lower()) if stem.lower() in quantities else None
    if family is not None:
        if unit not in COLUMN_UNITS[family]:
            raise ConfigError(f"column {shortened(plain)} has an unknown unit {shortened(unit)}; known: {', '.join(COLUMN_UNITS[family])}")
        return Column(stem.lower(), unit, COLUMN_UNITS[family][unit])
    if plain.lower() in quantities:
        units = COLUMN_UNITS[unit_family(plain.lower()) or ""]
        raise ConfigError(f"column {shortened(plain)} states no unit: write {plain}_{next(iter(units))}, or another of {', '.join(units)}")
    raise ConfigError(f"unknown column {shortened(plain)}; {did_you_mean(plain.lower(), quantities)}")


def unit_family(quantity: str) -> str | None:
    """Return which units a quantity has: those of conductances, of times, or None."""
    if quantity in {"conductance", "target", "measured"}:
        return "conductance"
    return "time" if quantity == "time" else None


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip(" \t,;") and not line.lstrip().startswith("#"):
            yield number, line


def read_table(path: str | Path, quantities: Sequence[str]) -> Table:
    """Return the table in a file of values separated by commas, semicolons or tabs, its first line naming the columns.

    Blank lines and lines that start with # are skipped. Raises ConfigError with the line for an empty file, a single column, unknown
    columns or units, a quantity given twice, and rows of another length than the first line.
    """
    path = Path(path)
    lines = list(_lines(path))
    if not lines:
        raise ConfigError(f"{path} is empty: its first line names the columns, such as device,pulse,direction,conductance_uS")
    first, header = lines[0]
    separator = max(SEPARATORS, key=header.count)
    names = next(csv.reader([header], delimiter=separator))
    problems = Problems(str(path))
    if len(names) < 2:
        problems.add(first, f"one column, {shortened(header.strip())}: name at least two, separated by commas, semicolons or tabs")
        problems.check()
    columns: dict[str, tuple[int, Column]] = {}
    for place, name in enumerate(names):
        try:
            column = column_of(name, quantities)
        except ConfigError as error:
            problems.add(first, str(error))
            continue
        if column.quantity in columns:
            problems.add(first, f"{column.quantity} is given twice, in columns {columns[column.quantity][0] + 1} and {place + 1}")
        columns[column.quantity] = (place, column)
    problems.check()
    rows = []
    for number, line in lines[1:]:
        values = tuple(next(csv.reader([line], delimiter=separator)))
        if len(values) != len(names):
            problems.add(number, f"{len(values)} values, the first line names {len(names)} columns")
        rows.append((number, values))
    problems.check()
    if not rows:
        problems.add(first, "no rows below the names of the columns")
        problems.check()
    return Table(str(path), columns, tuple(rows), problems)
