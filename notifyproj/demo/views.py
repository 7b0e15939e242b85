"""The tour page and what its buttons do. Everything goes through the service's own doors: jobs through the Kafka topic,
figures and words from where the admin takes them. Served in the demo only (`notifyproj/urls.py`).

It logs people in without a password and breaks things on request, so it must never be reachable from elsewhere: the demo
listens on 127.0.0.1, every change wants POST and a CSRF token.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

import jwt
import redis
from django.conf import settings
from django.contrib.auth import get_user_model, login
from django.db.models import Count, Q
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_POST, require_safe
from kafka.errors import KafkaError

from deliveries import figures, kafka
from deliveries.admin import words
from deliveries.channels import Channel, Status
from deliveries.holds import hold_of, holds_in_force
from deliveries.models import DeadLetter, Delivery
from deliveries.reasons import describe
from notifyproj.demo import crowd, mailbox, sample, terminal, topic
from notifyproj.demo.folder import Folder, State

TOKEN_SECONDS: Final = 24 * 3600
STAFF: Final = ("admin", "ben")
LOAD_JOBS: Final = 5000
LOAD_AGE: Final = timedelta(hours=1)
LOAD_MAILS: Final = 200
UNAVAILABLE: Final = 503
#: Only what the page brings itself; the component and the phone's frame carry their own <style>.
PAGE_CSP: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "frame-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)
GREETINGS: Final = (
    ("Your olive tree says hello", "It likes the south window best."),
    ("Your fern was watered", "Jonas did it on his way home. Next time: Thursday."),
    ("A new leaf!", "Your monstera has its seventh. Time for a bigger pot?"),
    ("Frost tonight", "Take the citrus trees inside before nine."),
)
#: What the page offers to paste: the name on the button, and the bytes.
BAD_JOBS: Final = (
    (
        "No person",
        '{"job_id": "%(job_id)s", "channel": "email", "template_code": "welcome_email", "created_at": "%(now)s"}',
    ),
    (
        "Wrong priority",
        '{"job_id": "%(job_id)s", "user_id": "%(user_id)s", "channel": "ws", "template_code": "order_shipped", '
        '"meta": {"priority": "super urgent"}, "created_at": "%(now)s"}',
    ),
    ("Not JSON", "{'job_id': '%(job_id)s', 'channel': email, so close}"),
    ("Half a file", '{"job_id": "%(job_id)s", "user_id": "%(user_id)s", "chan'),
)


@ensure_csrf_cookie
@never_cache
@require_safe
def tour(request: HttpRequest) -> HttpResponse:
    """Show the tour."""
    topic.warm_up()
    folder = _folder()
    state = folder.state()
    kept = folder.kept()
    url = request.build_absolute_uri("/").rstrip("/")
    values = {"job_id": uuid4(), "user_id": sample.ANA, "now": timezone.now().strftime("%Y-%m-%dT%H:%M:%SZ")}
    context = {
        "broadcasts": crowd.tour_steps(),
        "token": inbox_token(),
        "bad_jobs": [(name, text % values) for name, text in BAD_JOBS],
        "curl": terminal.first_curl(url, kept.api_key),
        "send_job": terminal.first_command(folder.environment),
        "staff": [("admin", "Administrator", kept.admin_password), ("ben", "Operator", kept.ben_password)],
        "may_stop_a_sender": _runs_us(state),
        "provider_is_broken": folder.provider_a_broken.exists(),
        "may_wipe_redis": state is not None and state.owns_redis,
        "lease_seconds": settings.LEASE_SECONDS,
        "load_jobs": f"{LOAD_JOBS:,}",
    }
    response = render(request, "demo/tour.html", context)
    response["Content-Security-Policy"] = PAGE_CSP
    return response


@require_POST
def log_in(request: HttpRequest) -> HttpResponse:
    """Log in as one of the demo's two members of staff, and go to the page that was asked for."""
    if request.POST.get("as") not in STAFF:
        raise Http404("There is no such member of staff in the demo.")
    user = get_object_or_404(get_user_model(), username=request.POST["as"])
    if request.user != user:  # a second login would end the session that other open tabs are asking with
        login(request, user, backend="django.contrib.auth.backends.ModelBackend")
    page = request.POST.get("next", "")
    is_ours = url_has_allowed_host_and_scheme(page, allowed_hosts=None)
    return HttpResponseRedirect(page if is_ours and page else reverse("admin:index"))


