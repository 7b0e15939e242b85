"""What staff enter for status callbacks: refused where no report could ever count, completed where the job's id is missing."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID

import pytest
from django.test import override_settings

from deliveries.channels import Channel
from deliveries.providers.kinds import HTTP_SMS, TWILIO, Kind, OptionError, complete
from deliveries.senders.base import Sender
from tests.sms import ACCOUNT_SID, API_KEY_SID, AUTH_TOKEN, FROM, GOOD, serving, twilio
from tests.unit.sender_cases import make_message

ADDRESS = "https://n.example.org/api/callbacks/7/"
SENDS = {"url": "https://sms.example.com/send", "fields": {"to": "{to}", "text": "{text}"}}
REPORTS = {"message_id": "id", "status": "state", "statuses": {"DELIVRD": "delivered"}}


def make(kind: Kind, **options: Any) -> Sender:
    given = {
        "twilio": {"account_sid": ACCOUNT_SID, "auth_token": AUTH_TOKEN, "from_number": FROM},
        "http_sms": {"description": SENDS},
    }[kind.name]
    return kind.make(complete(kind, {**given, **options}), 60.0)


@pytest.mark.parametrize(
    ("kind", "options", "field"),
    [
        (TWILIO, {"status_callback": ADDRESS, "api_key_sid": API_KEY_SID}, "signing_token"),
        (TWILIO, {"status_callback": "n.example.org/api/callbacks/7/"}, "status_callback"),
        (TWILIO, {"status_callback": "https://[n"}, "status_callback"),
        (HTTP_SMS, {"callback": REPORTS}, "callback_secret"),
        (HTTP_SMS, {"callback": {**REPORTS, "statuses": {"X": "gone"}}, "callback_secret": "hush"}, "callback"),
    ],
)
def test_what_could_never_count_is_refused_beside_its_field(kind: Kind, options: dict[str, Any], field: str) -> None:
    with pytest.raises(OptionError) as caught:
        make(kind, **options)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (TWILIO, {}),
        (TWILIO, {"status_callback": ADDRESS}),
        (TWILIO, {"status_callback": ADDRESS, "api_key_sid": API_KEY_SID, "signing_token": "of-the-account"}),
        (TWILIO, {"api_key_sid": API_KEY_SID}),
        (HTTP_SMS, {"callback": REPORTS, "callback_secret": "hush"}),
    ],
)
def test_what_can_work_is_taken(kind: Kind, options: dict[str, Any]) -> None:
    assert make(kind, **options).channel == Channel.SMS


@pytest.mark.parametrize(
    ("entered", "told"),
    [
        (ADDRESS, f"{ADDRESS}?job=JOB"),
        (f"{ADDRESS}?a=b", f"{ADDRESS}?a=b&job=JOB"),
        (f"{ADDRESS}?job={{reference}}&a=b", f"{ADDRESS}?job=JOB&a=b"),
        (f"{ADDRESS}#rc=5&rp=all", f"{ADDRESS}?job=JOB#rc=5&rp=all"),
    ],
)
@override_settings(PRIVATE_ADDRESSES_ALLOWED=True)
async def test_every_address_that_twilio_is_told_names_the_job(entered: str, told: str) -> None:
    async with serving(twilio) as far:
        sender = make(TWILIO, status_callback=entered, base_url=far.url)
        await sender.open()
        try:
            message = make_message(GOOD)
            await sender.send(message)
        finally:
            await sender.close()
    (got,) = far.got
    form = dict(parse_qsl(got.body.decode("ascii")))
    assert isinstance(message.job_id, UUID)
    assert form["StatusCallback"] == told.replace("JOB", str(message.job_id))
