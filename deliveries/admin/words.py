"""The words staff read for the contract's: statuses, outcomes, channels, workers. The only place that translates them.

Pure: a row in, text out. `Chip.tone` is one of ok, busy, warn, bad, quiet: the stylesheet gives each its colours.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.utils import timezone
from django.utils.timesince import timesince

from deliveries.channels import WAITING, Channel, Status
from deliveries.models import Delivery, Hold, WorkerHeartbeat
from deliveries.reasons import MAY_HAVE_BEEN_SENT, describe

CHANNELS: Final = {
    Channel.EMAIL: "E-mail",
    Channel.WS: "In-app",
    Channel.SMS: "SMS",
    Channel.PUSH: "Push",
    Channel.WEBHOOK: "Webhook",
}
CHANNEL_ICONS: Final = {
    Channel.EMAIL: "mail",
    Channel.WS: "inbox",
    Channel.SMS: "sms",
    Channel.PUSH: "phone_iphone",
    Channel.WEBHOOK: "webhook",
}
STATUSES: Final = {
    Status.PENDING: ("Waiting", "quiet"),
    Status.SENDING: ("In progress", "busy"),
    Status.RETRYING: ("Trying again", "warn"),
    Status.SENT: ("Handed to provider", "ok"),
    Status.FAILED: ("Failed", "bad"),
    Status.EXPIRED: ("Too late", "quiet"),
    Status.SUPPRESSED: ("Not sent", "quiet"),
    Status.CANCELLED: ("Cancelled", "quiet"),
}
OUTCOMES: Final = {
    "delivered": ("Delivered", "ok"),
    "bounced": ("Bounced", "bad"),
    "complained": ("Complained", "bad"),
    "seen": ("Seen", "ok"),
    "acknowledged": ("Acknowledged", "ok"),
}
NEXT: Final = {
    "delivered": "Nothing more to do: it arrived.",
    "bounced": "It did not arrive; the timeline says why. Correct the address, then send it again.",
    "complained": "The person called it spam. Send them no more of its kind.",
    "seen": "Nothing more to do: the person has seen it.",
}
PRIORITIES: Final = {0: "High", 1: "Normal", 2: "Low"}
FORCED: Final = {
    "": "Let it decide",
    "open": "Open: do not use it",
    "closed": "Closed: use it whatever happens",
}
BREAKERS: Final = {
    "closed": ("Closed: in use", "ok"),
    "half-open": ("Half-open: one message tries it", "warn"),
    "open": ("Open: left alone", "bad"),
    "unknown": ("Unknown: Redis is away", "quiet"),
}
FORCED_BREAKERS: Final = {
    "closed": ("Forced closed: always used", "warn"),
    "open": ("Forced open: not used", "bad"),
}
SERVICES: Final = {
    "sender": "Sender",
    "consumer": "Consumer",
    "periodic": "Scheduled tasks",
    "web": "Web server",
}
WORKER_STATES: Final = {
    WorkerHeartbeat.State.RUNNING: ("Running", "ok"),
    WorkerHeartbeat.State.STUCK: ("Stuck: alive, but its work does not move", "bad"),
    WorkerHeartbeat.State.STOPPING: ("Stopping", "quiet"),
    WorkerHeartbeat.State.STOPPED: ("Stopped", "quiet"),
}


@dataclass(frozen=True, slots=True)
class Chip:
    """A word with a tone."""

    text: str
    tone: str


def channel(name: str) -> str:
    """Name a channel; one that nobody declared keeps its own name."""
    return CHANNELS.get(name, name)  # type: ignore[call-overload, no-any-return]  # a plain str equals its StrEnum member


def channel_icon(name: str) -> str:
    """Name the Material symbol of a channel."""
    return CHANNEL_ICONS.get(name, "send")  # type: ignore[call-overload, no-any-return]


def service(service_type: str) -> str:
    """Name a kind of process."""
    return SERVICES.get(service_type, service_type.replace("_", " ").replace(".", " ").capitalize())


def status(delivery: Delivery) -> Chip:
    """Say how a delivery stands."""
    text, tone = STATUSES[Status(delivery.status)]
    match delivery.status:
        case Status.SENT if delivery.channel == Channel.WS:
            text = "Removed from inbox" if delivery.recalled_at else "In inbox"
        case Status.FAILED if delivery.reason in MAY_HAVE_BEEN_SENT:
            text = "May have been sent"
        case Status.SUPPRESSED:
            text = f"Not sent: {describe(delivery.reason).title.lower()}"
    return Chip(text, tone)


def outcome(delivery: Delivery) -> Chip | None:
    """Say what became of it after it was sent, when somebody told us."""
    if delivery.outcome in OUTCOMES:
        return Chip(*OUTCOMES[delivery.outcome])
    if delivery.acknowledged_at is not None:
        return Chip(*OUTCOMES["acknowledged"])
    return Chip(*OUTCOMES["seen"]) if delivery.read_at is not None else None


def message(delivery: Delivery) -> str:
    """Name what was to be said: the template's code, or the title that came with the job."""
    title = str((delivery.content or {}).get("title") or "")
    return delivery.template_code or title or "Without a template"


