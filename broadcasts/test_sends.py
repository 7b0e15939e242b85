"""Sending somebody a test of a broadcast, as it stands: a delivery of its own, with the words rendered as its preview shows them."""

from __future__ import annotations

from django.db import transaction

from broadcasts.actor import Actor
from broadcasts.events import event_record
from broadcasts.message import words_of, words_preview
from broadcasts.models import Broadcast
from deliveries import ingest
from deliveries.models import Contact
from deliveries.test_sends import Target, hand_in_test


class NotTestable(Exception):
    """No test can be made of it. The message says why."""


def broadcast_test_send(
    *,
    broadcast: Broadcast,
    actor: Actor,
    channel: str,
    target: Target,
    reader: Contact | None = None,
    entrance: str,
    is_test_key: bool = False,
) -> ingest.Verdict:
    """Send one test and note it in the history. Not idempotent: one call is one message. In any state; nobody else gets anything.

    `reader`: the contact as whom it is rendered, None for a made-up person. `entrance`: where the job came in. A verdict whose status is
    not PENDING says why nothing goes out. Raises: NotTestable; broadcasts.message.NoWords.
    """
    if words_of(broadcast).hides_personal_data and reader is not None:
        raise NotTestable("Its template hides personal data: send its tests with sample values, to an address.")
    made = words_preview(broadcast, contact=reader)
    if made.channels is None:
        raise NotTestable(" ".join(problem.message for problem in made.problems))
    if problem := getattr(made.channels, channel).problem:
        raise NotTestable(problem)
    with transaction.atomic():
        verdict = hand_in_test(
            tenant=broadcast.tenant,
            about=f"{broadcast.source} {broadcast.name}",
            content=made.content,
            channel=channel,
            target=target,
            entrance=entrance,
            is_test_key=is_test_key or broadcast.is_test,
        )
        event_record(broadcast=broadcast, actor=actor, action="test", after={"channel": channel, "to": target.words})
    return verdict
