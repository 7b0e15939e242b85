"""What would become of jobs, for `jobs/validate/`: the very code that stores and composes them, with nothing kept or sent.

Not here: the provider's own opinion, and SEND_ONLY_TO, which are only known when a sender starts.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from uuid import UUID

from django.db import connection
from django.utils import timezone

from deliveries import ingest
from deliveries.addresses import NOWHERE, Address
from deliveries.api.intake import Parsed, Result, judged
from deliveries.channels import Channel, Status
from deliveries.compose import compose
from deliveries.jobs import NotificationJob
from deliveries.lifecycle import ClaimedRow, Person
from deliveries.models import ApiKey, Contact, Device, WebhookEndpoint
from deliveries.reasons import describe
from deliveries.rendering import RenderError, TemplateBook
from deliveries.rendering.book import NEWEST
from deliveries.senders.base import SendError

NO_ID = UUID(int=0)


class PublishedWords(TemplateBook):
    """The book of templates, read on Django's connection: for code that runs on no event loop."""

    def read(self, tenant_id: int, codes: Iterable[str]) -> None:
        """Make `find` ready for these codes of one tenant. One query."""
        keys = [(tenant_id, code) for code in codes]
        with connection.cursor() as cursor:
            cursor.execute(
                NEWEST,
                {"tenants": [key[0] for key in keys], "codes": [key[1] for key in keys], "known": [], "revisions": []},
            )
            self._remember(keys, cursor.fetchall(), time.monotonic())


def forecast(parsed: Sequence[Parsed], *, key: ApiKey) -> list[Result]:
    """Say what would become of each job, in order. `delivery_status` is SENT where nothing stands in the way.

    Stores nothing. A number of queries that does not depend on the number of jobs.
    Raises: django.db.OperationalError when the database is away.
    """
    results = judged(parsed, key=key, ingest=ingest.judge)
    rows = list(zip(parsed, results, strict=True))
    jobs = [job for job, result in rows if isinstance(job, NotificationJob) and _would_be_tried(result)]
    people = _people({job.user_id for job in jobs}, key)
    addresses = _addresses(jobs, key)
    words = PublishedWords()
    words.read(key.tenant_id, {job.template_code for job in jobs if job.template_code})
    return [
        _composed(job, result, key, people, words, addresses)
        if isinstance(job, NotificationJob) and _would_be_tried(result)
        else _worded(result)
        for job, result in rows
    ]


def _would_be_tried(result: Result) -> bool:
    return result.status == "accepted" and result.delivery_status == Status.PENDING


def _people(user_ids: set[UUID], key: ApiKey) -> dict[UUID, Person]:
    """Return the person behind each id, known or not."""
    contacts = {contact.user_id: contact for contact in Contact.objects.filter(tenant=key.tenant, user_id__in=user_ids)}
    return {user_id: _person(contacts.get(user_id), key) for user_id in user_ids}


def _person(contact: Contact | None, key: ApiKey) -> Person:
    known = contact or Contact()
    return Person(
        name=known.name,
        email=known.email,
        phone=known.phone,
        locale=known.locale,
        time_zone=known.time_zone,
        attributes=known.attributes,
        is_known=contact is not None,
        tenant_slug=key.tenant.slug,
        tenant_name=key.tenant.name,
    )


def _addresses(jobs: Sequence[NotificationJob], key: ApiKey) -> dict[tuple[str, UUID], Address]:
    """Return where these people's pushes and webhooks go, without secrets. A query for each of these channels that is there."""
    wanted: dict[str, set[UUID]] = {}
    for job in jobs:
        wanted.setdefault(job.channel, set()).add(job.user_id)
    found: dict[tuple[str, UUID], Address] = {}
    if Channel.PUSH in wanted:
        people = Device.objects.filter(tenant=key.tenant, user_id__in=wanted[Channel.PUSH]).values_list(
            "user_id", flat=True
        )
        found |= {(Channel.PUSH, user_id): Address(to=str(user_id)) for user_id in people}
    if Channel.WEBHOOK in wanted:
        endpoints = WebhookEndpoint.objects.filter(
            tenant=key.tenant, user_id__in=wanted[Channel.WEBHOOK], disabled_at=None
        )
        found |= {
            (Channel.WEBHOOK, user_id): Address(to=url) for user_id, url in endpoints.values_list("user_id", "url")
        }
    return found


def _composed(
    job: NotificationJob,
    result: Result,
    key: ApiKey,
    people: dict[UUID, Person],
    words: TemplateBook,
    addresses: dict[tuple[str, UUID], Address],
) -> Result:
    try:
        compose(_row(job, key), people[job.user_id], words, addresses.get((job.channel, job.user_id), NOWHERE))
    except (RenderError, SendError) as error:
        return replace(result, delivery_status=Status.FAILED.value, reason=error.code, message=error.message)
    return replace(result, delivery_status=Status.SENT.value, message="Nothing stands in the way of sending it.")


def _worded(result: Result) -> Result:
    """Give a reason without words its words."""
    if result.message or not result.reason:
        return result
    return replace(result, message=describe(result.reason).sentence)


def _row(job: NotificationJob, key: ApiKey) -> ClaimedRow:
    now = timezone.now()
    return ClaimedRow(
        id=0,
        tenant_id=key.tenant_id,
        job_id=job.job_id,
        user_id=job.user_id,
        channel=job.channel,
        priority=job.priority,
        template_code=job.template_code,
        locale=job.locale,
        content=job.content,
        data=job.data,
        attempts=0,
        is_test=False,
        accepted_at=now,
        due_at=now,
        lost_leases=0,
        refused_by="",
        expires_at=job.expires_at,
        lease_token=NO_ID,
    )
