"""docs/providers.md is true: its description of an SMS provider works, its options are those of the kinds, its numbers the code's."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from deliveries.admin import words
from deliveries.devices import MAX_DEVICES
from deliveries.providers import breaker
from deliveries.providers.kinds import KINDS, Kind
from deliveries.providers.mail_kinds import MAIL_KINDS, MAILS
from deliveries.providers.shared import BURST_SECONDS
from deliveries.providers.steering import CHECK_SECONDS
from deliveries.reasons import REASONS
from deliveries.senders import webhook
from deliveries.senders.http_sms_configuration import BadConfiguration, Configuration, Template, check
from tests.unit.sender_cases import make_message

PAGE = (Path(__file__).resolve().parents[2] / "docs/providers.md").read_text()
FLAT = " ".join(PAGE.split())
SECRETS = {"key": "the-key"}


def blocks(language: str) -> list[str]:
    """Return the page's code blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def description() -> dict[str, Any]:
    """Return the description of a provider that the page shows whole."""
    (found,) = (block for block in map(json.loads, blocks("json")) if "url" in block)
    return dict(found)


def section(heading: str) -> str:
    """Return the text under a heading of third rank."""
    return PAGE.split(f"### {heading}\n")[1].split("\n##")[0]


def test_docs_description_of_an_sms_provider_is_accepted() -> None:
    configuration = check(description(), secrets=SECRETS)

    assert {row.kind for row in configuration.errors.values()} == {"temporary", "permanent", "account", "unknown"}
    assert not {row.code for row in configuration.errors.values()} - REASONS.keys()


def test_docs_description_needs_the_secret_that_it_names() -> None:
    with pytest.raises(BadConfiguration, match=r"secret\.key"):
        check(description(), secrets={})


def test_docs_description_makes_the_request_that_the_page_shows() -> None:
    head, _, body = blocks("http")[0].partition("\n\n")
    line, *headers = head.splitlines()
    values = {
        "to": "+4930123456",
        "to_digits": "4930123456",
        "from": description()["from"],
        "text": "Hello, Ana.",
        "reference": "22222222-2222-4222-8222-222222222222",
    }
    configuration = check(description(), secrets=SECRETS)
    url, sent_headers, sent = Template(configuration, SECRETS).request(values)

    assert line == f"{configuration.method} {url}"
    assert dict(header.split(": ") for header in headers) == sent_headers
    assert body.strip() == sent.decode()


def test_docs_name_every_field_of_a_description() -> None:
    rows = re.findall(r"^\| (`[^|]+`) \|", section("SMS: another provider over HTTP"), re.MULTILINE)

    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == {
        field.encode_name for field in msgspec.structs.fields(Configuration)
    }


@pytest.mark.parametrize(
    ("name", "heading"),
    [
        ("smtp", "E-mail: SMTP server"),
        *((kind.name, f"E-mail: {kind.label}") for kind in MAIL_KINDS),
        ("twilio", "SMS: Twilio"),
        ("http_sms", "SMS: another provider over HTTP"),
        ("push", "Push: FCM, APNs and Web Push"),
    ],
)
def test_docs_name_every_option_of_a_kind(name: str, heading: str) -> None:
    kind: Kind = KINDS[name]
    assert not [option.label for option in kind.options if option.label not in section(heading)]


def test_docs_have_a_heading_for_every_kind() -> None:
    assert len(re.findall(r"^### (?:E-mail|SMS|Push):? ", PAGE, re.MULTILINE)) == len(KINDS)


def test_docs_tell_the_breaker_s_numbers_and_words() -> None:
    assert f"After {breaker.FAILURES_TO_OPEN} failures in a row it rests {breaker.FIRST_REST_SECONDS:g} s" in FLAT
    assert f"the rest doubles, up to {breaker.LONGEST_REST_SECONDS:g} s" in FLAT
    assert BURST_SECONDS == 0.2 and "a fifth of a second of messages, at least one" in FLAT
    assert f"within {CHECK_SECONDS:g} s" in FLAT
    assert f"{MAX_DEVICES} at most" in FLAT
    assert not [
        text
        for text, _tone in words.BREAKERS.values()
        if text.removesuffix(": Redis is away") not in FLAT.replace("*", "")
    ]
    assert not [text for text in words.FORCED.values() if f"*{text}*" not in FLAT]


def test_docs_show_a_webhook_as_it_is_sent_and_checked() -> None:
    (code,) = blocks("python")
    names: dict[str, Any] = {}
    exec(compile(code, "docs/providers.md", "exec"), names)  # noqa: S102  (the page's own example)
    message = make_message("https://example.com/hooks")
    body = webhook.body_of(message)
    said = names["received"](message.secrets[0], webhook.headers_of(message, body), body)
    (shown,) = (block for block in map(json.loads, blocks("json")) if "type" in block)

    assert said["type"] == shown["type"] == webhook.EVENT_TYPE
    assert said.keys() == shown.keys()
    assert said["data"].keys() == shown["data"].keys() - {"html"}


def test_docs_say_where_each_mail_provider_s_webhooks_go() -> None:
    rows = re.findall(r"^\| ([^|]+) \|", section("Reports of mail providers"), re.MULTILINE)
    assert {mail.service.label for mail in MAILS.values()} <= set(rows)


def test_docs_say_which_kinds_can_be_checked() -> None:
    said = dict(re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", PAGE.split("## Check\n")[1].split("\n## ")[0], re.MULTILINE))
    by_label = {label: text for labels, text in said.items() for label in labels.split(", ")}
    for mail in MAILS.values():
        assert by_label[mail.service.label].startswith("Reads" if mail.service.check_path else "Nothing")
