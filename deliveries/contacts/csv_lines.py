"""A CSV file's bytes → its header and records, each with its line number. Streams: never more than one record is held.

Knows encodings, delimiters and quotation marks. What the cells mean is `columns.py`'s.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from io import StringIO, TextIOWrapper
from typing import IO, Final, NamedTuple

DELIMITERS: Final = {",": "a comma", ";": "a semicolon", "\t": "a tab"}
LONGEST_LINE: Final = 100_000
#: A quoted cell may hold line breaks, this many; beyond that a quotation mark was forgotten, and the lines after it are read as usual.
MOST_LINES: Final = 20
MAX_COLUMNS: Final = 200


class FileRefused(Exception):
    """This file cannot be read at all. The message says why and what to do."""


class Record(NamedTuple):
    """A line's cells, or what is wrong with the line."""

    line: int
    cells: list[str]
    problem: str = ""


class CsvFile:
    """A file that is read once, from its beginning. Raises: FileRefused."""

    def __init__(self, file: IO[bytes]) -> None:
        file.seek(0)
        start = file.read(4096)
        file.seek(0)
        _refuse_other_encodings(start)
        # Bytes that are no UTF-8 spoil their own line only, which is told of them when it is judged.
        self._text = TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
        self._line = 0
        self._ahead: list[str] = []
        head = next((text for text in iter(self._next_line, "") if text.strip()), "")
        self.delimiter = max(DELIMITERS, key=head.count)
        record = self._record(head)
        self.header = [cell.strip() for cell in record.cells]
        if record.problem or not any(self.header):
            raise FileRefused(
                "The file has no header. Its first line must name the columns, such as user_id,email,name."
            )
        if len(self.header) > MAX_COLUMNS:
            raise FileRefused(f"The file has {len(self.header):,} columns, and {MAX_COLUMNS} are read. Take some out.")
        if any("\udc80" <= character <= "\udcff" for character in head):
            raise FileRefused("The file is not in UTF-8. Save it as “CSV UTF-8” and choose it again.")

    def __iter__(self) -> Iterator[Record]:
        """Yield the records after the header; empty lines are left out."""
        while text := self._next_line():
            if text.strip(" \t\r\n,;"):
                yield self._record(text)

    def release(self) -> None:
        """Leave the file open for its owner, who closes it."""
        self._text.detach()

    def _next_line(self) -> str:
        text = self._ahead.pop(0) if self._ahead else self._text.readline(LONGEST_LINE)
        if text:
            self._line += 1
        return text

    def _record(self, text: str) -> Record:
        line = self._line
        if len(text) >= LONGEST_LINE and not text.endswith(("\n", "\r")):
            while (rest := self._text.readline(LONGEST_LINE)) and not rest.endswith(("\n", "\r")):
                pass
            return Record(line, [], f"The line is longer than {LONGEST_LINE:,} characters. Shorten it.")
        more = self._until_closed() if text.count('"') % 2 else []
        try:
            cells = next(
                csv.reader(StringIO(text + "".join(more), newline=""), delimiter=self.delimiter, strict=True), []
            )
        except csv.Error as error:
            # Whatever was forgotten here, the lines after it are records of their own.
            self._ahead = more + self._ahead
            self._line -= len(more)
            return Record(line, [], f"The line cannot be read ({error}). Look at its quotation marks.")
        return Record(line, cells)

    def _until_closed(self) -> list[str]:
        """Return the lines up to the one that closes a quotation mark, as far as `MOST_LINES`."""
        taken: list[str] = []
        while len(taken) < MOST_LINES and (more := self._next_line()):
            taken.append(more)
            if more.count('"') % 2:
                break
        return taken


def legible(text: str) -> str:
    """Return a cell as it can be shown, with a mark for each byte that is no UTF-8."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _refuse_other_encodings(start: bytes) -> None:
    if not start.strip():
        raise FileRefused("The file is empty.")
    if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise FileRefused("The file is in UTF-16. Save it as “CSV UTF-8” and choose it again.")
    if start.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise FileRefused("This is a spreadsheet, not a CSV file. Save it as “CSV UTF-8” and choose that.")
    if b"\0" in start:
        raise FileRefused("The file is not text in UTF-8. Save it as “CSV UTF-8” and choose it again.")
