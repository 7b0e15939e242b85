"""Sending somebody a test of words that may not even be saved: a delivery like any other, with the words already rendered in it.

It goes the whole real path (claim, start, `SEND_ONLY_TO`, provider), unlike jobs of a test key, which no provider gets. What makes it a
test: "[Test]" before its subject, an unsubscribe link that does nothing, `meta.event_type`, and a log entry of who sent it to whom.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

from django.db import transaction
from django.utils import timezone

from deliveries import hints, ingest
from deliveries.audit import record
from deliveries.channels import Channel, Priority
from deliveries.jobs import NotificationJob
from deliveries.models import Contact, Template, Tenant
from deliveries.phones import BadPhoneNumber, e164
from deliveries.senders.base import Content, SendError
from deliveries.senders.mime import envelope_address

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser

EVENT_TYPE: Final = "template_test"
MARK: Final = "[Test] "
#: Channels whose message goes to an address that may be anybody's; on the others it goes to a contact.
TO_ANY_ADDRESS: Final = frozenset({Channel.EMAIL, Channel.SMS})
#: A test that cannot go out soon is of no use to anybody.
LIFE: Final = timedelta(hours=1)


class BadTestAddress(ValueError):
    """Nothing can be sent there. The message says why."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a test goes: an address, or (`address` empty) a contact's devices, endpoint or inbox."""

    user_id: UUID
    address: str = ""

    @property
    def words(self) -> str:
        """Name it in the log."""
        return self.address or str(self.user_id)


def target_address(*, tenant_id: int, channel: str, to: str) -> Target:
    """Return an address as a target. The same address is always the same person. Raises: BadTestAddress."""
    try:
        address = envelope_address(to.strip()) if channel == Channel.EMAIL else e164(to.strip())
    except (SendError, BadPhoneNumber) as error:
        raise BadTestAddress(getattr(error, "message", str(error))) from None
    return Target(uuid5(NAMESPACE_URL, f"test:{tenant_id}:{address.lower()}"), address)


def target_contact(contact: Contact) -> Target:
    """Return a contact as a target."""
    return Target(contact.user_id)


def template_test_send(
    *, template: Template, version: str, content: Content, channel: str, target: Target, by: AbstractBaseUser
) -> ingest.Verdict:
    """Hand in a test of rendered words, note who did it, and say what became of it. Not idempotent: one call is one message.

    One transaction, then a hint. A verdict whose status is not PENDING says why nothing goes out.
    Raises: django.db.OperationalError when the database is away.
    """
    with transaction.atomic():
        verdict = hand_in_test(
            tenant=template.tenant,
            about=f"{template.code} {version}",
            content=content,
            channel=channel,
            target=target,
            entrance=f"admin:{by.get_username()}",
        )
        record(staff_id=by.pk, rows=[template], message=f"Sent a test of {version} by {channel} to {target.words}.")
    return verdict


def hand_in_test(
    *,
    tenant: Tenant,
    about: str,
    content: Content,
    channel: str,
    target: Target,
    entrance: str,
    is_test_key: bool = False,
) -> ingest.Verdict:
    """Hand in a test of rendered words; the caller, whose transaction it joins, notes who did it. The hint comes after the commit.

    `about`: what is tested, for the delivery's page. `is_test_key`: it goes all the way but for the provider.
    """
    job = _job(tenant, about, content, channel, target)
    (verdict,) = ingest.ingest([ingest.Incoming(job, entrance, is_test=is_test_key)], entrance=ingest.api_entrance())
    transaction.on_commit(lambda: hints.hint([channel]))
    return verdict


def _job(tenant: Tenant, about: str, content: Content, channel: str, target: Target) -> NotificationJob:
    now = timezone.now()
    words = {
        "title": f"{MARK}{content.subject}",
        "body": f"{MARK}{content.text}" if channel == Channel.SMS else content.text,
        "html": content.html,
        "action_url": content.action_url,
        "preheader": content.preheader,
        "from_address": content.from_address,
        "reply_to": content.reply_to,
        "to": target.address,
    }
    return NotificationJob(
        job_id=uuid4(),
        user_id=target.user_id,
        channel=channel,
        template_code="",
        content={name: text for name, text in words.items() if text},
        locale="",
        data={},
        event_type=EVENT_TYPE,
        event_id=about[:100],
        campaign_id="",
        priority=Priority.HIGH,
        created_at=now,
        send_after=None,
        expires_at=now + LIFE,
        tenant=tenant.slug,
        category="",
    )
