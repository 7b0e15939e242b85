"""System checks: settings that cannot be right stop the start with one clear line each. No I/O."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from deliveries.channel_senders import KNOWN_SENDERS
from deliveries.channels import CHANNELS, Channel
from deliveries.senders.base import SendError
from deliveries.senders.mime import envelope_address
from deliveries.workers.stopping import WORKING_PART_OF_GRACE

TAG = "settings"
POSITIVE = (
    "OUTBOX_BATCH_SIZE", "KAFKA_SESSION_TIMEOUT_SECONDS", "KAFKA_OUTBOX_PARTITIONS", "KAFKA_SIMPLE_PARTITIONS", "RETENTION_DAYS",
    "MAX_ATTEMPTS", "MAX_SEND_DELAY_SECONDS", "SEND_DEADLINE_SECONDS", "CLAIM_BATCH_SIZE", "MAX_LOST_LEASES", "FLUSH_INTERVAL_SECONDS",
    "SWEEP_INTERVAL_SECONDS", "EMAIL_CONNECTIONS", "WS_MAX_CONNECTIONS", "WS_MAX_CONNECTIONS_PER_USER", "WS_QUEUE_SIZE",
    "WS_MAX_FRAME_BYTES", "WS_REPLAY_LIMIT", "WS_REREAD_SECONDS", "WS_IDLE_SECONDS", "HEARTBEAT_INTERVAL_SECONDS", "API_MAX_JOBS",
    "KAFKA_REPLICATION_FACTOR", "WEBHOOK_CONNECTIONS", "WEBHOOK_DISABLE_AFTER_DAYS", "NOTICE_OLDEST_DUE_SECONDS", "NOTICE_QUIET_SECONDS",
    "CONTACT_IMPORT_MAX_MB",
)  # fmt: skip
SHORTEST_KEY = 32
LOOPBACK = ("127.0.0.1", "localhost", "::1")
PORTS = ("EMAIL_PORT", "KAFKA_PORT")


@register(TAG)
def check_settings(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Return an error for each setting that cannot be right, with what to set instead."""
    checks = (_numbers, _delays, _time_limits, _senders, _email, _public_url, _notices, _secrets)
    found = [each for check in checks for each in check()]
    return [Error(message, hint=hint, id=f"deliveries.E{number:03}") for number, message, hint in found]


Found = Iterator[tuple[int, str, str]]


def not_positive(names: Iterable[str]) -> Found:
    """Yield what is wrong with those of the named settings that are no number above 0."""
    for name in names:
        value = getattr(settings, name)
        if not (value > 0 and math.isfinite(value)):
            yield (
                1,
                f"{name} is {value}; it must be above 0.",
                f"Set {name} to a positive number, or leave it out for its default.",
            )


def _numbers() -> Found:
    yield from not_positive(POSITIVE)
    for name in PORTS:
        value = getattr(settings, name)
        if not 0 < value < 65536:
            yield 1, f"{name} is {value}; a port is from 1 to 65535.", f"Set {name} to the server's port."
    if not 0 <= settings.HIGH_PRIORITY_SHARE < 1:
        yield (
            1,
            f"HIGH_PRIORITY_SHARE is {settings.HIGH_PRIORITY_SHARE}; it must be from 0 to below 1.",
            "Set it to 0.2.",
        )
    if settings.FLUSH_INTERVAL_SECONDS > 0.1:
        yield (
            1,
            f"FLUSH_INTERVAL_SECONDS is {settings.FLUSH_INTERVAL_SECONDS}; outcomes may wait 0.1 s at most.",
            "Set it to 0.1 or less.",
        )


def _delays() -> Found:
    given: list[tuple[str, str, Iterable[Any]]] = [("RETRY_DELAYS_SECONDS", "", settings.RETRY_DELAYS_SECONDS)]
    for channel, delays in settings.RETRY_DELAYS_SECONDS_BY_CHANNEL.items():
        given.append(("RETRY_DELAYS_SECONDS_BY_CHANNEL", channel, delays.split(";")))
    for name, channel, delays in given:
        values = list(delays)
        if not values or not all(_is_delay(value) for value in values):
            where = f" for {channel}" if channel else ""
            yield 2, f"{name} is {values}{where}; each delay must be a number of seconds, 0 or more.", "Such as 1,3,10."
    for name in ("RETRY_DELAYS_SECONDS_BY_CHANNEL", "MAX_ATTEMPTS_BY_CHANNEL", "CHANNEL_SENDERS"):
        for channel in getattr(settings, name):
            if channel not in CHANNELS:
                yield 3, f"{name} names the channel {channel!r}, which there is not.", f"Use {', '.join(Channel)}."
    for channel, attempts in settings.MAX_ATTEMPTS_BY_CHANNEL.items():
        if not (str(attempts).isdigit() and int(attempts) > 0):
            yield (
                1,
                f"MAX_ATTEMPTS_BY_CHANNEL is {attempts!r} for {channel}; it must be a whole number above 0.",
                "Such as sms=1.",
            )


def _is_delay(value: Any) -> bool:
    try:
        return 0 <= float(value) < math.inf
    except ValueError:
        return False


