"""Every address of the API, tenant A's key on tenant B's rows: the answer of a thing that does not exist, and B unchanged.

The addresses come from the URL configuration; one without a row below fails the test.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any
from uuid import uuid4

import pytest
from django.core import serializers
from django.urls import get_resolver
from django.urls.resolvers import URLPattern, URLResolver

from broadcasts.api.urls import ACTIONS, ID
from broadcasts.models import Audience, AudienceMember, Broadcast, BroadcastEvent, LeftOut, TopicSubscription
from deliveries.models import (
    ApiKey,
    Category,
    Contact,
    Delivery,
    Device,
    OptOut,
    Provider,
    Suppression,
    Template,
    TemplateContent,
    TemplateVersion,
    Tenant,
)
from tests.api import Caller, a_job, person
from tests.factories import (
    ApiKeyFactory,
    AudienceFactory,
    ContactFactory,
    DeliveryFactory,
    DeviceFactory,
    ProviderFactory,
    TemplateFactory,
    TenantFactory,
)
from tests.mass import draft

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("jwt_key")]
WORDS = {"default_locale": "en", "contents": [{"locale": "en", "subject": "taken", "text": "over"}]}
BROADCAST = {"title": "taken", "body": "over", "audience": {"type": "all_users"}}
BODIES: dict[str, Any] = {
    "speed": lambda b: {"pace_per_minute": 1},
    "retry-failed": lambda b: {"reason": "timeout", "channel": "email"},
    "test-send": lambda b: {"channel": "ws", "user_id": str(b.contact.user_id)},
    "schedule": lambda b: {"scheduled_at": "2099-01-01T00:00:00Z"},
}
OPEN = "open"


@dataclass(frozen=True)
class Owned:
    """What tenant B has, and A must neither see nor change."""

    delivery: Delivery
    finished: Delivery
    contact: Contact
    template: Template
    device: Device
    provider: Provider
    mail_provider: Provider
    audience: Audience
    subscription: TopicSubscription
    broadcast: Broadcast
    category: Category

    @property
    def ids(self) -> dict[str, object]:
        return {
            "delivery": self.delivery.job_id,
            "finished": self.finished.job_id,
            "contact": self.contact.user_id,
            "template": self.template.pk,
            "device": self.device.pk,
            "provider": self.provider.pk,
            "mail_provider": self.mail_provider.pk,
            "audience": self.audience.pk,
            "topic": self.subscription.topic,
            "broadcast": self.broadcast.pk,
        }

    def marks(self) -> list[str]:
        """What would show in an answer that leaks."""
        rows = [
            self.delivery.job_id,
            self.finished.job_id,
            self.contact.user_id,
            self.contact.email,
            self.template.code,
            self.device.token,
            self.device.name,
            self.provider.name,
            self.mail_provider.name,
            self.audience.name,
            self.broadcast.name,
            self.category.name,
        ]
        return [*map(str, rows), self.contact.tenant.slug]


#: Address → the calls that A makes, with the status that each must get. OPEN: no rows of a tenant are behind it.
MATRIX: dict[str, Any] = {
    "api/jobs/": [("POST", "", lambda b: a_job(tenant_id=b.contact.tenant.slug), 400)],
    "api/jobs/validate/": [
        ("POST", "", lambda b: a_job(user_id=b.contact.user_id, channel="email", content=None, template_code=b.template.code), 200),
        ("POST", "", lambda b: a_job(tenant_id=b.contact.tenant.slug), 200),
    ],
    "api/deliveries/": [("GET", "", None, 200), ("GET", "?tenant={tenant}", None, 404), ("GET", "?job_id={delivery}", None, 200)],
    "api/deliveries/<uuid:job_id>/": [("GET", "{delivery}", None, 404), ("GET", "{finished}", None, 404)],
    "api/deliveries/<uuid:job_id>/replay/": [("POST", "{finished}", None, 404)],
    "api/deliveries/<uuid:job_id>/cancel/": [("POST", "{delivery}", None, 404)],
    "api/templates/": [("GET", "", None, 200), ("POST", "?tenant={tenant}", lambda b: {"code": "x", "name": "x", **WORDS}, 404)],
    "api/templates/<int:template_id>/": [("GET", "{template}", None, 404), ("PUT", "{template}", lambda b: WORDS, 404)],
    "api/templates/<int:template_id>/publish/": [("POST", "{template}", None, 404)],
    "api/templates/<int:template_id>/preview/": [
        ("POST", "{template}", lambda b: {}, 404),
        ("POST", "{template}", lambda b: {"words": WORDS, "user_id": str(b.contact.user_id)}, 404),
    ],
    "api/contacts/": [
        ("GET", "", None, 200),
        ("POST", "", lambda b: {"contacts": [{"user_id": str(b.contact.user_id), "name": "taken"}]}, 200),
        ("POST", "?tenant={tenant}", lambda b: {"contacts": [{"user_id": str(b.contact.user_id)}]}, 404),
    ],
    "api/contacts/<uuid:user_id>/": [
        ("GET", "{contact}", None, 404),
        ("DELETE", "{contact}", None, 404),
        ("PUT", "{contact}", lambda b: {"name": "taken"}, 201),  # A's own contact of that id
    ],
    "api/devices/": [("GET", "", None, 200), ("GET", "?tenant={tenant}", None, 200)],
    "api/devices/<int:device_id>/": [("DELETE", "{device}", None, 404)],
    "api/preferences/": [
        ("GET", "", None, 200),
        ("GET", "?tenant={tenant}", None, 200),
        ("PATCH", "", lambda b: {"categories": {"bea-news": {"email": False}}}, 400),  # B's category is none of A's
    ],
    "api/callbacks/<int:provider_id>/": [
        ("POST", "{provider}", lambda b: {"id": b.finished.provider_message_id, "state": "DELIVRD"}, 404),
        ("POST", "{mail_provider}", lambda b: {"RecordType": "SpamComplaint", "MessageID": b.finished.provider_message_id}, 404),
    ],
    "api/audiences/": [
        ("GET", "", None, 200),
        ("POST", "?tenant={tenant}", lambda b: {"name": "taken", "kind": "list"}, 404),
        ("POST", "", lambda b: {"name": b.audience.name, "kind": "list"}, 201),  # A's own of that name
    ],
    "api/audiences/<int:audience_id>/": [
        ("GET", "{audience}", None, 404),
        ("PATCH", "{audience}", lambda b: {"name": "taken"}, 404),
        ("DELETE", "{audience}", None, 404),
    ],
    "api/audiences/<int:audience_id>/preview/": [("GET", "{audience}", None, 404)],
    "api/audiences/<int:audience_id>/members/": [
        ("GET", "{audience}", None, 404),
        ("PUT", "{audience}", lambda b: {"user_ids": [str(uuid4())]}, 404),
        ("DELETE", "{audience}", lambda b: {"user_ids": [str(b.contact.user_id)]}, 404),
    ],
    "api/topics/<str:topic>/subscribers/": [
        ("GET", "{topic}", None, 200),  # A's own topic of that name
        ("PUT", "{topic}", lambda b: {"user_ids": [str(uuid4())]}, 200),  # A's own topic of that name
        ("DELETE", "{topic}", lambda b: {"user_ids": [str(b.contact.user_id)]}, 200),
    ],
    "api/broadcasts/": [
        ("GET", "", None, 200),
        ("GET", "?q=Bea", None, 200),
        ("GET", "?tenant={tenant}", None, 404),
        ("POST", "?tenant={tenant}", lambda b: BROADCAST, 404),
    ],
    "api/broadcasts/<int:broadcast_id>/": [
        ("GET", "{broadcast}", None, 404),
        ("PATCH", "{broadcast}", lambda b: {"title": "taken"}, 404),
        ("DELETE", "{broadcast}", None, 404),
    ],
    "api/broadcasts/<int:broadcast_id>/events/": [("GET", "{broadcast}", None, 404)],
    "api/broadcasts/<int:broadcast_id>/left-out/": [("GET", "{broadcast}", None, 404)],
    "api/broadcasts/<int:broadcast_id>/recipients.csv": [("GET", "{broadcast}", None, 404)],
    **{f"api/broadcasts/<int:broadcast_id>/{name}/": [("POST", "{broadcast}", BODIES.get(name), 404)] for name in ACTIONS},
    "v1/^admin/notifications/broadcasts/?$": [("GET", "", None, 200), ("POST", "?tenant={tenant}", lambda b: BROADCAST, 404)],
    f"v1/^admin/notifications/broadcasts{ID}/?$": [
        ("GET", "{broadcast}", None, 404),
        ("PATCH", "{broadcast}", lambda b: {"title": "taken"}, 404),
        ("DELETE", "{broadcast}", None, 404),
    ],
    **{
        f"v1/^admin/notifications/broadcasts{ID}/actions/{name}/?$": [("POST", "{broadcast}", BODIES.get(name), 404)]
        for name in ACTIONS
    },
    "v1/": OPEN,  # the answer to unknown addresses
    "api/schemas/notification-job.json": OPEN,
    "api/schema/": OPEN,
    "api/docs/": OPEN,
    "api/": OPEN,  # the answer to unknown addresses
}  # fmt: skip


#: What a person calls with their own token: there a key opens nothing, whatever its scopes. A token that names tenant A and the very
#: person that B's rows are about is the sharpest try.
PERSONAL = ("api/devices/", "api/preferences/")
#: What a provider calls with its own signature: everybody else gets the 404 of a provider that is not there, key or no key. What A's own
#: provider can say of B's rows: tests/app/test_api_callbacks.py.
SIGNED = ("api/callbacks/",)


def is_personal(address: str) -> bool:
    return address.startswith(PERSONAL)


def is_signed(address: str) -> bool:
    return address.startswith(SIGNED)


def callers(address: str, owned: Owned, tenant: Tenant) -> list[Caller]:
    """Who of tenant A calls an address."""
    if is_personal(address):
        return [person(tenant, owned.device.user_id), person(tenant)]
    return [Caller(ApiKeyFactory(tenant=tenant))]


def addresses(patterns: list[URLPattern | URLResolver], prefix: str = "") -> list[str]:
    found = []
    for pattern in patterns:
        address = prefix + str(pattern.pattern)
        found += addresses(pattern.url_patterns, address) if isinstance(pattern, URLResolver) else [address]
    return found


#: What has a number of the database's in its address; all else has a UUID.
NUMBERED = ("template", "device", "provider", "mail_provider", "audience", "broadcast")
API = [address for address in addresses(get_resolver().url_patterns) if address.startswith(("api/", "v1/"))]


@pytest.fixture
def theirs() -> Owned:
    tenant = ContactFactory(name="Bea").tenant
    contact = ContactFactory(tenant=tenant, user_id=uuid4())
    broadcast = draft(tenant, name="Bea's news")
    LeftOut.objects.create(broadcast=broadcast, contact_id=1, user_id=uuid4(), channel="ws", reason="opted_out")
    return Owned(
        audience=AudienceFactory(tenant=tenant, name="Bea's friends", members=[contact.user_id]),
        subscription=TopicSubscription.objects.create(tenant=tenant, topic="bea", user_id=contact.user_id),
        broadcast=broadcast,
        category=Category.objects.create(tenant=tenant, key="bea-news", name="News of Bea"),
        delivery=DeliveryFactory(tenant=tenant),
        finished=DeliveryFactory(tenant=tenant, failed=True),
        contact=contact,
        template=TemplateFactory(tenant=tenant, published=False),
        device=DeviceFactory(tenant=tenant, name="Bea's phone"),
        provider=ProviderFactory(
            tenant=tenant,
            channel="sms",
            kind="http_sms",
            name="Bea's texts",
            options={
                "description": {"url": "https://sms.example.com/", "fields": {"to": "{to}", "text": "{text}"}},
                "callback": {"message_id": "id", "status": "state", "statuses": {"DELIVRD": "delivered"}},
            },
            secrets={"callback_secret": "hush"},
        ),
        mail_provider=ProviderFactory(
            tenant=tenant,
            kind="postmark",
            name="Bea's mails",
            options={},
            secrets={"server_token": "t", "webhook_auth": "bea:hush"},
        ),
    )


def snapshot(owned: Owned) -> str:
    tenant = owned.contact.tenant
    rows = [
        *Delivery.objects.filter(tenant=tenant).order_by("pk"),
        *Contact.objects.filter(tenant=tenant).order_by("pk"),
        *Template.objects.filter(tenant=tenant).order_by("pk"),
        *TemplateVersion.objects.filter(template__tenant=tenant).order_by("pk"),
        *TemplateContent.objects.filter(version__template__tenant=tenant).order_by("pk"),
        *Device.objects.filter(tenant=tenant).order_by("pk"),
        *Provider.objects.filter(tenant=tenant).order_by("pk"),
        *Audience.objects.filter(tenant=tenant).order_by("pk"),
        *AudienceMember.objects.filter(audience__tenant=tenant).order_by("pk"),
        *TopicSubscription.objects.filter(tenant=tenant).order_by("pk"),
        *Suppression.objects.filter(tenant=tenant).order_by("pk"),
        *OptOut.objects.filter(tenant=tenant).order_by("pk"),
        *Broadcast.objects.filter(tenant=tenant).order_by("pk"),
        *BroadcastEvent.objects.filter(broadcast__tenant=tenant).order_by("pk"),
    ]
    return serializers.serialize("json", rows)


def calls(address: str, owned: Owned) -> Iterator[tuple[str, str, str, Any, int]]:
    """The rows of an address: method, path, the same path with ids that nobody has, body, expected status."""
    base, _, rest = address.replace("^", "").replace(ID, "/<broadcast_id>").removesuffix("/?$").partition("<")
    ids = {**owned.ids, "tenant": owned.contact.tenant.slug}
    nobodys = {name: 2**40 if name in NUMBERED else uuid4() for name in ids}
    for method, part, body, status in MATRIX[address]:
        path, absent = ("/" + base + part.format(**each) + rest.partition(">")[2] for each in (ids, nobodys))
        yield method, path, absent, body(owned) if body else None, status


def test_every_address_has_a_row() -> None:
    assert sorted(API) == sorted(MATRIX)


@pytest.mark.parametrize("address", [address for address in API if MATRIX.get(address) != OPEN])
def test_anothers_rows_are_as_if_they_were_not_there(address: str, theirs: Owned) -> None:
    before = snapshot(theirs)
    for mine, (method, path, absent, sent, status) in product(
        callers(address, theirs, TenantFactory()), calls(address, theirs)
    ):
        answer = mine(method, path, sent)
        assert answer.status == status, (method, path, answer)
        told = str(answer.body)
        echoed = str(sent) + path
        assert not [mark for mark in theirs.marks() if mark in told and mark not in echoed]
        if status == 404:
            assert answer.body == mine(method, absent, sent).body
        assert snapshot(theirs) == before


@pytest.mark.parametrize("address", [address for address in API if MATRIX.get(address) != OPEN])
def test_nothing_is_open_without_a_key_or_with_a_revoked_one(address: str, theirs: Owned) -> None:
    before = snapshot(theirs)
    revoked = ApiKeyFactory(tenant=theirs.contact.tenant, revoked_at=theirs.contact.created_at)
    for method, path, _absent, sent, _status in calls(address, theirs):
        for caller in (Caller(), Caller(revoked), Caller(revoked.prefix)):
            assert caller(method, path, sent).status == (404 if is_signed(address) else 401)
    assert snapshot(theirs) == before


@pytest.mark.parametrize("address", [address for address in API if MATRIX.get(address) != OPEN])
def test_nothing_is_open_to_a_key_without_scopes(address: str, theirs: Owned) -> None:
    powerless = Caller(ApiKeyFactory(tenant=theirs.contact.tenant, scopes=[ApiKey.Scope.TELEMETRY]))
    for method, path, _absent, sent, _status in calls(address, theirs):
        expected = 404 if is_signed(address) else 401 if is_personal(address) else 403
        assert powerless(method, path, sent).status == expected
