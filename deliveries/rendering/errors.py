"""What rendering has to say when it cannot: a RenderError at send time, Problems while a template is written. No
logic."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to mend in a template's source. `line` and `column` count from 1; `locale` and `part` say which
    text."""

    line: int
    column: int
    message: str
    locale: str = ""
    part: str = ""

    def __str__(self) -> str:
        where = " ".join(word for word in (self.locale, self.part) if word)
        return f"{where + ', ' if where else ''}line {self.line}, column {self.column}: {self.message}"


class RenderError(Exception):
    """Nothing may be sent. Trying again with the same template and data cannot help.

    `code`: `render_error`, `too_large`, `unknown_template` or `header_injection`. `message`: what, where, what to do;
    read by staff. `line`, `column` and `part` point into the template where that is known.
    """

    def __init__(self, code: str, message: str, *, line: int | None = None, column: int | None = None, part: str = ""):
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.line = line
        self.column = column
        self.part = part