@require_POST
def send(request: HttpRequest) -> JsonResponse:
    """Put one job for Ana on the Kafka topic."""
    if request.POST.get("channel") == Channel.EMAIL:
        job = sample.job(
            sample.ANA, "email", template_code="order_shipped", data=sample.an_order(), event_type="order_shipped"
        )
    else:
        title, body = random.choice(GREETINGS)
        job = sample.job(sample.ANA, "ws", content={"title": title, "body": body}, priority="high")
    return _answer(lambda: {"job_id": job["job_id"], "place": topic.put_jobs([job])[0]._asdict()})


@require_POST
def send_bad(request: HttpRequest) -> JsonResponse:
    """Put whatever was pasted on the topic as it is, between two good jobs on the same partition."""
    key = str(sample.ANA).encode()
    before, after = (
        sample.job(
            sample.ANA, "ws", content={"title": f"The neighbour {where}", "body": "Unharmed by the bad job beside it."}
        )
        for where in ("before", "after")
    )
    pasted = request.POST.get("job", "").encode(errors="replace")

    def put() -> dict[str, Any]:
        _, bad, _ = topic.put([(key, topic.encode(before)), (key, pasted), (key, topic.encode(after))])
        return {"bad": bad._asdict(), "before": before["job_id"], "after": after["job_id"]}

    return _answer(put)


@never_cache
@require_safe
def job(request: HttpRequest, job_id: UUID) -> JsonResponse:
    """Say how a job stands: nothing yet, until it has its row."""
    row = Delivery.objects.filter(job_id=job_id, tenant__slug=settings.DEFAULT_TENANT).first()
    return JsonResponse(_standing(row) if row else {"is_over": False})


@never_cache
@require_safe
def record(request: HttpRequest, partition: int, offset: int) -> JsonResponse:
    """Say what became of a record on the outbox topic: nothing yet, or refused and why, or a delivery.

    The broker of the demo forgets its offsets when it stops, so of several with this place the last one counts.
    """
    places = {"topic": settings.KAFKA_OUTBOX_TOPIC, "partition": partition, "offset": offset}
    letter = DeadLetter.objects.filter(kind=DeadLetter.Kind.REJECTED, **places).order_by("-id").first()
    row = (
        Delivery.objects.filter(entrance=f"kafka:{settings.KAFKA_OUTBOX_TOPIC}/{partition}@{offset}")
        .order_by("-id")
        .first()
    )
    if letter is not None and (row is None or letter.failed_at > row.accepted_at):
        reason = describe(letter.reason)
        page = reverse("admin:deliveries_deadletter_change", args=[letter.pk])
        return JsonResponse(
            {
                "is_refused": True,
                "title": reason.title,
                "sentence": letter.error_message,
                "page": page,
            }
        )
    return JsonResponse({"is_refused": False, **(_standing(row) if row else {"is_over": False})})


@never_cache
@require_safe
def status(request: HttpRequest) -> JsonResponse:
    """Say how the balance and the processes stand."""
    balance = figures.balance(timezone.now())
    state = _folder().state()
    names = ("accepted", "sent", "failed", "not_sent", "waiting", "unaccounted")
    return JsonResponse(
        {
            "balance": {name: getattr(balance, name) for name in names},
            "processes": [
                {
                    "title": process.title,
                    "pid": process.pid,
                    "restarts": process.starts - 1,
                    "seconds": round(time.time() - process.started_at),
                    "is_running": process.is_running,
                }
                for process in (state.processes if state else [])
            ],
        }
    )


@require_POST
def stop_a_sender(request: HttpRequest) -> JsonResponse:
    """Put a load on the topic, then have one sender killed by SIGKILL in the midst of it."""
    state = _folder().state()
    if state is None or not _runs_us(state):
        raise Http404("Nobody watches over the senders here.")

    def load_and_kill() -> dict[str, Any]:
        load = _load()
        os.kill(state.pid, signal.SIGUSR1)
        return {"jobs": LOAD_JOBS, "load": load}

    return _answer(load_and_kill)


@require_POST
def wipe_redis(request: HttpRequest) -> JsonResponse:
    """Put a load on the topic, then delete everything that Redis holds. Only for a Redis of the demo's own."""
    state = _folder().state()
    if state is None or not state.owns_redis:
        raise Http404("This Redis is not the demo's own.")

    def load_and_wipe() -> dict[str, Any]:
        load = _load()
        with redis.Redis.from_url(settings.REDIS_URL) as client:
            keys = client.dbsize()
            client.flushall()
        return {"jobs": LOAD_JOBS, "load": load, "keys": keys}

    return _answer(load_and_wipe)


