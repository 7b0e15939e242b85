"""The factories make rows that every constraint accepts."""

from __future__ import annotations

import pytest

from deliveries.models import Delivery
from tests import factories

pytestmark = pytest.mark.django_db

TRAITS = ["sent", "failed", "expired", "suppressed", "cancelled", "retrying", "sending"]


@pytest.mark.parametrize("trait", TRAITS)
def test_each_trait_makes_the_status_it_is_named_after(trait: str) -> None:
    row = factories.DeliveryFactory(**{trait: True})
    assert Delivery.objects.get(pk=row.pk).status == trait.upper()


def test_a_delivery_shares_its_tenant_with_its_lane() -> None:
    row = factories.DeliveryFactory(channel="ws")
    assert row.is_waiting
    assert (row.lane.tenant, row.lane.channel) == (row.tenant, "ws")


def test_a_template_is_published_with_its_words() -> None:
    template = factories.TemplateFactory(text="Hi {{ name }}", locale="ru")
    version = template.versions.get()
    assert version.state == "published"
    assert version.contents.get().text == "Hi {{ name }}"
    assert version.contents.get().locale == "ru"


def test_a_fresh_key_knows_its_whole_text_and_the_row_does_not() -> None:
    key = factories.ApiKeyFactory()
    assert key.plain.startswith(key.prefix + "_")
    assert key.plain.encode() not in bytes(key.key_hash)


def test_contacts_and_attempts_are_valid() -> None:
    assert factories.ContactFactory().email
    assert factories.DeliveryAttemptFactory().delivery.status == "RETRYING"
