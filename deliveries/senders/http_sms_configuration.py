"""How an SMS provider without a sender of its own is described: which request it wants and how its replies read.

Pure: `check` turns what an operator wrote (JSON) into a Configuration or says everything that is wrong with it; `Request`
fills one in. Sends nothing, reads no settings.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Literal
from urllib.parse import urlencode, urlsplit

import msgspec

from deliveries.dotted import find
from deliveries.senders.sms import Kind

PLACES = ("to", "to_digits", "from", "text", "reference")
SECRET = "secret."  # noqa: S105
_PLACE = re.compile(r"\{([^{}]*)\}")
_CODE = re.compile(r"[a-z][a-z0-9_]{0,39}")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_OUR_HEADERS = frozenset({"host", "connection", "content-length", "content-type", "transfer-encoding", "accept-encoding"})
_CONTENT_TYPES = {"json": "application/json", "form": "application/x-www-form-urlencoded"}


class BadConfiguration(ValueError):
    """A description that cannot work. `problems`: one sentence each, with the path of what is wrong."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__(" ".join(problems))
        self.problems = problems


class ErrorCode(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one of the provider's error codes means: its kind, our stable word, and a sentence for staff."""

    kind: Kind
    code: str
    message: str


class BasicAuth(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """User name and password of HTTP Basic authentication; both may hold `{secret.NAME}`."""

    username: str
    password: str


class Configuration(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"sender": "from"}):
    """One provider.

    Texts in `headers` and `fields` may hold `{to}` (E.164), `{to_digits}` (without +), `{from}`, `{text}`, `{reference}`
    (the job's id, the same at every attempt) and `{secret.NAME}`. `fields` is the body, as JSON of any shape or as a form,
    or the URL's query. Paths into a JSON reply are dotted, with numbers for places in a list: `messages.0.id`.

    A status in `sent` means taken, unless the reply holds an error code of `errors` at the path `error_code`: the table
    decides first, whatever the status. A status in no list means what HTTP says; a 5xx that nobody may have taken a text
    with belongs in `temporary`, otherwise its outcome is unknown. `message_id` "" is a provider that gives none.
    """

    url: str
    fields: dict[str, Any]
    sender: str = ""
    method: Literal["POST", "PUT", "GET"] = "POST"
    send_as: Literal["json", "form", "query"] = "json"
    headers: dict[str, str] = {}
    basic_auth: BasicAuth | None = None
    message_id: str = ""
    sent: frozenset[int] = frozenset({200, 201, 202})
    temporary: frozenset[int] = frozenset()
    permanent: frozenset[int] = frozenset()
    account: frozenset[int] = frozenset()
    error_code: str = ""
    errors: dict[str, ErrorCode] = {}


def check(raw: object, *, secrets: Collection[str] = ()) -> Configuration:
    """Return the description that `raw` (decoded JSON) is. `secrets`: the names of those that are stored for the provider.

    Raises: BadConfiguration, with everything that is wrong; of a wrong type only the first.
    """
    try:
        configuration = msgspec.convert(raw, Configuration)
    except msgspec.ValidationError as error:
        raise BadConfiguration([f"{error}."]) from error
    if problems := list(_problems(configuration, secrets)):
        raise BadConfiguration(problems)
    return configuration


def _problems(configuration: Configuration, secrets: Collection[str]) -> Iterator[str]:
    yield from _url_problems(configuration.url)
    if configuration.method == "GET" and configuration.send_as != "query":
        yield "send_as: GET has no body; use query."
    if configuration.send_as != "json" and not all(isinstance(v, str) for v in configuration.fields.values()):
        yield f"fields: as {configuration.send_as}, every value is a text."
    texts = [text for _, text in _texts(configuration.fields, "fields")]
    for place in ("to", "text"):
        wanted = {f"{{{place}}}", f"{{{place}_digits}}"}
        if not any(one in text for text in texts for one in wanted):
            yield f"fields: nothing holds {{{place}}}."
    if not configuration.sender and any("{from}" in text for text in texts):
        yield "from: is empty, but fields hold {from}."
    yield from _place_problems(configuration, secrets)
    for name, value in configuration.headers.items():
        if not _HEADER_NAME.fullmatch(name) or name.lower() in _OUR_HEADERS:
            yield f"headers.{name}: is not a header that can be set."
        if not (value.isascii() and value.isprintable()):
            yield f"headers.{name}: a value is printable ASCII on one line."
    if configuration.basic_auth and any(name.lower() == "authorization" for name in configuration.headers):
        yield "basic_auth: headers set Authorization already."
    yield from _reply_problems(configuration)


def _url_problems(url: str) -> Iterator[str]:
    try:
        parts = urlsplit(url)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_url = False
    if not is_url or not url.isascii() or not url.isprintable() or " " in url:
        yield "url: must be a whole address such as https://sms.example.com/messages."
    elif parts.username is not None or parts.fragment:
        yield "url: holds a password or a fragment; use basic_auth, and leave out what follows #."
    elif _PLACE.search(url):
        yield "url: cannot hold placeholders; use send_as query."


def _place_problems(configuration: Configuration, secrets: Collection[str]) -> Iterator[str]:
    known_secrets = {f"{SECRET}{name}" for name in secrets}
    auth = configuration.basic_auth
    fixed = {"basic_auth": {"username": auth.username, "password": auth.password} if auth else {}}
    everywhere = [
        *((where, text, {*PLACES}) for where, text in _texts(configuration.fields, "fields")),
        *((where, text, {"reference"}) for where, text in _texts(configuration.headers, "headers")),
        *((where, text, set[str]()) for where, text in _texts(fixed["basic_auth"], "basic_auth")),
    ]
    for where, text, allowed in everywhere:
        for place in _PLACE.findall(text):
            if place.startswith(SECRET) and place not in known_secrets:
                yield f"{where}: no secret {place.removeprefix(SECRET)!r} is stored for this provider."
            elif not place.startswith(SECRET) and place not in allowed:
                yield f"{where}: {{{place}}} is no placeholder here; there are {_listed({*allowed, 'secret.NAME'})}."


def _reply_problems(configuration: Configuration) -> Iterator[str]:
    seen: dict[int, str] = {}
    for name in ("sent", "temporary", "permanent", "account"):
        for status in sorted(getattr(configuration, name)):
            if not 100 <= status <= 599:
                yield f"{name}: {status} is no HTTP status."
            elif status in seen:
                yield f"{name}: {status} is in {seen[status]} already."
            seen[status] = name
    if not configuration.sent:
        yield "sent: is empty, so nothing would ever count as sent."
    if configuration.errors and not configuration.error_code:
        yield "error_code: is empty, but errors has a table; say where the code stands in a reply."
    for code, row in configuration.errors.items():
        if not _CODE.fullmatch(row.code):
            yield f"errors.{code}.code: {row.code!r} is not a word of a-z, 0-9 and _."
        if not row.message.strip():
            yield f"errors.{code}.message: is empty; staff read it."


def _texts(value: Any, where: str) -> Iterator[tuple[str, str]]:
    """Yield every text within a value of JSON, with its path."""
    if isinstance(value, str):
        yield where, value
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield from _texts(one, f"{where}.{key}")
    elif isinstance(value, list):
        for index, one in enumerate(value):
            yield from _texts(one, f"{where}.{index}")


def _listed(places: Collection[str]) -> str:
    return ", ".join(f"{{{place}}}" for place in sorted(places))
