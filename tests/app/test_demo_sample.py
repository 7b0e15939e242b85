"""The demo's sample data: sound, and stored once however often the demo is started."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import orjson
import pytest
from django.contrib.auth import get_user_model

from deliveries.jobs import parse_job
from deliveries.models import Brand, Contact, Template, TemplateVersion, Tenant
from deliveries.rendering import Frame, context_of, render
from notifyproj.demo import sample
from notifyproj.demo.sample_words import FRAME, SAMPLES
from tests.factories import DeliveryFactory, TenantFactory

DATA = {
    "welcome_email": {},
    "order_shipped": sample.an_order(),
    "password_code": {"code": "123456"},
    "payment_failed": {"order": "J-1", "amount": 1234.5, "currency": "EUR"},
    "watering_reminder": {"plants": ["Fern", "Olive tree"]},
    "weekly_digest": sample.a_week(),
}

pytestmark = pytest.mark.django_db


def test_twice_stores_no_more_and_keeps_what_staff_changed() -> None:
    tenant = sample.tenant_ensure()
    for _ in range(2):
        sample.contacts_ensure(tenant)
        sample.templates_ensure(tenant)
        sample.staff_ensure("admin", "first-password", is_superuser=True)
        Contact.objects.filter(tenant=tenant, user_id=sample.ANA).update(name="Renamed")
    assert Contact.objects.filter(tenant=tenant).count() == len(sample.PEOPLE)
    assert Contact.objects.get(tenant=tenant, user_id=sample.ANA).name == "Renamed"
    assert Template.objects.filter(tenant=tenant).count() == len(SAMPLES) == TemplateVersion.objects.count()
    assert get_user_model().objects.get(username="admin").check_password("first-password")
    assert Brand.objects.filter(tenant=tenant).count() == 1
    assert Template.objects.get(tenant=tenant, code="password_code").hides_personal_data


def test_somebody_elses_password_is_not_changed() -> None:
    sample.staff_ensure("admin", "theirs-and-long", is_superuser=True)
    sample.staff_ensure("admin", "another", is_superuser=True)
    assert get_user_model().objects.get(username="admin").check_password("theirs-and-long")


def test_ben_is_staff_who_may_work_on_deliveries_and_nothing_else() -> None:
    sample.staff_ensure("ben", "ben-password", is_superuser=False)
    ben = get_user_model().objects.get(username="ben")
    assert ben.is_staff
    assert ben.has_perm("deliveries.view_delivery")
    assert not ben.has_perm("auth.change_user")


def test_a_tenants_own_name_stays() -> None:
    Tenant.objects.update_or_create(slug="default", defaults={"name": "Somebody's"})
    assert sample.tenant_ensure().name == "Somebody's"


@pytest.mark.parametrize(("code", "locale"), [(code, locale) for code in SAMPLES for locale in SAMPLES[code].words])
def test_every_sample_text_renders(code: str, locale: str) -> None:
    contact = {"name": "Ana <Ribeiro>", "email": "ana@example.com", "locale": locale, "attributes": {}}
    words = replace(SAMPLES[code].words[locale], locale=locale, frame=Frame(**FRAME), variables=SAMPLES[code].variables)
    content = render(words, context_of(DATA[code], contact=contact, tenant={"name": "Juniper", "slug": "j"}))
    assert content.subject
    assert "{{" not in content.subject + content.text + content.html + content.action_url
    assert "<Ribeiro>" not in content.html
    assert "Juniper Ltd" in content.html and content.preheader in content.html and content.text


def test_the_first_jobs_are_jobs_and_come_only_once() -> None:
    jobs = list(sample.first_jobs())
    for job in jobs:
        parse_job(orjson.dumps(job), now=datetime.now(tz=UTC))
    assert len({job["job_id"] for job in jobs}) == len(jobs) > 40
    DeliveryFactory()
    assert list(sample.first_jobs()) == []


def test_a_kept_key_is_used_as_long_as_the_database_knows_it() -> None:
    tenant = TenantFactory()
    plain = sample.api_key_ensure(tenant, "")
    assert sample.api_key_ensure(tenant, plain) == plain
    assert sample.api_key_ensure(tenant, "nk_live_of_another_database") != plain
