"""What kinds of provider there are: what each asks staff for, and how its sender is made of that. Senders themselves read no settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from deliveries.channels import Channel
from deliveries.senders.base import Sender
from deliveries.senders.email import EmailSender

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
    """One thing that a kind asks for. `type`: str, int or bool. A secret is sealed and never shown again."""

    name: str
    label: str
    help: str = ""
    type: type = str
    default: Any = ""
    is_required: bool = False
    is_secret: bool = False
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Kind:
    """One protocol. `make(options, deadline_seconds)` gets every option, secrets among them, with defaults filled in."""

    name: str
    label: str
    channel: Channel
    options: Sequence[Option]
    make: Callable[[Mapping[str, Any], float], Sender]


def _smtp(options: Mapping[str, Any], deadline_seconds: float) -> Sender:
    security = options["security"]
    return EmailSender(
        host=options["host"],
        port=options["port"],
        username=options["username"],
        password=options["password"],
        use_tls=security == "tls",
        starttls={"starttls": True, "none": False}.get(security),
        from_address=options["from_address"] or settings.EMAIL_FROM,
        message_id_domain=settings.EMAIL_MESSAGE_ID_DOMAIN,
        connections=options["connections"],
        timeout_seconds=deadline_seconds * OWN_LIMIT_SHARE,
    )


SMTP = Kind(
    "smtp",
    "SMTP server",
    Channel.EMAIL,
    (
        Option("host", "Server", "Host name or address of the mail server.", is_required=True),
        Option("port", "Port", type=int, default=587),
        Option("security", "Security", default="starttls", choices=("starttls", "tls", "none")),
        Option("username", "User name", "Empty: no login."),
        Option("password", "Password", is_secret=True),
        Option("from_address", "From", "Empty: the address of EMAIL_FROM."),
        Option("connections", "Connections", "How many each process keeps open.", type=int, default=10),
    ),
    _smtp,
)

KINDS: dict[str, Kind] = {kind.name: kind for kind in (SMTP,)}


def complete(kind: Kind, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return every option of `kind`, defaults filled in. Raises: OptionError for the first that is missing, unknown or wrong."""
    known = {option.name for option in kind.options}
    for name in given:
        if name not in known:
            raise OptionError(name, f"{kind.label} has no such option; it has {', '.join(sorted(known))}.")
    return {option.name: _value(option, given.get(option.name)) for option in kind.options}


def _value(option: Option, given: Any) -> Any:
    if given in (None, ""):
        if option.is_required:
            raise OptionError(option.name, f"Enter the {option.label.lower()}.")
        return option.default
    if option.type is int:
        try:
            return int(given)
        except (TypeError, ValueError):
            raise OptionError(option.name, f"{given!r} is not a whole number.") from None
    if not isinstance(given, option.type):
        raise OptionError(option.name, f"{given!r} is not {option.type.__name__}.")
    if option.choices and given not in option.choices:
        raise OptionError(option.name, f"{given!r} is none of {', '.join(option.choices)}.")
    return given
