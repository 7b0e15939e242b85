"""Steering a broadcast that is on its way, beyond its state: its speed, who is missing, what failed. Through lanes and dead letters."""

from __future__ import annotations

from contextlib import suppress

from django.db import transaction

from broadcasts.actor import Actor
from broadcasts.approval import BAND
from broadcasts.changes import NotReady, WrongState, broadcast_reopen, lanes_of, needs_approval
from broadcasts.counting import count_and_keep, row_range
from broadcasts.events import event_record
from broadcasts.fan_out import missing
from broadcasts.models import Broadcast
from broadcasts.states import ENDED, State
from deliveries.channels import Channel, Priority
from deliveries.dead_letters import CannotRetryError, GroupKey, Retried, has_open, retry
from deliveries.lifecycle import lane_cancel, lane_set_pace, lanes_open, lanes_share_pace
from deliveries.models import Lane
from deliveries.recall import Recalled, inbox_recall


@transaction.atomic
def broadcast_set_speed(*, broadcast: Broadcast, actor: Actor, pace_per_minute: int | None) -> Broadcast:
    """Set how many messages a minute go out, from the next claim on; None: as fast as the channels go. Nothing bursts.

    Raises: WrongState once it is over; ValueError for a speed below 1.
    """
    if pace_per_minute is not None and pace_per_minute < 1:
        raise ValueError("The speed must be at least 1 a minute. To stop it, pause it.")
    locked = Broadcast.objects.select_for_update(of=("self",)).select_related("tenant").get(pk=broadcast.pk)
    if locked.state in ENDED:
        raise WrongState(locked, "set_the_speed_of")
    before, locked.pace_per_minute = locked.pace_per_minute, pace_per_minute
    locked.save(update_fields=["pace_per_minute", "updated_at"])
    lanes_share_pace(lane_ids=lanes_of(locked), pace_per_minute=pace_per_minute)
    event_record(
        broadcast=locked,
        actor=actor,
        action="speed",
        before={"pace_per_minute": before},
        after={"pace_per_minute": pace_per_minute},
    )
    return locked


def broadcast_missing(*, broadcast: Broadcast) -> int:
    """Return how many of the audience would get it and have neither a row nor a reason; 0 for one that is not completed. One statement."""
    return missing(broadcast) if broadcast.state == State.COMPLETED else 0


def broadcast_send_missing(*, broadcast: Broadcast, actor: Actor) -> int:
    """Let those of the audience get it who have neither a row nor a reason; return how many. 0 changes nothing.

    Nobody gets it twice: their ids are those that they would have had. Raises: WrongState unless it is completed, NotReady for
    many more than were approved.
    """
    if broadcast.state != State.COMPLETED:
        raise WrongState(broadcast, "send_the_rest_of")
    count = missing(broadcast)
    _require_few(broadcast, count)
    if count:
        broadcast_reopen(
            broadcast=broadcast, actor=actor, note=f"For {count:,} who were missing", again_from_start=True
        )
    return count


def _require_few(broadcast: Broadcast, count: int) -> None:
    """Refuse to send to many more than were approved. Raises: NotReady."""
    approved = broadcast.approved_size or 0
    is_many = count > approved * BAND if broadcast.approved_by else needs_approval(approved + count)
    if is_many:
        told = f"{count:,} people are missing, and it was sent as one for {approved:,}. Duplicate it for them, and have that approved."
        raise NotReady([told])


