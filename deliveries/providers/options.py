"""What a kind of provider is made of: what it asks staff for, and how its sender is made of that. The kinds are in `kinds.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from deliveries.channels import Channel
from deliveries.senders.base import Sender

# A sender's own time limit ends before dispatch's, so that it can still say how far the message was.
OWN_LIMIT_SHARE = 0.9


class OptionError(ValueError):
    """An option of a provider is missing or wrong. `field`: its name; the text says what to enter."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


@dataclass(frozen=True, slots=True)
class Option:
    """One thing that a kind asks for. `type`: str, int, bool or dict. A secret is sealed and never shown again.

    `is_multiline`: a text of several lines, such as the content of a file.
    """

    name: str
    label: str
    help: str = ""
    type: type = str
    default: Any = ""
    is_required: bool = False
    is_secret: bool = False
    is_address: bool = False
    choices: tuple[str, ...] = ()
    is_multiline: bool = False


@dataclass(frozen=True, slots=True)
class Kind:
    """One protocol. `make(options, deadline_seconds)` gets every option, secrets among them, with defaults filled in."""

    name: str
    label: str
    channel: Channel
    options: Sequence[Option]
    make: Callable[[Mapping[str, Any], float], Sender]


@contextmanager
def about(option: str, **others: str) -> Iterator[None]:
    """Say which option a sender's refusal of an argument is about: `option`, or that in `others` of the name it begins with."""
    try:
        yield
    except OptionError:
        raise
    except ValueError as error:
        raise OptionError(others.get(str(error).partition(" ")[0], option), str(error)) from None


def outgoing(deadline_seconds: float) -> dict[str, Any]:
    """Return what every sender over HTTP is given: its own time limit, and the installation's rules of going out."""
    return {
        "timeout_seconds": deadline_seconds * OWN_LIMIT_SHARE,
        "allow_private": settings.PRIVATE_ADDRESSES_ALLOWED,
        "ca_file": settings.OUTGOING_CA_FILE,
    }