def _time_limits() -> Found:
    deadline, grace, lease = settings.SEND_DEADLINE_SECONDS, settings.SHUTDOWN_GRACE_SECONDS, settings.LEASE_SECONDS
    if not deadline < grace * WORKING_PART_OF_GRACE or not grace < lease:
        yield (
            4,
            f"SEND_DEADLINE_SECONDS ({deadline:g}) < {WORKING_PART_OF_GRACE:g} of SHUTDOWN_GRACE_SECONDS ({grace:g}), and that"
            f" < LEASE_SECONDS ({lease:g}), does not hold.",
            "A send must end before a stopping process gives up, and that before its rows are handed to another: 20 < 24, 30 < 90.",
        )
    if lease > settings.MAX_SEND_DELAY_SECONDS > 0:
        yield (
            4,
            f"LEASE_SECONDS ({lease:g}) is above MAX_SEND_DELAY_SECONDS ({settings.MAX_SEND_DELAY_SECONDS}).",
            "A process holds a row no longer than its lease; lower LEASE_SECONDS or raise MAX_SEND_DELAY_SECONDS.",
        )
    interval, stuck, life = (
        settings.HEARTBEAT_INTERVAL_SECONDS,
        settings.STUCK_AFTER_SECONDS,
        settings.HEARTBEAT_TTL_SECONDS,
    )
    if not interval < stuck or stuck + interval > life:
        yield (
            4,
            f"HEARTBEAT_INTERVAL_SECONDS ({interval:g}) and STUCK_AFTER_SECONDS ({stuck:g}) do not fit HEARTBEAT_TTL_SECONDS ({life}).",
            "A stuck process must show within the life of its heartbeat: 5 + 22 is below 30.",
        )


def _senders() -> Found:
    for channel, name in settings.CHANNEL_SENDERS.items():
        serves, _make = KNOWN_SENDERS.get(name, (frozenset[Channel](), None))
        if serves is not None and channel not in serves:
            yield (
                5,
                f"CHANNEL_SENDERS names {name!r} for {channel}, which it cannot serve.",
                f"Known senders: {', '.join(KNOWN_SENDERS)}.",
            )
        if name == "null" and not settings.NULL_SENDER_ALLOWED:
            yield (
                5,
                f"CHANNEL_SENDERS gives {channel} the null sender, which sends nothing.",
                "It is for benchmarks. Set NULL_SENDER_ALLOWED=1 if that is meant.",
            )


def _email() -> Found:
    if settings.EMAIL_USE_SSL and settings.EMAIL_USE_TLS:
        yield (
            8,
            "EMAIL_USE_SSL and EMAIL_USE_TLS are both on.",
            "Set EMAIL_USE_SSL for TLS from the first byte (port 465), or EMAIL_USE_TLS to insist on STARTTLS (port 587).",
        )


def _public_url() -> Found:
    if not settings.PUBLIC_URL:
        return
    parts = urlsplit(settings.PUBLIC_URL) if _is_url(settings.PUBLIC_URL, ("https", "http")) else None
    if parts is None or parts.path.strip("/") or parts.query or parts.fragment:
        yield (
            9,
            f"PUBLIC_URL is {settings.PUBLIC_URL!r}; it must be the scheme and host that people reach this service by.",
            "Such as https://notify.example.com, without a path.",
        )
    elif parts.scheme != "https" and not settings.DEBUG and parts.hostname not in LOOPBACK:
        yield (
            9,
            f"PUBLIC_URL is {settings.PUBLIC_URL!r}; people's links must begin with https://.",
            "Mail programs unsubscribe over HTTPS only (RFC 8058).",
        )


def _notices() -> Found:
    schemes = ("https", "http") if settings.PRIVATE_ADDRESSES_ALLOWED else ("https",)
    # What it names is a secret, so it is not shown.
    if settings.NOTICE_WEBHOOK_URL and not _is_url(settings.NOTICE_WEBHOOK_URL, schemes):
        yield (
            10,
            f"NOTICE_WEBHOOK_URL is no whole address that begins with {' or '.join(f'{one}://' for one in schemes)}.",
            "Copy it from the page of the chat where you made it, or leave it out.",
        )
    for address in settings.NOTICE_EMAIL_TO:
        try:
            envelope_address(address)
        except SendError:
            yield 10, f"NOTICE_EMAIL_TO names {address!r}, which is no e-mail address.", "Such as ops@example.com."


def _is_url(text: str, schemes: Sequence[str]) -> bool:
    try:
        parts = urlsplit(text)
        whole = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return whole and parts.username is None and text.isprintable() and " " not in text


def _secrets() -> Found:
    if settings.SECRET_KEY == settings.DEFAULT_SECRET_KEY and not settings.DEBUG:
        yield (
            6,
            "SECRET_KEY is the default one and DEBUG is off.",
            "Set SECRET_KEY to 50 or more random characters of your own.",
        )
    if settings.JWT_ALGORITHM not in ("HS256", "RS256", "ES256"):
        yield (
            7,
            f"JWT_ALGORITHM is {settings.JWT_ALGORITHM!r}.",
            "Use HS256 with JWT_KEY, or RS256 or ES256 with JWT_JWKS.",
        )
    if settings.OUTGOING_CA_FILE and not Path(settings.OUTGOING_CA_FILE).is_file():
        yield (
            6,
            f"OUTGOING_CA_FILE names {settings.OUTGOING_CA_FILE!r}, which is no file.",
            "Name a PEM file with the certificates to trust, or leave it out.",
        )
    if any(len(key) < SHORTEST_KEY for key in settings.SECRET_KEY_FALLBACKS):
        yield (
            6,
            f"A key of SECRET_KEY_FALLBACKS has fewer than {SHORTEST_KEY} characters.",
            "Name there only what was SECRET_KEY once.",
        )
    if any(len(key) < SHORTEST_KEY for key in settings.CREDENTIALS_KEYS):
        yield (
            6,
            f"A key of CREDENTIALS_KEYS has fewer than {SHORTEST_KEY} characters.",
            "Take 32 or more random characters of your own for each.",
        )
    if settings.JWT_ALGORITHM == "HS256" and settings.JWT_KEY and len(settings.JWT_KEY) < SHORTEST_KEY:
        yield (
            7,
            "JWT_KEY is shorter than 32 characters.",
            "HS256 needs a key as long as its hash (RFC 7518, section 3.2).",
        )
