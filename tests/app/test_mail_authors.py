"""Whom an e-mail is from and who is answered: the template, the tenant, the provider, the settings, in this order."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from deliveries import compose as composing
from deliveries.addresses import NOWHERE
from deliveries.models import Tenant
from deliveries.rendering import TemplateBook
from deliveries.senders.base import Content
from tests.factories import ContactFactory
from tests.lifecycle import accept, claim, incoming, start

pytestmark = pytest.mark.django_db(transaction=True)
SHOP, DESK = "Shop <shop@example.com>", "desk@example.com"


def content_of(tenant: Tenant, channel: str = "email") -> Content:
    """Return what goes out of a job without a template."""
    contact = ContactFactory(tenant=tenant)
    accept(incoming(channel=channel, user_id=str(contact.user_id)))
    [row] = claim(channel)
    return composing.compose(row, start([row])[row.id], TemplateBook(), NOWHERE)[0].content


def test_a_tenant_without_any_leaves_it_to_the_provider(tenant: Tenant) -> None:
    content = content_of(tenant)
    assert (content.from_address, content.reply_to) == ("", "")


@pytest.mark.parametrize(("channel", "says"), [("email", (SHOP, DESK)), ("ws", ("", ""))])
def test_the_tenant_s_stand_in_its_mails(tenant: Tenant, channel: str, says: tuple[str, str]) -> None:
    Tenant.objects.update(from_address=SHOP, reply_to=DESK)
    content = content_of(tenant, channel)
    assert (content.from_address, content.reply_to) == says


def test_what_the_template_says_wins(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    Tenant.objects.update(from_address=SHOP, reply_to=DESK)
    rendered = Content(subject="Hello", text="There", from_address="News <news@example.com>")
    monkeypatch.setattr(composing, "render_inline", lambda title, body: rendered)
    content = content_of(tenant)
    assert (content.from_address, content.reply_to) == ("News <news@example.com>", DESK)


class TestAdmin:
    def post(self, client: Client, tenant: Tenant, **changes: Any) -> Any:
        sent = {"name": tenant.name, "default_locale": "en", "from_address": "", "reply_to": "", **changes}
        return client.post(reverse("admin:deliveries_tenant_change", args=[tenant.pk]), sent)

    @pytest.mark.parametrize(
        "text", ["", DESK, SHOP, "Bücher & Läden <post@bücher.example>", '"Desk, Ana" <desk@example.com>']
    )
    def test_sound_ones_are_kept(self, admin_client: Client, tenant: Tenant, text: str) -> None:
        assert self.post(admin_client, tenant, from_address=f" {text}", reply_to=text).status_code == 302
        tenant.refresh_from_db()
        assert (tenant.from_address, tenant.reply_to) == (text, text)

    @pytest.mark.parametrize("field", ["from_address", "reply_to"])
    @pytest.mark.parametrize(
        "text",
        ["Shop", "a@example.com, b@example.com", "Shop <>", "a@example.com\r\nBcc: b@x.org", "Desk, Ana <a@x.org>"],
    )
    def test_others_are_refused(self, admin_client: Client, tenant: Tenant, field: str, text: str) -> None:
        answer = self.post(admin_client, tenant, **{field: text})
        assert answer.status_code == 200
        assert "Enter one address, such as Shop &lt;shop@example.com&gt;." in answer.content.decode()
        tenant.refresh_from_db()
        assert (tenant.from_address, tenant.reply_to) == ("", "")

    def test_the_only_tenant_is_the_sender_of_e_mails(self, admin_client: Client) -> None:
        text = admin_client.get(reverse("admin:index")).content.decode()
        assert "E-mail sender" in text and ">Tenants<" not in text
