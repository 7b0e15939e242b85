"""A CSV file → contacts: looked at first, then judged row by row, then stored a thousand at a time. Streams, whatever the file's size.

What is wrong is told row by row and harms no other row. A batch is stored whole or not at all; importing a file again does no harm.
"""

from __future__ import annotations

import csv
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import IO, Any, Final
from uuid import UUID

from deliveries.contacts.columns import RowProblem, Target, row_read, targets_guess
from deliveries.contacts.csv_lines import CsvFile, Record, legible
from deliveries.contacts.store import contacts_merge
from deliveries.csv_cells import safe_cell
from deliveries.models import Tenant

BATCH: Final = 1000
MOST_SHOWN: Final = 100
LOOKED_AT: Final = 200
SHOWN_ROWS: Final = 3

Tell = Callable[[RowProblem], None]


@dataclass(slots=True)
class Report:
    """What became of a file's rows. `problems`: the first `MOST_SHOWN`; `good` rows are stored where anything is stored."""

    rows: int = 0
    good: int = 0
    new: int = 0
    changed: int = 0
    last_line: int = 0
    problem_count: int = 0
    problems: list[RowProblem] = field(default_factory=list)

    @property
    def bad(self) -> int:
        """Return how many rows are left out."""
        return self.rows - self.good

    @property
    def more_problems(self) -> int:
        """Return how many problems are not shown."""
        return self.problem_count - len(self.problems)


@dataclass(frozen=True, slots=True)
class Looked:
    """What a file begins with: its columns, what each is taken for, and some of its cells."""

    header: list[str]
    targets: list[Target]
    samples: list[list[str]]


def file_look(file: IO[bytes]) -> Looked:
    """Read a file's beginning and guess its columns. Raises: FileRefused."""
    with _opened(file) as lines:
        records = [record.cells for record in islice(lines, LOOKED_AT)]
        targets = targets_guess(lines.header, records)
        samples = [
            [legible(row[index])[:80] for row in records[:SHOWN_ROWS] if index < len(row)]
            for index in range(len(lines.header))
        ]
        return Looked(lines.header, targets, samples)


def file_check(file: IO[bytes], *, targets: Sequence[Target], tell: Tell | None = None) -> Report:
    """Judge every row; store nothing. `tell` is given each problem, in the order of the lines. Raises: FileRefused."""
    report = Report()
    for _people in _judged(file, targets, report, tell):
        pass
    return report


def file_import(file: IO[bytes], *, tenant: Tenant, targets: Sequence[Target], report: Report) -> None:
    """Store every good row, a thousand in one statement. `report` is right also where the database goes away in between.

    Raises: FileRefused; django.db.OperationalError, after which what `report` counts is stored.
    """
    for people in _judged(file, targets, report, None):
        merged = contacts_merge(tenant=tenant, people=people)
        report.new += merged.new
        report.changed += merged.changed


def problems_write(file: IO[bytes], out: Any, *, targets: Sequence[Target]) -> None:
    """Write every problem of a file as CSV, safe to open in a spreadsheet. Raises: FileRefused."""
    writer = csv.writer(out)
    writer.writerow(["line", "column", "value", "what is wrong"])

    def tell(problem: RowProblem) -> None:
        writer.writerow([problem.line, safe_cell(problem.column), safe_cell(problem.value), safe_cell(problem.message)])

    file_check(file, targets=targets, tell=tell)


@contextmanager
def _opened(file: IO[bytes]) -> Iterator[CsvFile]:
    lines = CsvFile(file)
    try:
        yield lines
    finally:
        lines.release()


def _judged(
    file: IO[bytes], targets: Sequence[Target], report: Report, tell: Tell | None
) -> Iterator[list[dict[str, Any]]]:
    """Yield the people of the good rows, up to a thousand together, and count all rows in the report."""

    def note(problem: RowProblem) -> None:
        problem = problem._replace(value=legible(problem.value))
        report.problem_count += 1
        if len(report.problems) < MOST_SHOWN:
            report.problems.append(problem)
        if tell is not None:
            tell(problem)

    with _opened(file) as lines, closing(_SeenIds()) as seen:
        records = iter(lines)
        while batch := list(islice(records, BATCH)):
            report.rows += len(batch)
            report.last_line = batch[-1].line
            people = _people(batch, lines.header, targets, seen, note)
            report.good += len(people)
            if people:
                yield people


def _people(
    batch: Sequence[Record], header: Sequence[str], targets: Sequence[Target], seen: _SeenIds, note: Tell
) -> list[dict[str, Any]]:
    read = [(record, *_row(record, header, targets)) for record in batch]
    firsts = seen.first_lines([(person["user_id"], record.line) for record, person, wrong in read if not wrong])
    people = []
    for record, person, wrong in read:
        if not wrong and (first := firsts[person["user_id"]]) != record.line:
            column = next(name for name, target in zip(header, targets, strict=False) if target.field == "user_id")
            message = f"The same user id is on line {first:,} already, which counts. Take one of them out."
            wrong = [RowProblem(record.line, column, message, str(person["user_id"]))]
        for problem in wrong:
            note(problem)
        if not wrong:
            people.append(person)
    return people


def _row(record: Record, header: Sequence[str], targets: Sequence[Target]) -> tuple[dict[str, Any], list[RowProblem]]:
    if record.problem:
        return {}, [RowProblem(record.line, "", record.problem)]
    return row_read(record.cells, line=record.line, header=header, targets=targets)


class _SeenIds:
    """The line that each user id came on first, in a file of its own that nobody else sees: a million would fill the memory."""

    def __init__(self) -> None:
        self._rows = sqlite3.connect("")
        self._rows.execute("CREATE TABLE seen (id BLOB PRIMARY KEY, line INTEGER) WITHOUT ROWID")

    def first_lines(self, named: Sequence[tuple[UUID, int]]) -> dict[UUID, int]:
        """Note user ids with their lines, in order; return the first line of each."""
        self._rows.executemany("INSERT OR IGNORE INTO seen VALUES (?, ?)", ((one.bytes, line) for one, line in named))
        ids = [one.bytes for one, _line in named]
        marks = ",".join("?" * len(ids))
        rows = self._rows.execute(f"SELECT id, line FROM seen WHERE id IN ({marks})", ids)
        return {UUID(bytes=one): line for one, line in rows}

    def close(self) -> None:
        """Delete it."""
        self._rows.close()