def broadcast_retry_failed(
    *, broadcast: Broadcast, actor: Actor, reason: str, channel: str, pace_per_minute: int | None = None
) -> Retried:
    """Send again what failed for one reason on one channel: nobody got those. Pressed twice it finds nothing the second time.

    Within the broadcast's own speed; with `pace_per_minute` at that, beside it, until the speed is set again. A completed one is being
    sent again until they are over, so it can be paused, cancelled and watched; pausing or cancelling reaches them from the first row on.
    Raises: WrongState unless it is being sent or completed; deliveries.dead_letters.CannotRetryError, also once it was recalled.
    """
    group = GroupKey(reason=reason, channel=channel, template_code=broadcast.source, tenant_ids=(broadcast.tenant_id,))
    _open_retry_lane(broadcast, group, pace_per_minute)
    retried = retry(group=group, by=actor.name)
    event_record(
        broadcast=broadcast,
        actor=actor,
        action="retry_failed",
        after={
            "reason": reason,
            "channel": channel,
            "moved": retried.moved,
            "too_late": retried.too_late,
            "stopped": retried.stopped,
        },
    )
    if retried.moved:
        with suppress(WrongState):  # it is not completed, so it can be steered as it is
            note = f"{retried.moved:,} that failed are tried again"
            broadcast_reopen(broadcast=broadcast, actor=actor, note=note, again_from_start=False)
    count_and_keep(broadcast)
    return retried


@transaction.atomic
def _open_retry_lane(broadcast: Broadcast, group: GroupKey, pace_per_minute: int | None) -> None:
    """Make the lane before any row is in it, in one order with pause and cancel, which steer the lanes that they find."""
    locked = Broadcast.objects.select_for_update(of=("self",)).select_related("tenant").get(pk=broadcast.pk)
    if locked.state not in (State.SENDING, State.COMPLETED):
        raise WrongState(locked, "retry")
    if Lane.objects.filter(id__in=lanes_of(locked, channel=group.channel), cancelled_at__isnull=False).exists():
        raise CannotRetryError(
            "What waits there was cancelled or removed from inboxes, so nothing more of it goes there."
        )
    if not has_open(group=group):
        return
    opened = lanes_open(
        tenant_id=locked.tenant_id,
        source=group.lane_source,
        priority=Priority(locked.priority),
        paces={group.channel: pace_per_minute},
        bucket_id=min(lanes_of(locked)),
    )
    if pace_per_minute is not None:
        lane_set_pace(lane_ids=list(opened.values()), pace_per_minute=pace_per_minute)


def broadcast_go_on(*, broadcast: Broadcast, actor: Actor) -> None:
    """Send it to the rest without waiting for the small group's time to be over. Raises: WrongState unless it is being looked at."""
    looked_at = Broadcast.objects.filter(
        pk=broadcast.pk, state=State.SENDING, is_group_pass=True, group_ends_at__isnull=False
    )
    with transaction.atomic():
        if not looked_at.update(is_group_pass=False, group_ends_at=None, cursor=0, prepared_at=None):
            broadcast.refresh_from_db()
            raise WrongState(broadcast, "go_on_with")
        event_record(broadcast=broadcast, actor=actor, action="group_passed", note="Without waiting any longer.")


def broadcast_recall(*, broadcast: Broadcast, actor: Actor) -> Recalled:
    """Take it out of people's inboxes, in open tabs too, and let nothing more of it get there. What went elsewhere stays out.

    Idempotent, and repeating it goes on where a call died: first its lanes to the inboxes are cancelled, then the rows follow in chunks.
    Raises: WrongState before it began; TimeoutError as `inbox_recall`.
    """
    if broadcast.stamp_ms is None:
        raise WrongState(broadcast, "remove_from_inboxes")
    with transaction.atomic():
        now = Broadcast.objects.select_for_update(of=("self",), no_key=True).get(pk=broadcast.pk)
        if now.state == State.SENDING and now.pinned_audience is None:
            raise WrongState(now, "remove_from_inboxes")  # its lanes are not open yet
        lane_cancel(lane_ids=lanes_of(broadcast, channel=Channel.WS))
        event_record(broadcast=broadcast, actor=actor, action="recall")
    rows = row_range(broadcast)
    recalled = inbox_recall(tenant_id=rows["tenant"], first=rows["first"], last=rows["last"])
    event_record(broadcast=broadcast, actor=actor, action="recalled", after=recalled._asdict())
    return recalled
