"""The smallest valid rows, by factory-boy. Nothing random that a test could depend on; unique values come from uuid4.

DeliveryFactory()                     a PENDING row that is due now
DeliveryFactory(sent=True)            also failed, retrying, sending, expired, suppressed, cancelled
DeliveryFactory(tenant=t, channel="ws")
TemplateFactory(text="Hi {{ name }}") published as v1 in one locale
ApiKeyFactory().plain                 the whole key, which only a fresh row knows
"""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any
from uuid import uuid4

import factory
from django.utils import timezone
from factory.django import DjangoModelFactory

from broadcasts.models import Audience, AudienceMember
from deliveries import models
from deliveries.api.keys import api_key_create
from deliveries.channels import Priority, Status
from deliveries.providers.credentials import seal

WORDS = ("locale", "subject", "text", "html", "markdown", "preheader", "from_address", "reply_to", "body_format")


class TenantFactory(DjangoModelFactory[models.Tenant]):
    class Meta:
        model = models.Tenant

    slug = factory.LazyFunction(lambda: f"t-{uuid4().hex[:12]}")
    name = factory.LazyAttribute(lambda tenant: f"Tenant {tenant.slug}")


class ContactFactory(DjangoModelFactory[models.Contact]):
    class Meta:
        model = models.Contact

    tenant = factory.SubFactory(TenantFactory)
    user_id = factory.LazyFunction(uuid4)
    name = "Ana Example"
    email = factory.LazyAttribute(lambda contact: f"{contact.user_id.hex}@example.com")


class TemplateFactory(DjangoModelFactory[models.Template]):
    """A template and its version 1, published or (`published=False`) a draft, with the words of `locale`.

    `also`: words of further locales, by locale; a subject is enough.
    """

    class Meta:
        model = models.Template

    tenant = factory.SubFactory(TenantFactory)
    published = True
    locale = "en"
    subject = "Welcome"
    text = "Hello."
    html = ""
    markdown = ""
    preheader = ""
    from_address = ""
    reply_to = ""
    body_format = factory.LazyAttribute(lambda words: "markdown" if words.markdown else "html")
    variables = None
    also = factory.LazyFunction(dict)
    code = factory.LazyFunction(lambda: f"welcome-{uuid4().hex[:8]}")
    name = factory.LazyAttribute(lambda template: template.code)

    @classmethod
    def _create(cls, model_class: type[models.Template], *args: Any, **kwargs: Any) -> models.Template:
        words = {key: kwargs.pop(key) for key in WORDS}
        published, variables, also = (kwargs.pop(key) for key in ("published", "variables", "also"))
        template = super()._create(model_class, *args, **kwargs)
        version = models.TemplateVersion.objects.create(
            template=template, number=1, default_locale=words["locale"], variables=variables
        )
        for locale, changed in {words["locale"]: {}, **also}.items():
            models.TemplateContent.objects.create(version=version, **(words | {"locale": locale} | changed))
        if published:
            models.TemplateVersion.objects.filter(pk=version.pk).update(state="published", published_at=timezone.now())
        return template


class BrandFactory(DjangoModelFactory[models.Brand]):
    """The frame of a tenant's mails."""

    class Meta:
        model = models.Brand

    tenant = factory.SubFactory(TenantFactory)


class ApiKeyFactory(DjangoModelFactory[models.ApiKey]):
    """A live key with every scope. The row has `plain`, the whole key."""

    class Meta:
        model = models.ApiKey

    tenant = factory.SubFactory(TenantFactory)
    name = "billing service"
    scopes = factory.LazyFunction(lambda: list(models.ApiKey.Scope.values))
    mode = models.ApiKey.Mode.LIVE

    @classmethod
    def _create(cls, model_class: type[models.ApiKey], *args: Any, **kwargs: Any) -> models.ApiKey:
        revoked_at = kwargs.pop("revoked_at", None)
        new = api_key_create(**kwargs)
        if revoked_at is not None:
            new.row.revoked_at = revoked_at
            new.row.save(update_fields=["revoked_at"])
        new.row.plain = new.plain
        return new.row


class ProviderFactory(DjangoModelFactory[models.Provider]):
    """A mail server that is enabled. `secrets`: what is sealed."""

    class Meta:
        model = models.Provider

    class Params:
        secrets: dict[str, str] = {}

    tenant = factory.SubFactory(TenantFactory)
    channel = "email"
    kind = "smtp"
    name = factory.Sequence(lambda number: f"Provider {number}")
    options = factory.LazyFunction(lambda: {"host": "smtp.example.com"})
    sealed_credentials = factory.LazyAttribute(lambda row: seal(row.secrets) if row.secrets else b"")


class DeviceFactory(DjangoModelFactory[models.Device]):
    class Meta:
        model = models.Device

    tenant = factory.SubFactory(TenantFactory)
    user_id = factory.LazyFunction(uuid4)
    platform = "fcm"
    token = factory.LazyFunction(lambda: f"token-{uuid4().hex}")
    name = "Ana's phone"
    seen_at = factory.LazyFunction(timezone.now)