@require_POST
def break_provider(request: HttpRequest) -> JsonResponse:
    """Break provider A in the midst of a load of mails, or mend it again."""
    broken = _folder().provider_a_broken
    if broken.exists():
        broken.unlink()
        return JsonResponse({"is_broken": False})

    def load_and_break() -> dict[str, Any]:
        load = _load("email", LOAD_MAILS)
        broken.touch()
        return {"is_broken": True, "jobs": LOAD_MAILS, "load": load}

    return _answer(load_and_break)


@never_cache
@require_safe
def load(request: HttpRequest, load: UUID) -> JsonResponse:
    """Say how many of a load's jobs have arrived, how many are over, and how many jobs of all are unaccounted for."""
    now = timezone.now()
    rows = Delivery.objects.filter(accepted_at__gte=now - LOAD_AGE, meta__event_id=str(load))
    counts = rows.aggregate(
        arrived=Count("id", filter=Q(status=Status.SENT)), over=Count("id", filter=Q(finished_at__isnull=False))
    )
    return JsonResponse({**counts, "unaccounted": figures.balance(now).unaccounted})


@never_cache
@require_safe
def mailbox_list(request: HttpRequest) -> JsonResponse:
    """List the last mails."""
    return JsonResponse({"mails": [mail.as_json() for mail in mailbox.newest(_folder().mailbox)]})


@xframe_options_sameorigin
@never_cache
@require_safe
def mail(request: HttpRequest, key: str) -> HttpResponse:
    """Show one mail as its reader sees it. Meant for a sandboxed frame; its own policy forbids scripts anyway."""
    found = mailbox.find(_folder().mailbox, key)
    if found is None:
        raise Http404("This mail is gone.")
    response = HttpResponse(mailbox.document(found))
    response["Content-Security-Policy"] = mailbox.FRAME_CSP
    return response


def inbox_token() -> str:
    """Return a token for Ana's inbox, as the application that embeds the inbox would sign one."""
    expires_at = int(time.time()) + TOKEN_SECONDS
    claims = {"sub": str(sample.ANA), "tenant_id": settings.DEFAULT_TENANT, "exp": expires_at}
    return jwt.encode(claims, settings.JWT_KEY, algorithm="HS256")


def _standing(row: Delivery) -> dict[str, Any]:
    chip = words.status(row)
    return {
        "word": chip.text,
        "tone": chip.tone,
        "is_over": row.is_terminal,
        "held": _held(row),
        "milliseconds": round((row.finished_at - row.accepted_at).total_seconds() * 1000) if row.finished_at else None,
        "page": reverse("admin:deliveries_delivery_change", args=[row.pk]),
    }


def _held(row: Delivery) -> str:
    """Say that staff hold what a waiting job waits in; empty otherwise."""
    hold = hold_of(row, holds_in_force()) if row.is_waiting else None
    return f"{words.held(hold)} is on hold, so it waits. {words.whats_next(row, hold=hold)}" if hold else ""


def _load(channel: str = "ws", jobs: int = LOAD_JOBS) -> str:
    """Put many jobs for all but Ana on the topic, and return the event that all of them are of."""
    event_id = str(uuid4())
    words_ = {"title": "Weekly watering", "body": "Half a litre for each pot."}
    others = [number for number in range(2, len(sample.PEOPLE) + 1) if sample.takes(number, channel)]
    topic.put_jobs(
        sample.job(sample.user_id_of(random.choice(others)), channel, content=words_, priority="low", event_id=event_id)
        for _ in range(jobs)
    )
    return event_id


def _answer(act: Callable[[], dict[str, Any]]) -> JsonResponse:
    """Do it, or say in one line which server is away."""
    try:
        return JsonResponse(act())
    except KafkaError as error:
        return JsonResponse({"problem": kafka.unreachable(error)}, status=UNAVAILABLE)
    except redis.RedisError as error:
        return JsonResponse({"problem": f"Redis does not answer: {error}"}, status=UNAVAILABLE)


def _runs_us(state: State | None) -> bool:
    """Say whether this process is a child of the running demo, and not somebody's server beside it."""
    return state is not None and state.pid == os.getppid()


def _folder() -> Folder:
    return Folder(Path(settings.DEMO_FOLDER))
