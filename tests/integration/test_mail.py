"""E-mail through the whole path: a real SMTP server or Postmark's API, the provider's report, and what later jobs come to."""

from __future__ import annotations

import base64
import email
import email.policy
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from django.test import Client
from django.utils import timezone

from deliveries.models import Delivery, Suppression, Tenant
from tests import postmark
from tests.factories import ContactFactory, ProviderFactory
from tests.far_end import far_end
from tests.integration.test_channels import beside
from tests.integration.test_sending import dispatching, settle
from tests.lifecycle import accept, incoming
from tests.smtp import SmtpServer

pytestmark = pytest.mark.django_db(transaction=True)
LOGIN = "hooks:hush"


@pytest.fixture(autouse=True)
def reachable(settings: Any) -> None:
    settings.PRIVATE_ADDRESSES_ALLOWED = True
    settings.PUBLIC_URL = "https://notify.example.com"


def default() -> Tenant:
    return Tenant.objects.get(slug="default")


def job(to: str, **changes: Any) -> Delivery:
    contact = ContactFactory(tenant=default(), email=to)
    [row_id] = accept(incoming(channel="email", user_id=str(contact.user_id), **changes))
    return Delivery.objects.get(pk=row_id)


def test_a_mail_over_smtp_names_its_tenant_and_unsubscribes_with_one_click(tmp_path: Path) -> None:
    Tenant.objects.update(from_address="Müllers Läden <shop@example.com>", reply_to="desk@example.com")
    with SmtpServer(tmp_path, messages=True) as server:
        options = {"host": server.host, "port": server.port, "security": "none", "from_address": "login@example.org"}
        ProviderFactory(tenant=default(), options=options)
        with dispatching() as dispatcher:
            row = job("ana@example.com", category="newsletter")
            settle(dispatcher)
        (receipt,) = server.receipts()
    row.refresh_from_db()
    mail = email.message_from_string(receipt["message"], policy=email.policy.default)

    assert row.status == "SENT"
    assert receipt["from"] == "login@example.org", "the envelope is the login's"
    assert mail["From"].addresses[0].display_name == "Müllers Läden" and mail["Reply-To"] == "desk@example.com"
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    (path,) = re.findall(r"<https://notify\.example\.com(/u/[\w-]+)>", mail["List-Unsubscribe"])
    Client().post(path, "List-Unsubscribe=One-Click", content_type="application/x-www-form-urlencoded")
    [later] = accept(incoming(channel="email", user_id=str(row.user_id), category="newsletter"))
    assert Delivery.objects.get(pk=later).reason == "unsubscribed"


def test_a_mail_over_an_api_bounces_and_its_address_gets_no_more() -> None:
    taken: list[dict[str, Any]] = []
    with beside(far_end(postmark.postmark(taken))) as far:
        at = ProviderFactory(
            tenant=default(),
            kind="postmark",
            options={"base_url": far.url},
            secrets={"server_token": postmark.TOKEN, "webhook_auth": LOGIN},
        )
        with dispatching() as dispatcher:
            row, inactive = job("ana@example.com"), job("inactive@example.com")
            settle(dispatcher)
            row.refresh_from_db()
            inactive.refresh_from_db()
            assert (row.status, row.provider, len(taken)) == ("SENT", at.name, 1)
            assert (inactive.status, inactive.reason, inactive.attempts) == ("FAILED", "recipient_inactive", 1)

            waiting = job("Ana@example.com", send_after=(timezone.now() + timedelta(days=1)).isoformat())
            bounce = {
                "RecordType": "Bounce",
                "Type": "HardBounce",
                "MessageID": row.provider_message_id,
                "Email": "ana@example.com",
            }
            answer = Client().generic(
                "POST",
                f"/api/callbacks/{at.pk}/",
                orjson.dumps(bounce),
                content_type="application/json",
                headers={"Authorization": f"Basic {base64.b64encode(LOGIN.encode()).decode()}"},
            )
            assert answer.status_code == 204
            Delivery.objects.filter(pk=waiting.pk).update(send_after=None, next_attempt_at=waiting.accepted_at)
            later = job("ana@EXAMPLE.com")
            settle(dispatcher)
    for refused in (waiting, later):
        refused.refresh_from_db()
        assert (refused.status, refused.reason, refused.attempts) == ("SUPPRESSED", "suppressed_address", 0)
    row.refresh_from_db()
    assert row.outcome == "bounced" and len(taken) == 1
    assert Suppression.objects.get().job_id == row.job_id
