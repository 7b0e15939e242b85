"""The figures of saved audiences: counted again, the oldest first, and honest where counting did not work."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from broadcasts import recounting
from broadcasts.models import Audience
from broadcasts.recounting import audience_recount, audiences_recount
from deliveries.models import Contact, Tenant
from tests.factories import AudienceFactory, ContactFactory

pytestmark = pytest.mark.django_db

HAS_EMAIL = {"match": "all", "rules": [{"field": "email", "type": "text", "op": "exists"}]}
BROKEN = {"match": "all", "rules": []}


def recount(**changes: Any) -> tuple[int, int]:
    return audiences_recount(**{"stopping": lambda: False, "moved": lambda: None, **changes})


def test_segments_and_lists_are_counted_each_in_its_tenant(tenant: Tenant) -> None:
    ana = ContactFactory(tenant=tenant)
    ContactFactory(tenant=tenant, email="")
    ContactFactory(user_id=ana.user_id)
    segment = AudienceFactory(tenant=tenant, rules=HAS_EMAIL)
    some = AudienceFactory(tenant=tenant, members=[ana.user_id])
    assert recount() == (2, 0)
    assert dict(Audience.objects.values_list("pk", "contact_count")) == {segment.pk: 1, some.pk: 1}
    Contact.objects.all().delete()
    assert recount() == (2, 0)
    assert set(Audience.objects.values_list("contact_count", flat=True)) == {0}


def test_the_oldest_figures_come_first(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recounting, "BATCH", 2)
    now = timezone.now()
    fresh, stale, never = (
        AudienceFactory(tenant=tenant, rules=HAS_EMAIL, counted_at=at) for at in (now, now - timedelta(1), None)
    )
    assert recount() == (2, 0)
    assert not Audience.objects.filter(pk__in=[stale.pk, never.pk], contact_count=None).exists()
    fresh.refresh_from_db()
    assert fresh.contact_count is None


def test_what_cannot_be_counted_has_no_figure_and_holds_up_nothing(
    tenant: Tenant, caplog: pytest.LogCaptureFixture
) -> None:
    broken = AudienceFactory(tenant=tenant, rules=BROKEN, contact_count=7)
    sound = AudienceFactory(tenant=tenant, rules=HAS_EMAIL)
    assert recount() == (1, 1)
    assert "audience not counted" in caplog.text
    broken.refresh_from_db()
    sound.refresh_from_db()
    assert (broken.contact_count, sound.contact_count) == (None, 0)
    assert broken.counted_at is not None


def test_it_ends_between_two_counts_and_shows_that_it_moves(tenant: Tenant) -> None:
    for _ in range(3):
        AudienceFactory(tenant=tenant, rules=HAS_EMAIL)
    moves: list[int] = []
    assert recount(moved=lambda: moves.append(1), stopping=lambda: len(moves) == 2) == (2, 0)


def test_a_figure_of_rules_that_were_changed_meanwhile_is_thrown_away(tenant: Tenant) -> None:
    seen = AudienceFactory(tenant=tenant, rules=HAS_EMAIL)
    Audience.objects.get(pk=seen.pk).save()
    assert audience_recount(seen, timeout_seconds=30)
    assert Audience.objects.get(pk=seen.pk).contact_count is None
