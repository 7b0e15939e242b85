"""Outcome: record what a provider reports of messages that it took, beside the status, which no report ever changes.

An outcome moves forward only, so that reports may be repeated and come in any order:

    (nothing) → bounced → delivered → seen → acknowledged → complained

That a text was delivered is certain where a phone confirmed it, so a failure that comes after is ignored, and a delivery that comes after a
failure counts. E-mail is the exception: a server takes a mail and sends it back hours later, so there `bounced` stands after `delivered`.
Every step is kept in the row's `details` as one of its `reports`, with its cause and its time: the provider's, if that can be.

Reports that an address takes no more put it on the suppression list, once for each row and reason: staff who take it off again are not
overruled by a report that is repeated. The address is the row's own (its contact's while it is being handed over), never the report's.

A row takes reports while a provider may have it: SENDING, SENT, FAILED as `outcome_unknown`, and in any status after an ambiguous attempt.
It keeps its status and gains the outcome: then we know. Where it arrived, its dead letter is dismissed, so that no retry makes a copy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import orjson
from django.db import connection

from deliveries.callbacks.base import EventKind, ProviderEvent
from deliveries.channels import Channel, Outcome

OUTCOMES: Final = {
    EventKind.DELIVERED: Outcome.DELIVERED,
    EventKind.BOUNCED: Outcome.BOUNCED,
    EventKind.FAILED: Outcome.BOUNCED,
    EventKind.COMPLAINED: Outcome.COMPLAINED,
    EventKind.OPENED: Outcome.SEEN,
    EventKind.UNSUBSCRIBED: Outcome.UNKNOWN,
}
#: What puts the address of an e-mail on the suppression list. A text that failed says nothing certain of its number.
SUPPRESSES: Final = {
    EventKind.BOUNCED: "hard_bounce",
    EventKind.COMPLAINED: "complaint",
    EventKind.UNSUBSCRIBED: "unsubscribed",
}
_LATER: Final = (Outcome.SEEN, Outcome.ACKNOWLEDGED, Outcome.COMPLAINED)
FORWARD: Final = (Outcome.UNKNOWN, Outcome.BOUNCED, Outcome.DELIVERED, *_LATER)
FORWARD_BY_MAIL: Final = (Outcome.UNKNOWN, Outcome.DELIVERED, Outcome.BOUNCED, *_LATER)

# By the job's id a row is found before its receipt is stored; a receipt that is stored must be the same. Rows are locked before their
# outcomes are judged, in the order of their ids, so that of two reports at once neither is lost and no two wait for each other. Whether a
# provider may have it is read as it was before that wait: by then its status may be new, while its attempt is not seen yet.
# The attempts are a scalar sub-select: an EXISTS the planner may hash, and then it reads all of them.
RECORD = """
WITH e AS MATERIALIZED (
    SELECT *, array_position(%(forward)s::text[], outcome) AS step
    FROM json_to_recordset(%(events)s::json) AS e (number int, outcome text, message_id text, job_id uuid, at timestamptz, code text,
        message text, suppresses text)
), found AS MATERIALIZED (
    SELECT e.*, d.* FROM e CROSS JOIN LATERAL (
        SELECT id, status, reason FROM notification_delivery
        WHERE tenant_id = %(tenant_id)s AND job_id = e.job_id AND channel = %(channel)s
            AND (provider_message_id = '' OR provider_message_id = e.message_id)
        UNION
        SELECT id, status, reason FROM notification_delivery
        WHERE tenant_id = %(tenant_id)s AND channel = %(channel)s AND provider = %(provider)s
            AND provider_message_id = e.message_id AND provider_message_id <> '' AND provider_message_id NOT LIKE '<%%') d
), furthest AS MATERIALIZED (
    SELECT DISTINCT ON (id) *, array_agg(suppresses) OVER (PARTITION BY id) AS suppressions FROM found ORDER BY id, step DESC, number
), taken AS MATERIALIZED (
    SELECT f.*, array_position(%(forward)s::text[], d.outcome::text) < f.step AS is_further,
        ARRAY(SELECT DISTINCT why FROM unnest(f.suppressions) why
            WHERE why IS NOT NULL AND NOT coalesce(d.details -> 'suppressed' ? why, false) ORDER BY why) AS suppresses_for
    FROM furthest f CROSS JOIN LATERAL (SELECT outcome, details FROM notification_delivery WHERE id = f.id FOR NO KEY UPDATE) d
    WHERE f.status IN ('SENDING', 'SENT') OR f.status = 'FAILED' AND f.reason = 'outcome_unknown'
        OR coalesce((SELECT true FROM deliveries_deliveryattempt WHERE delivery_id = f.id AND is_ambiguous LIMIT 1), false)
), done AS (
    UPDATE notification_delivery d SET outcome = CASE WHEN t.is_further THEN t.outcome ELSE d.outcome END,
        details = coalesce(d.details, '{}')
            || CASE WHEN t.suppresses_for <> '{}' THEN jsonb_build_object('suppressed',
                coalesce(d.details -> 'suppressed', '[]') || to_jsonb(t.suppresses_for)) ELSE '{}' END
            || CASE WHEN t.is_further THEN jsonb_build_object('reports', coalesce(d.details -> 'reports', '[]') || jsonb_build_object(
                'outcome', t.outcome, 'at', greatest(least(t.at, statement_timestamp()), d.accepted_at, d.started_at), 'code', t.code,
                'message', t.message)) ELSE '{}' END
    FROM taken t
    WHERE d.id = t.id AND (t.is_further OR t.suppresses_for <> '{}')
    RETURNING d.id, d.outcome, d.job_id, d.user_id, d.channel, d.address, t.is_further, t.suppresses_for
), suppressed AS (
    INSERT INTO deliveries_suppression (tenant_id, channel, address, reason, note, job_id, created_at)
    SELECT DISTINCT ON (went_to) %(tenant_id)s, channel, went_to, suppresses_for[1], '', job_id, statement_timestamp()
    FROM done CROSS JOIN LATERAL (SELECT lower(btrim(coalesce(nullif(done.address, ''), (SELECT c.email FROM deliveries_contact c
        WHERE c.tenant_id = %(tenant_id)s AND c.user_id = done.user_id), ''))) AS went_to OFFSET 0) a
    WHERE suppresses_for <> '{}' AND went_to <> '' ORDER BY went_to, id
    ON CONFLICT (tenant_id, channel, address) DO NOTHING
), settled AS (
    UPDATE deliveries_deadletter SET state = 'dismissed', settled_by = %(provider)s, settled_at = statement_timestamp(),
        note = 'The provider reported that it arrived.'
    WHERE state = 'open' AND delivery_id IN (SELECT id FROM done WHERE is_further AND outcome IN ('delivered', 'seen', 'acknowledged'))
), lost AS (
    SELECT job_id FROM e WHERE number NOT IN (SELECT number FROM found)
)
SELECT (SELECT count(*) FROM done WHERE is_further), (SELECT count(*) FROM lost),
    %(channel)s <> 'email' AND EXISTS (SELECT FROM lost WHERE job_id IS NULL) AND EXISTS (
    SELECT FROM notification_delivery
    WHERE lease_expires_at IS NOT NULL AND status = 'SENDING' AND tenant_id = %(tenant_id)s AND channel = %(channel)s)
