"""What is rendered: one locale's words as they were written, and the frame and declarations that go with them. Values
only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from deliveries.rendering.frames import Frame
from deliveries.rendering.variables import Variable

#: What a person writes, in the order of the editor. All of it is template language.
PARTS: Final = ("subject", "preheader", "markdown", "text", "html", "action_url", "from_address", "reply_to")
BodyFormat = Literal["html", "markdown"]


@dataclass(frozen=True, slots=True)
class ContentSource:
    """One locale's words as they were written. `locale` is the one that was found, which may not be the one asked for.

    `body_format` says where the body is: in `markdown`, around which `frame` is put (None: a plain one), or in `html`,
    as it is. An empty `text` is made from the body. `variables` are the declared ones; None: nothing was declared.
    `contact_fallbacks` stand in for a contact's empty fields, by their dotted names (`name`, `attributes.city`).
    """

    subject: str
    text: str = ""
    html: str = ""
    action_url: str = ""
    locale: str = ""
    preheader: str = ""
    from_address: str = ""
    reply_to: str = ""
    body_format: BodyFormat = "html"
    markdown: str = ""
    frame: Frame | None = None
    variables: tuple[Variable, ...] | None = None
    contact_fallbacks: Mapping[str, Any] | None = None

    @property
    def written(self) -> tuple[str, ...]:
        """The parts that count: what is written for the other body format is kept, and not rendered."""
        return tuple(part for part in PARTS if part != ("html" if self.body_format == "markdown" else "markdown"))
