"""What staff see in a preview is what goes out: one set of names, one choice of locale."""

from __future__ import annotations

import re

import pytest

from deliveries import rendering
from deliveries.addresses import NOWHERE
from deliveries.admin.delivery_page import preview
from deliveries.compose import compose
from deliveries.lifecycle import ClaimedRow, Person
from deliveries.models import Contact, Delivery, Tenant
from deliveries.rendering import TemplateBook
from deliveries.senders.base import Content
from tests.factories import ContactFactory, TemplateFactory
from tests.lifecycle import accept, claim, incoming, on_connection, start

pytestmark = pytest.mark.django_db(transaction=True)

KNOWN = {
    "email": "ana@example.org",
    "phone": "+49 30 1234",
    "locale": "pt-BR",
    "time_zone": "America/Sao_Paulo",
    "attributes": {"plan": "pro"},
}
PROMISED = [
    *re.findall(r"`(\w+)`", str(rendering.__doc__).partition("`contact` with ")[2].partition(";")[0]),
    "attributes.plan",
]
EVERY_NAME = "\n".join(f"{name}: {{{{ contact.{name}|default('-') }}}}" for name in PROMISED if name != "attributes")


def default_tenant() -> Tenant:
    return Tenant.objects.get(slug="default")


def what_goes_out(row: ClaimedRow, person: Person) -> Content:
    book = TemplateBook()
    on_connection(lambda connection: book.load(connection, {(row.tenant_id, row.template_code)}))
    message, _ = compose(row, person, book, NOWHERE)
    return message.content


def test_a_preview_renders_what_goes_out_for_every_promised_name() -> None:
    assert set(PROMISED) > {"user_id", "name", "email", "phone", "locale", "time_zone", "attributes"}
    contact = ContactFactory(tenant=default_tenant(), name="Ana", **KNOWN)
    strict = EVERY_NAME.replace("|default('-')", "")
    template = TemplateFactory(tenant=default_tenant(), text=strict, subject="{{ tenant.name }} {{ tenant.slug }}")
    accept(incoming(user_id=str(contact.user_id), template_code=template.code, content=None))
    [row] = claim()
    [person] = start([row]).values()

    shown = preview(Delivery.objects.get(), Contact.objects.get()).content

    assert shown == what_goes_out(row, person)
    for value in (str(contact.user_id), "Ana", *map(str, KNOWN.values())):
        assert value in shown.text or value == str(KNOWN["attributes"])


def test_a_person_who_is_no_contact_has_the_same_empty_names_in_both() -> None:
    template = TemplateFactory(tenant=default_tenant(), text=EVERY_NAME)
    accept(incoming(template_code=template.code, content=None))
    [row] = claim()
    [person] = start([row]).values()

    assert preview(Delivery.objects.get(), None).content == what_goes_out(row, person)