"""


@dataclass(frozen=True, slots=True)
class Recorded:
    """What came of reports. `changed`: rows with a new outcome. `unknown`: reports of messages that no row knows.

    `may_come`: one of those names no job, and a message is just being handed over, so that its row may know it in a moment. Never for
    e-mail: each of ours names its job, so what names none is somebody else's.
    """

    changed: int = 0
    unknown: int = 0
    may_come: bool = False


def record_outcomes(*, tenant_id: int, channel: str, provider: str, events: Sequence[ProviderEvent]) -> Recorded:
    """Record what a provider reports, in one statement; of several reports on one row the furthest. Idempotent.

    A row is found by its job's id where the event has a reference, else by (tenant, channel, provider's name, its message id). Texts and
    ids must be as PostgreSQL stores them (no U+0000). The caller has checked that the provider says it.
    """
    if not events:
        return Recorded()
    forward = FORWARD_BY_MAIL if channel == Channel.EMAIL else FORWARD
    rows = [
        {
            "number": number,
            "outcome": OUTCOMES[event.kind],
            "message_id": event.provider_message_id,
            "job_id": _job_id(event.reference),
            "at": event.at,
            "code": event.code,
            "message": event.message,
            "suppresses": SUPPRESSES.get(event.kind) if channel == Channel.EMAIL else None,
        }
        for number, event in enumerate(events)
    ]
    with connection.cursor() as cursor:
        cursor.execute(
            RECORD,
            {
                "tenant_id": tenant_id,
                "channel": channel,
                "provider": provider,
                "forward": list(map(str, forward)),
                "events": orjson.dumps(rows).decode(),
            },
        )
        return Recorded(*cursor.fetchone())


def _job_id(reference: str) -> UUID | None:
    """Return the job that a reference names; None for none, or for what is none of ours."""
    try:
        return UUID(reference) if reference else None
    except ValueError:
        return None