class WebhookEndpointFactory(DjangoModelFactory[models.WebhookEndpoint]):
    """An endpoint that is enabled, with one secret."""

    class Meta:
        model = models.WebhookEndpoint

    tenant = factory.SubFactory(TenantFactory)
    user_id = factory.LazyFunction(uuid4)
    url = "https://hooks.example.com/path-of-ana"
    sealed_secrets = factory.LazyFunction(lambda: seal({"secret": "whsec_c2VjcmV0IG9mIHRoZSBlbmRwb2ludA=="}))


class SuppressionFactory(DjangoModelFactory[models.Suppression]):
    class Meta:
        model = models.Suppression

    tenant = factory.SubFactory(TenantFactory)
    channel = "email"
    address = factory.LazyFunction(lambda: f"{uuid4().hex}@example.com")
    reason = "hard_bounce"


class LaneFactory(DjangoModelFactory[models.Lane]):
    class Meta:
        model = models.Lane
        django_get_or_create = ("tenant", "channel", "priority", "source")

    tenant = factory.SubFactory(TenantFactory)
    channel = "email"
    priority = Priority.NORMAL
    source = ""


def _terminal(status: Status, **values: Any) -> factory.Trait:
    return factory.Trait(status=status, next_attempt_at=None, finished_at=factory.LazyFunction(timezone.now), **values)


class DeliveryFactory(DjangoModelFactory[models.Delivery]):
    """A row that waits and is due; traits make the other statuses. Tests of the state machine use `lifecycle`."""

    class Meta:
        model = models.Delivery

    class Params:
        sent = _terminal(
            Status.SENT, attempts=1, provider="smtp", provider_message_id="250 ok", duration_ms=12,
            address="ana@example.com",
        )  # fmt: skip
        failed = _terminal(
            Status.FAILED, attempts=1, reason="smtp_550", error_message="550 no such user", address="ana@example.com"
        )
        expired = _terminal(Status.EXPIRED, reason="expired")
        suppressed = _terminal(Status.SUPPRESSED, reason="opted_out", error_message="The person opted out of email.")
        cancelled = _terminal(Status.CANCELLED, reason="cancelled")
        retrying = factory.Trait(
            status=Status.RETRYING,
            attempts=1,
            reason="smtp_451",
            next_attempt_at=factory.LazyFunction(lambda: timezone.now() + timedelta(seconds=3)),
        )
        sending = factory.Trait(
            status=Status.SENDING,
            attempts=1,
            lease_token=factory.LazyFunction(uuid4),
            lease_expires_at=factory.LazyFunction(lambda: timezone.now() + timedelta(seconds=90)),
            started_at=factory.LazyFunction(timezone.now),
        )

    tenant = factory.SubFactory(TenantFactory)
    job_id = factory.LazyFunction(uuid4)
    user_id = factory.LazyFunction(uuid4)
    channel = "email"
    priority = Priority.NORMAL
    lane = factory.SubFactory(
        LaneFactory,
        tenant=factory.SelfAttribute("..tenant"),
        channel=factory.SelfAttribute("..channel"),
        priority=factory.SelfAttribute("..priority"),
    )
    content = factory.LazyFunction(lambda: {"title": "Hello", "body": "World"})
    body_hash = factory.LazyAttribute(lambda row: b"\x01" + hashlib.sha256(row.job_id.bytes).digest())
    entrance = "kafka:notifications.outbox/0@1"
    created_at = factory.LazyFunction(timezone.now)
    accepted_at = factory.LazyFunction(timezone.now)
    status = Status.PENDING
    next_attempt_at = factory.LazyFunction(timezone.now)


class DeliveryAttemptFactory(DjangoModelFactory[models.DeliveryAttempt]):
    class Meta:
        model = models.DeliveryAttempt

    delivery = factory.SubFactory(DeliveryFactory, retrying=True)
    number = 1
    started_at = factory.LazyFunction(timezone.now)
    finished_at = factory.LazyFunction(timezone.now)
    provider = "smtp"
    code = "smtp_451"
    message = "451 try again later"
    duration_ms = 25


class AudienceFactory(DjangoModelFactory[Audience]):
    """A list of `members`, ids of people, or with `rules` a segment."""

    class Meta:
        model = Audience

    tenant = factory.SubFactory(TenantFactory)
    name = factory.Sequence(lambda number: f"Audience {number}")
    rules = None
    kind = factory.LazyAttribute(lambda row: "segment" if row.rules else "list")
    created_by = "ana"

    @classmethod
    def _create(cls, model_class: type[Audience], *args: Any, **kwargs: Any) -> Audience:
        members = kwargs.pop("members", ())
        row = super()._create(model_class, *args, **kwargs)
        AudienceMember.objects.bulk_create(AudienceMember(audience=row, user_id=user_id) for user_id in members)
        return row
