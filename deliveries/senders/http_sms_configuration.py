"""How an SMS provider without a sender of its own is described: which request it wants and how its replies read.

Pure: `check` turns what an operator wrote (JSON) into a Configuration or says everything that is wrong with it; `Template`
fills the request. Sends nothing, reads no settings.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping, Set
from typing import Any, Literal
from urllib.parse import urlencode, urlsplit

import msgspec

from deliveries.senders.refusals import Kind

MESSAGE_PLACES = frozenset({"to", "to_digits", "from", "text", "reference"})
HEADER_PLACES = frozenset({"reference"})
SECRET_PREFIX = "secret."  # noqa: S105
_PLACE = re.compile(r"\{([^{}]*)\}")
_CODE = re.compile(r"[a-z][a-z0-9_]{0,39}")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_NOT_SETTABLE = frozenset(
    {"accept-encoding", "connection", "content-length", "content-type", "host", "transfer-encoding"}
)
_CONTENT_TYPES = {"json": "application/json", "form": "application/x-www-form-urlencoded"}


class BadConfiguration(ValueError):
    """A description that cannot work. `problems`: a sentence each, beginning with the path of what is wrong."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__(" ".join(problems))
        self.problems = problems


class ErrorCode(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one of the provider's error codes means: its kind, the stable word it is grouped by, and a sentence for staff."""

    kind: Kind
    code: str
    message: str


class BasicAuth(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """User name and password of HTTP Basic authentication; both may hold `{secret.NAME}`."""

    username: str
    password: str


class Configuration(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"sender": "from"}):
    """One provider.

    `fields` is the body as JSON of any shape, as a form, or the URL's query. Texts in it may hold `{to}` (E.164),
    `{to_digits}` (the same without +), `{from}`, `{text}`, `{reference}` (the job's id, the same at every attempt) and
    `{secret.NAME}`; those in `headers` only the last two. Paths into a JSON reply are dotted, a number being a place in
    a list: `messages.0.id`.

    A status of `sent` means taken, unless the reply holds a code of `errors` at `error_code`: that table decides first,
    whatever the status. A status of no list means what HTTP says; one of 5xx belongs in `temporary` only if the provider
    promises that it took nothing, as the outcome is unknown otherwise. Without `message_id` no callback finds the text.
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
    error_message: str = ""
    errors: dict[str, ErrorCode] = {}


class Template:
    """A checked description with the provider's secrets: makes the request of one text."""

    def __init__(self, configuration: Configuration, secrets: Mapping[str, str]) -> None:
        self._configuration = configuration
        self._secrets = _as_places(secrets)

    def request(self, values: Mapping[str, str]) -> tuple[str, dict[str, str], bytes]:
        """Return URL, headers and body for one text. `values`: one for each of MESSAGE_PLACES."""
        configuration = self._configuration
        everything = {**values, **self._secrets}
        fields, headers = _filled(configuration.fields, everything), _headers(configuration, everything)
        match configuration.send_as:
            case "json":
                return configuration.url, headers, msgspec.json.encode(fields)
            case "form":
                return configuration.url, headers, urlencode(fields).encode("ascii")
            case "query":
                joint = "&" if "?" in configuration.url else "?"
                return f"{configuration.url}{joint}{urlencode(fields)}", headers, b""


def check(raw: object, *, secrets: Mapping[str, str]) -> Configuration:
    """Return the description that `raw` (decoded JSON) is. `secrets`: those stored for the provider; no problem shows one.

    Raises: BadConfiguration, with everything that is wrong; of wrong types and names only the first.
    """
    try:
        configuration = msgspec.convert(raw, Configuration)
    except msgspec.ValidationError as error:
        raise BadConfiguration([f"{error}."]) from error
    problems = [
        *_url_problems(configuration.url),
        *_field_problems(configuration),
        *_place_problems(configuration, secrets),
        *_status_problems(configuration),
        *_error_problems(configuration),
    ]
    if not problems:
        problems += _header_problems(configuration, secrets)
    if problems:
        raise BadConfiguration(problems)
    return configuration


def _url_problems(url: str) -> Iterator[str]:
    try:
        parts = urlsplit(url)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_url = False
    if not is_url or not url.isascii() or not url.isprintable() or " " in url:
        yield "url: must be a whole address such as https://sms.example.com/messages."
    elif parts.username is not None or parts.fragment:
        yield "url: holds a user name or a fragment; use basic_auth, and leave out all from #."
    elif _PLACE.search(url):
        yield "url: cannot hold placeholders; send_as query puts fields there."


def _field_problems(configuration: Configuration) -> Iterator[str]:
    if configuration.method == "GET" and configuration.send_as != "query":
        yield "send_as: GET has no body; use query."
    if configuration.send_as != "json" and not all(isinstance(value, str) for value in configuration.fields.values()):
        yield f"fields: as {configuration.send_as}, every value is a text."
    used = {place for _, text in _texts(configuration.fields, "fields") for place in _PLACE.findall(text)}
    if not used & {"to", "to_digits"}:
        yield "fields: nothing holds {to}, so the text would go nowhere."
    if "text" not in used:
        yield "fields: nothing holds {text}, so the text would be empty."
    if "from" in used and not configuration.sender:
        yield "from: is empty, but fields hold {from}."


def _place_problems(configuration: Configuration, secrets: Mapping[str, str]) -> Iterator[str]:
    known = _as_places(secrets).keys()
    auth = msgspec.to_builtins(configuration.basic_auth) or {}
    for value, where, allowed in (
        (configuration.fields, "fields", MESSAGE_PLACES),
        (configuration.headers, "headers", HEADER_PLACES),
        (auth, "basic_auth", frozenset[str]()),
    ):
        yield from _unknown_places(value, where, allowed | known)


def _unknown_places(value: Any, where: str, allowed: Set[str]) -> Iterator[str]:
    for path, text in _texts(value, where):
        for place in _PLACE.findall(text):
            if place not in allowed:
                there_are = (
                    ", ".join(f"{{{one}}}" for one in sorted(allowed)) or "none; store a secret for the provider first"
                )
                yield f"{path}: {{{place}}} is no placeholder here; there are {there_are}."


def _header_problems(configuration: Configuration, secrets: Mapping[str, str]) -> Iterator[str]:
    if configuration.basic_auth and "authorization" in {name.lower() for name in configuration.headers}:
        yield "basic_auth: headers set Authorization already."
    for name, value in _headers(configuration, _as_places(secrets)).items():
        if not _HEADER_NAME.fullmatch(name) or (name.lower() in _NOT_SETTABLE and name in configuration.headers):
            yield f"headers.{name}: is no header that can be set."
        if not (value.isascii() and value.isprintable()):
            yield f"headers.{name}: its value, secrets included, must be printable ASCII on one line."


def _status_problems(configuration: Configuration) -> Iterator[str]:
    seen: dict[int, str] = {}
    for name in ("sent", "temporary", "permanent", "account"):
        for status in sorted(getattr(configuration, name)):
            if not 200 <= status <= 599:
                yield f"{name}: {status} is no final HTTP status."
            elif status in seen:
                yield f"{name}: {status} is in {seen[status]} already."
            seen.setdefault(status, name)
    if not configuration.sent:
        yield "sent: is empty, so nothing would ever count as sent."


def _error_problems(configuration: Configuration) -> Iterator[str]:
    if configuration.errors and not configuration.error_code:
        yield "error_code: is empty, but errors has a table; say where the code stands in a reply."
    for code, row in configuration.errors.items():
        if not _CODE.fullmatch(row.code):
            yield f"errors.{code}.code: must be a word of a-z, 0-9 and _, such as bad_address."
        if not row.message.strip():
            yield f"errors.{code}.message: is empty, but staff read it."


def _headers(configuration: Configuration, values: Mapping[str, str]) -> dict[str, str]:
    headers: dict[str, str] = _filled(configuration.headers, values)
    if auth := configuration.basic_auth:
        pair = f"{_filled(auth.username, values)}:{_filled(auth.password, values)}"
        headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    if content_type := _CONTENT_TYPES.get(configuration.send_as):
        headers["Content-Type"] = content_type
    return headers


def _as_places(secrets: Mapping[str, str]) -> dict[str, str]:
    return {f"{SECRET_PREFIX}{name}": value for name, value in secrets.items()}


def _filled(value: Any, values: Mapping[str, str]) -> Any:
    """Return a value of JSON with its placeholders filled, each text in one pass: what is put in is never looked at again."""
    if isinstance(value, str):
        return _PLACE.sub(lambda place: values.get(place[1], place[0]), value)
    if isinstance(value, Mapping):
        return {key: _filled(one, values) for key, one in value.items()}
    if isinstance(value, list):
        return [_filled(one, values) for one in value]
    return value


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
