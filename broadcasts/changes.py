"""The only writer of a broadcast's state. Each change is one conditional UPDATE with its event, in one transaction: one winner.

Who may do it is the caller's business (permissions of the admin and the API); whether it may be done now is decided here.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import Any, Final

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from broadcasts.actor import WORKER, Actor
from broadcasts.approvers import NOBODY_LEFT, has_approver, is_author
from broadcasts.events import event_record
from broadcasts.models import Broadcast
from broadcasts.review import Review
from broadcasts.states import PATHS, SENT, Change, State
from deliveries.lifecycle import lane_cancel, lane_pause, lane_resume
from deliveries.models import Lane


class WrongState(Exception):
    """The change is not possible in the state that the broadcast is in; nothing was changed."""

    def __init__(self, broadcast: Broadcast, change: str) -> None:
        super().__init__(f"It is {broadcast.state.replace('_', ' ')}, so one cannot {change.replace('_', ' ')} it.")
        self.state = broadcast.state


class NotReady(Exception):
    """Something keeps it from being sent. `problems`: what, each with what to do."""

    def __init__(self, problems: Collection[str]) -> None:
        super().__init__(" ".join(problems))
        self.problems = list(problems)


class OwnApproval(Exception):
    """Who asked for the approval, or wrote the broadcast, cannot give it."""


def broadcast_submit(*, broadcast: Broadcast, actor: Actor, review: Review) -> Broadcast:
    """Ask for approval of what was reviewed. Raises: NotReady, WrongState."""
    _refuse(review)
    return _change(broadcast, Change.SUBMIT, actor, submitted_by=actor.name[:150])


def broadcast_withdraw(*, broadcast: Broadcast, actor: Actor) -> Broadcast:
    """Take it back from approval, to a draft. Raises: WrongState."""
    return _change(broadcast, Change.WITHDRAW, actor, **_UNAPPROVED)


def broadcast_approve(*, broadcast: Broadcast, actor: Actor, review: Review) -> Broadcast:
    """Approve exactly what was reviewed: its hash and size are kept. Raises: NotReady, OwnApproval, WrongState."""
    if is_author(broadcast, actor):
        told = "You wrote on it or asked for its approval. Somebody else has to look at it."
        raise OwnApproval(told if has_approver(broadcast) else f"{told} {NOBODY_LEFT}")
    _refuse(review)
    values: dict[str, Any] = {"approved_hash": review.hash, "approved_size": review.checked.reached}
    return _change(broadcast, Change.APPROVE, actor, approved_by=actor.name[:150], approved_at=Now(), **values)


def broadcast_reject(*, broadcast: Broadcast, actor: Actor, note: str) -> Broadcast:
    """Send it back to its writer with a word why. Raises: WrongState."""
    return _change(broadcast, Change.REJECT, actor, note=note, **_UNAPPROVED)


def broadcast_send(
    *,
    broadcast: Broadcast,
    actor: Actor,
    review: Review,
    undo_seconds: float,
    typed_count: int | None = None,
    may_approve_alone: bool = False,
) -> tuple[Broadcast, bool]:
    """Let it go out, at once or at its `scheduled_at`; return it and whether this call did it. Idempotent.

    The planned time is that of the caller's `broadcast`, as it was reviewed; without one it starts when `undo_seconds` are over, so until
    then nothing has been made of it that would have to be taken back. An audience of BROADCAST_APPROVAL_FROM people or more needs an
    approval of exactly this; where nobody else could approve, `typed_count` must be the number of people instead.
    Raises: NotReady, WrongState.
    """
    if broadcast.state in SENT:
        return broadcast, False
    _refuse(review)
    _require_approval(broadcast, review, typed_count=typed_count, may_approve_alone=may_approve_alone)
    planned = broadcast.scheduled_at
    due = max(planned, timezone.now()) if planned else timezone.now() + timedelta(seconds=undo_seconds)
    try:
        # An approval stays what it was: it is compared with the audience once more when it begins.
        values: dict[str, Any] = {"scheduled_at": planned, "due_at": due, "sent_from": broadcast.state}
        if broadcast.state != State.APPROVED:
            values |= {"approved_hash": review.hash, "approved_size": review.checked.reached}
            if needs_approval(review.checked.reached):  # the typed count stood for a second person
                values |= {"approved_by": actor.name[:150], "approved_at": Now()}
        return _change(broadcast, Change.SCHEDULE, actor, seen=broadcast.state, **values), True
    except WrongState:
        broadcast.refresh_from_db()
        if broadcast.state in SENT:
            return broadcast, False
        raise


@transaction.atomic
def broadcast_hasten(*, broadcast: Broadcast, actor: Actor, undo_seconds: float) -> tuple[Broadcast, bool]:
    """Let what is scheduled for later go out now; return it and whether this call did it. Idempotent.

    Nothing changes for what is due by then anyway, or has begun.
    """
    locked = Broadcast.objects.select_for_update(of=("self",)).select_related("tenant").get(pk=broadcast.pk)
    due = timezone.now() + timedelta(seconds=undo_seconds)
    if locked.state != State.SCHEDULED or locked.due_at is None or locked.due_at <= due:
        return locked, False
    planned, locked.scheduled_at, locked.due_at = locked.due_at, None, due
    locked.save(update_fields=["scheduled_at", "due_at", "updated_at"])
    before, after = {"due_at": planned.isoformat()}, {"due_at": due.isoformat()}
    event_record(broadcast=locked, actor=actor, action="hasten", before=before, after=after)
    return locked, True


def broadcast_undo(*, broadcast: Broadcast, actor: Actor) -> Broadcast:
    """Take back what was sent or scheduled and has not begun: nobody got anything. Raises: WrongState once it began."""
    was = broadcast.sent_from or State.DRAFT
    back = State.APPROVED if was == State.APPROVED else State.DRAFT
    values: dict[str, Any] = {} if back == State.APPROVED else _UNAPPROVED
    return _change(broadcast, Change.UNDO, actor, to=back, due_at=None, sent_from="", **values)


def broadcast_start(*, broadcast: Broadcast) -> Broadcast:
    """Begin: for the worker, when it is due. Raises: WrongState when somebody else was first."""
    stamp = int(timezone.now().timestamp() * 1000)
    has_group = bool(broadcast.group_size or broadcast.group_percent)
    values: dict[str, Any] = {
        "started_at": Now(),
        "stamp_ms": stamp,
        "cursor": 0,
        "is_group_pass": has_group,
        "stop_reason": "",
    }
    return _change(broadcast, Change.START, WORKER, **values)


def broadcast_pause(*, broadcast: Broadcast, actor: Actor, reason: str = "") -> Broadcast:
    """Stop at the next claim: what waits stays waiting, what is on its way arrives. Raises: WrongState."""
    with transaction.atomic():
        paused = _change(broadcast, Change.PAUSE, actor, stop_reason=reason, note=reason)
        lane_pause(lane_ids=lanes_of(broadcast), by=actor.name, reason=reason or "The broadcast is paused")
    return paused


def broadcast_resume(*, broadcast: Broadcast, actor: Actor) -> Broadcast:
    """Go on where it stopped; nobody gets it twice, and nothing bursts. Raises: WrongState."""
    with transaction.atomic():
        now = Broadcast.objects.select_for_update(of=("self",), no_key=True).get(pk=broadcast.pk)
        # Who resumes after the worker stopped it for its small group has looked: the rest goes. A pause of somebody's keeps the hold.
        has_looked = now.group_ends_at is not None and now.state_by == WORKER.name
        values: dict[str, Any] = {"is_group_pass": False, "group_ends_at": None, "cursor": 0} if has_looked else {}
        if now.fanned_out_at is None:  # its audience is compared once more with what was approved
            values["prepared_at"] = None
        resumed = _change(broadcast, Change.RESUME, actor, stop_reason="", **values)
        lane_resume(lane_ids=lanes_of(broadcast))
    return resumed


def broadcast_cancel(*, broadcast: Broadcast, actor: Actor) -> Broadcast:
    """Send nothing more: the rest is cancelled, however much it is; what went out stays out. Raises: WrongState."""
    with transaction.atomic():
        cancelled = _change(broadcast, Change.CANCEL, actor, finished_at=Now(), due_at=None)
        lane_cancel(lane_ids=lanes_of(broadcast))
    return cancelled


def broadcast_fail(*, broadcast: Broadcast, reason: str) -> Broadcast:
    """Stop before anything was made of it, with the reason and what to do. For the worker. Raises: WrongState."""
    return _change(broadcast, Change.FAIL, WORKER, stop_reason=reason, finished_at=Now(), note=reason, due_at=None)


def broadcast_complete(*, broadcast: Broadcast) -> Broadcast:
    """Say that every row is over. For the worker. Raises: WrongState."""
    return _change(broadcast, Change.COMPLETE, WORKER, finished_at=Now())


def broadcast_reopen(*, broadcast: Broadcast, actor: Actor, note: str, again_from_start: bool) -> Broadcast:
    """Go on with a finished one: for those who are missing (`again_from_start`), or what is tried again. Raises: WrongState."""
    values: dict[str, Any] = {"finished_at": None, "stop_reason": ""}
    if again_from_start:
        values |= {"cursor": 0, "fanned_out_at": None, "last_contact_id": None, "prepared_at": None}
    return _change(broadcast, Change.REOPEN, actor, note=note, **values)


def broadcast_edit_again(*, broadcast: Broadcast, actor: Actor) -> Broadcast:
    """Make a draft of one that failed before anything was made of it. Raises: WrongState."""
    cleared: dict[str, Any] = {
        "started_at": None,
        "stamp_ms": None,
        "finished_at": None,
        "stop_reason": "",
        "due_at": None,
    }
    return _change(broadcast, Change.EDIT_AGAIN, actor, **cleared, **_UNAPPROVED)


def broadcast_unapprove(*, broadcast: Broadcast, actor: Actor) -> Broadcast:
    """Take an approval, or the request for one, away because of an edit. Does nothing to a draft. Raises: WrongState."""
    if broadcast.state == State.DRAFT:
        return broadcast
    return _change(broadcast, Change.WITHDRAW, actor, note="An edit took the approval away.", **_UNAPPROVED)


def lanes_of(broadcast: Broadcast, *, channel: str | None = None) -> list[int]:
    """Return the ids of its lanes, those of what is tried again too; `channel`: only of this one. None before it began."""
    lanes = Lane.objects.filter(tenant=broadcast.tenant_id).filter(
        # As `deliveries.dead_letters.GroupKey.lane_source` names the lane of a retry.
        Q(source=broadcast.source) | Q(source__startswith="retry:", source__endswith=f":{broadcast.source}")
    )
    return list((lanes if channel is None else lanes.filter(channel=channel)).values_list("id", flat=True))


def undo_seconds(*, by_api: bool = False) -> float:
    """Return how long what is sent now can be taken back."""
    return float(settings.BROADCAST_UNDO_SECONDS_API if by_api else settings.BROADCAST_UNDO_SECONDS)


def needs_approval(people: int) -> bool:
    """Say whether so many people need a second pair of eyes."""
    return people >= int(settings.BROADCAST_APPROVAL_FROM)


#: What an event tells beside the state.
_TOLD: Final = ("approved_hash", "approved_size")
_UNAPPROVED: Final[dict[str, Any]] = {
    "submitted_by": "", "approved_by": "", "approved_at": None, "approved_hash": "", "approved_size": None,
}  # fmt: skip


@transaction.atomic
def _change(
    broadcast: Broadcast,
    change: Change,
    actor: Actor,
    *,
    note: str = "",
    to: State | None = None,
    seen: str | None = None,
    **values: Any,
) -> Broadcast:
    """Move it, if it is where the change begins (and where the caller has `seen` it), and record that. Returns it as it is now.

    Raises: WrongState.
    """
    origins, target = PATHS[change]
    locked = (
        Broadcast.objects.select_for_update(of=("self",), no_key=True).select_related("tenant").get(pk=broadcast.pk)
    )
    if locked.state not in origins or (seen is not None and locked.state != seen):
        raise WrongState(locked, change)
    before = locked.state
    Broadcast.objects.filter(pk=locked.pk).update(
        state=to or target, state_at=Now(), state_by=actor.name[:150], updated_at=Now(), **values
    )
    event_record(
        broadcast=locked,
        actor=actor,
        action=change,
        before={"state": before},
        after={"state": str(to or target), **{name: values[name] for name in _TOLD if values.get(name)}},
        note=note,
    )
    locked.refresh_from_db()
    return locked


def _refuse(review: Review) -> None:
    if review.blockers:
        raise NotReady(review.blockers)


def _require_approval(
    broadcast: Broadcast, review: Review, *, typed_count: int | None, may_approve_alone: bool
) -> None:
    people = review.checked.reached
    if not needs_approval(people):
        return
    if broadcast.state == State.APPROVED:
        if broadcast.approved_hash != review.hash:
            raise NotReady(["The message or the audience has changed since the approval. Ask for it again."])
        if not review.is_in_band(broadcast.approved_size or 0):
            raise NotReady([
                f"It was approved for {broadcast.approved_size:,} people and would go to {people:,} now. Ask for approval again."
            ])  # fmt: skip
        return
    if not may_approve_alone and not has_approver(broadcast):
        raise NotReady([NOBODY_LEFT])
    if not may_approve_alone:
        raise NotReady([f"{people:,} people would get it, so somebody else has to approve it first. Ask for approval."])
    if typed_count != people:
        raise NotReady([f"Type the number of people who get it, {people}, to send it without a second pair of eyes."])