def held(hold: Hold) -> str:
    """Name what a hold keeps waiting: `E-mail`, `Template welcome on SMS of Acme`, `Everything of Acme`."""
    parts = [
        f"template {hold.template_code}" if hold.template_code else "",
        f"category {hold.category}" if hold.category else "",
    ]
    text = " in ".join(filter(None, parts))
    if hold.channel:
        text = f"{text} on {channel(hold.channel)}" if text else channel(hold.channel)
    if hold.tenant is not None:
        text = f"{text or 'everything'} of {hold.tenant.name}"
    return text[:1].upper() + text[1:]


def whats_next(delivery: Delivery, *, hold: Hold | None = None, now: datetime | None = None) -> str:
    """Say what happens next with a delivery, or why nothing does. Needs `delivery.lane` when it waits, and what it is on hold for."""
    now = now or timezone.now()
    if delivery.status in WAITING:
        return _waits_for(delivery, hold, now)
    match delivery.status:
        case Status.SENDING:
            return f"Attempt {delivery.attempts} is under way."
        case Status.SENT if delivery.channel == Channel.WS:
            return "It is in the person's inbox." if delivery.recalled_at is None else "It was taken out of the inbox."
        case Status.SENT if delivery.outcome in NEXT:
            return NEXT[delivery.outcome]
        case Status.SENT:
            return "Nothing more to do here: the provider has it."
        case Status.FAILED if delivery.outcome in NEXT:  # outcome_unknown, and then somebody told us
            return NEXT[delivery.outcome]
    return describe(delivery.reason).fix if delivery.reason else "Nothing happens by itself."


def _waits_for(delivery: Delivery, hold: Hold | None, now: datetime) -> str:
    """Say until when and why a delivery waits."""
    lane, due = delivery.lane, delivery.next_attempt_at
    if lane is not None and lane.cancelled_at is not None:
        return "It is being cancelled."
    if hold is not None:
        return f"On hold since {moment(hold.held_at)} by {hold.held_by}: {hold.reason} ({held(hold)})"
    if lane is not None and lane.paused_at is not None:
        why = f": {lane.pause_reason}" if lane.pause_reason else ""
        return f"On hold since {moment(lane.paused_at)} by {lane.paused_by or 'staff'}{why}."
    if lane is not None and lane.not_before is not None and lane.not_before > now:
        return f"Held back until {moment(lane.not_before)}."
    if delivery.lease_expires_at is not None and delivery.lease_expires_at > now:
        return "A sender has it and starts it now."
    why = f" after: {describe(delivery.reason).title}" if delivery.reason else ""
    if due is not None and due > now:
        what = f"Attempt {delivery.attempts + 1}" if delivery.attempts else "It is sent"
        return f"{what} at {moment(due)} (in {duration(due - now)}){why}."
    if lane is not None and lane.pace_per_minute is not None:
        return f"Waits its turn: its group goes out at {lane.pace_per_minute:,} a minute{why}."
    return f"Due; the next free sender takes it{why}."


def worker_state(worker: WorkerHeartbeat, *, down_after: timedelta, now: datetime | None = None) -> Chip:
    """Say how a process is. `down_after`: silent for longer than this means gone, whatever it said last."""
    now = now or timezone.now()
    text, tone = WORKER_STATES[WorkerHeartbeat.State(worker.state)]
    if worker.state != WorkerHeartbeat.State.STOPPED and now - worker.beat_at > down_after:
        return Chip(f"Gone: no sign for {duration(now - worker.beat_at)}", "bad")
    return Chip(text, tone)


def breaker(state: str, *, is_forced: bool) -> Chip:
    """Say how a provider's breaker stands (`deliveries.providers.states`)."""
    return Chip(*(FORCED_BREAKERS if is_forced else BREAKERS)[state])


def behind(name: str, length: timedelta, reason: str) -> str:
    """Say how far a channel is behind, and by which reason code most of what is late waits: `E-mail is 12 minutes behind: …`."""
    title = describe(reason).title if reason else ""
    return f"{channel(name)} is {duration(length)} behind" + (f": {title[0].lower()}{title[1:]}" if title else "")


def duration(length: timedelta) -> str:
    """Say a length of time in its largest unit: `12 minutes`, `3 seconds`."""
    seconds = max(0, round(length.total_seconds()))
    if seconds < 60:
        return f"{seconds} second{'' if seconds == 1 else 's'}"
    now = timezone.now()
    return timesince(now - timedelta(seconds=seconds), now, depth=1).replace("\xa0", " ")


def moment(at: datetime) -> str:
    """Say a moment in local time: the time alone today, otherwise with the date."""
    local = timezone.localtime(at)
    today = timezone.localdate()
    if local.date() == today:
        return f"{local:%H:%M:%S}"
    return f"{local:%-d %b %H:%M}" if local.year == today.year else f"{local:%-d %b %Y %H:%M}"


def count(number: int, noun: str, plural: str = "") -> str:
    """Say a number with its noun: `1 delivery`, `4,112 deliveries`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
