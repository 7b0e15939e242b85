"""Notices outside: a real server that takes the webhook, a real SMTP server that takes the mail, each told once."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from email import message_from_string, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from deliveries import notice_ways
from deliveries.models import Notice, NoticeTelling, Tenant
from deliveries.notice_ways import WEBHOOK, tell_outside, way_name
from deliveries.notices import Kind, notice_end, notice_raise
from notifyproj.embedded.process import free_port
from tests.far_end import OK, FarEnd, Line, Request, beside, far_end
from tests.smtp import SmtpServer

pytestmark = pytest.mark.django_db

SECRET_PATH = "services/T0/B0/very-secret"
QUIET_SECONDS = 100


@pytest.fixture(autouse=True)
def quiet(settings: Any) -> None:
    settings.NOTICE_QUIET_SECONDS = QUIET_SECONDS
    settings.PRIVATE_ADDRESSES_ALLOWED = True
    settings.PUBLIC_URL = "https://notify.example.com"
    settings.SITE_NAME = "Shop"


@pytest.fixture
def smtp(tmp_path: Path, settings: Any) -> Iterator[SmtpServer]:
    with SmtpServer(tmp_path, messages=True) as server:
        settings.EMAIL_HOST, settings.EMAIL_PORT = server.host, server.port
        settings.EMAIL_HOST_USER = ""
        settings.EMAIL_USE_SSL = settings.EMAIL_USE_TLS = False
        yield server


@contextmanager
def chat(settings: Any, answer: bytes = OK) -> Iterator[FarEnd]:
    """Let the settings name a chat that answers so."""

    async def script(line: Line, request: Request) -> bool:
        await line.say(answer)
        return True

    with beside(far_end(script)) as seen:
        settings.NOTICE_WEBHOOK_URL = f"{seen.url}{SECRET_PATH}"
        yield seen


def answer(status: int, body: str = "", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} So", f"Content-Length: {len(body)}", *headers]
    return ("\r\n".join(lines) + f"\r\n\r\n{body}").encode()


def texts(seen: FarEnd) -> list[str]:
    return [json.loads(request.body)["text"] for request in seen.requests]


def mails(server: SmtpServer) -> list[EmailMessage]:
    return [message_from_string(one["message"], policy=policy.default) for one in server.receipts()]  # type: ignore[misc]


def broken(number: int = 1, **changes: Any) -> Notice:
    values: dict[str, Any] = {"sentence": f"Provider {number} is left alone", **changes}
    notice_raise(
        kind=Kind.BREAKER_OPEN, subject=f"provider:{number}", page="admin:deliveries_provider_change",
        page_pk=number, **values,
    )  # fmt: skip
    return Notice.objects.get(subject=f"provider:{number}", ended_at=None)


def over(notice: Notice, *, seconds_ago: float) -> None:
    notice_end(kind=Kind(notice.kind), subject=notice.subject, tenant_id=notice.tenant_id)
    ended_at = timezone.now() - timedelta(seconds=seconds_ago)
    Notice.objects.filter(pk=notice.pk).update(ended_at=ended_at, opened_at=ended_at - timedelta(minutes=12))


def pause_over() -> None:
    NoticeTelling.objects.update(next_at=timezone.now() - timedelta(seconds=1))


def test_a_chat_is_told_once_with_where_to_look_and_what_to_do(settings: Any) -> None:
    with chat(settings) as seen:
        broken()
        assert tell_outside() == (1, 0)
        assert tell_outside() == (0, 0)

    (request,) = seen.requests
    assert request.line.startswith(f"POST /{SECRET_PATH} ")
    assert request.headers["content-type"] == "application/json"
    (text,) = texts(seen)
    assert text.splitlines() == [
        "[Shop] Provider 1 is left alone",
        "<https://notify.example.com/admin/deliveries/provider/1/change/|Show>",
        "<https://notify.example.com/admin/deliveries/delivery/runbook/#a-provider-is-broken|What to do>",
    ]
    telling = NoticeTelling.objects.get()
    assert telling.told_at is not None
    assert telling.over_told_at is None


def test_its_end_is_told_once_when_it_stayed_away(settings: Any) -> None:
    with chat(settings) as seen:
        notice = broken()
        tell_outside()
        over(notice, seconds_ago=QUIET_SECONDS - 20)
        assert tell_outside() == (0, 0)
        over(notice, seconds_ago=QUIET_SECONDS + 1)
        assert tell_outside() == (1, 0)
        assert tell_outside() == (0, 0)

    assert texts(seen)[1].startswith("[Shop] Over after 12 minutes: Provider 1 is left alone")


def test_what_flaps_is_told_once(settings: Any) -> None:
    with chat(settings) as seen:
        for _ in range(4):
            notice = broken()
            tell_outside()
            over(notice, seconds_ago=QUIET_SECONDS - 20)
            tell_outside()

    assert len(seen.requests) == 1
    assert Notice.objects.get().count == 4


def test_a_mail_goes_to_every_address_past_the_pipeline(smtp: SmtpServer, settings: Any) -> None:
    settings.NOTICE_EMAIL_TO = ["ops@example.com", "boss@example.com"]
    tenant = Tenant.objects.get()
    broken(sentence="Größe is left alone", tenant_id=tenant.pk)
    assert tell_outside() == (2, 0)
    assert tell_outside() == (0, 0)

    assert sorted(mail["To"] for mail in mails(smtp)) == ["boss@example.com", "ops@example.com"]
    mail = mails(smtp)[0]
    assert mail["Subject"] == f"[Shop] Größe is left alone ({tenant.name})"
    assert mail["Auto-Submitted"] == "auto-generated"
    text = mail.get_content()
    assert "Show: https://notify.example.com/admin/deliveries/provider/1/change/" in text
    assert "What to do: https://notify.example.com/admin/deliveries/delivery/runbook/#a-provider-is-broken" in text


def test_many_at_once_are_one_message(settings: Any) -> None:
    with chat(settings) as seen:
        for number in range(15):
            broken(number)
        assert tell_outside() == (15, 0)

    (text,) = texts(seen)
    assert text.count("is left alone") == 10
    assert "And 5 more notices" in text


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (answer(404, "no_service"), "127.0.0.1 did not take it: 404 no_service"),
        (answer(500), "127.0.0.1 did not take it: 500"),
        (answer(302, "", "Location: http://127.0.0.1:1/"), "127.0.0.1 did not take it: 302"),
        (answer(410, f"no such hook: /{SECRET_PATH}"), "127.0.0.1 did not take it: 410 no such hook: •••"),
    ],
)
def test_a_chat_that_refuses_is_tried_again_after_a_pause_and_says_why(
    settings: Any, reply: bytes, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    broken()
    with chat(settings, reply):
        assert tell_outside() == (0, 1)
        telling = NoticeTelling.objects.get()
        assert telling.problem == said
        assert telling.next_at > timezone.now()
        assert tell_outside() == (0, 0)
        pause_over()
        assert tell_outside() == (0, 1)
        later = NoticeTelling.objects.get()
        assert later.next_at - timezone.now() > timedelta(seconds=notice_ways.FIRST_PAUSE_SECONDS * 1.5)
    assert "very-secret" not in caplog.text

    with chat(settings) as seen:
        pause_over()
        assert tell_outside() == (1, 0)
    assert len(seen.requests) == 1
    assert NoticeTelling.objects.get().problem == ""


def test_a_chat_s_own_pause_is_kept(settings: Any) -> None:
    broken()
    with chat(settings, answer(429, "", "Retry-After: 300")):
        tell_outside()

    assert NoticeTelling.objects.get().next_at > timezone.now() + timedelta(seconds=290)


def test_a_private_address_is_not_called_unless_the_settings_allow_it(settings: Any) -> None:
    settings.PRIVATE_ADDRESSES_ALLOWED = False
    broken()
    with chat(settings) as seen:
        assert tell_outside() == (0, 1)

    assert not seen.connections
    assert "not on the public internet" in NoticeTelling.objects.get().problem


def test_a_way_that_fails_keeps_nothing_from_the_others(
    smtp: SmtpServer, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.NOTICE_WEBHOOK_URL = f"http://127.0.0.1:{free_port()}/{SECRET_PATH}"
    settings.NOTICE_EMAIL_TO = ["rcpt-550@example.com", "ops@example.com"]
    broken()

    assert tell_outside() == (1, 2)

    assert [mail["To"] for mail in mails(smtp)] == ["ops@example.com"]
    problems = dict(NoticeTelling.objects.exclude(problem="").values_list("way", "problem"))
    assert set(problems) == {WEBHOOK, "email:rcpt-550@example.com"}
    assert "refused the connection" in problems[WEBHOOK]
    assert "550" in problems["email:rcpt-550@example.com"]
    assert "very-secret" not in f"{problems} {caplog.text} {way_name(WEBHOOK)}"


def test_a_way_that_is_set_up_wrongly_keeps_nothing_from_the_others(smtp: SmtpServer, settings: Any) -> None:
    settings.NOTICE_WEBHOOK_URL = "https://chat.example.com/hook"
    settings.NOTICE_EMAIL_TO = ["ops@example.com"]
    settings.OUTGOING_CA_FILE = "/nowhere/ca.pem"  # lost while the process ran
    broken()

    assert tell_outside() == (1, 1)

    assert len(mails(smtp)) == 1
    assert "FileNotFoundError" in NoticeTelling.objects.get(way=WEBHOOK).problem


@pytest.mark.parametrize("way", ["chat", "mail"])
def test_a_way_that_never_answers_is_left_in_time(
    smtp: SmtpServer, settings: Any, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr(notice_ways, "TIMEOUT_SECONDS", 0.2)
    broken()

    async def silent(line: Line, request: Request) -> None:
        await line.hang()

    with beside(far_end(silent)) as seen:
        settings.NOTICE_WEBHOOK_URL = seen.url if way == "chat" else ""
        settings.NOTICE_EMAIL_TO = ["silent-dot@example.com"] if way == "mail" else []
        assert tell_outside() == (0, 1)

    assert NoticeTelling.objects.get().problem


def test_what_ended_before_a_way_heard_of_it_is_told_as_over(settings: Any) -> None:
    notice = broken()
    with chat(settings, answer(500)):
        tell_outside()
    over(notice, seconds_ago=QUIET_SECONDS + 1)
    pause_over()
    with chat(settings) as seen:
        assert tell_outside() == (1, 0)
        assert tell_outside() == (0, 0)

    assert ["Over after 12 minutes" in text for text in texts(seen)] == [True]


def test_what_ended_long_ago_is_told_to_nobody(settings: Any) -> None:
    notice = broken()
    with chat(settings, answer(500)):
        tell_outside()
    over(notice, seconds_ago=2 * 86400)
    pause_over()
    with chat(settings) as seen:
        assert tell_outside() == (0, 0)

    assert not seen.requests


def test_a_name_in_a_sentence_calls_nobody_in_the_chat(settings: Any) -> None:
    with chat(settings) as seen:
        broken(sentence="<!channel> & <https://evil.example|mail> is left alone")
        tell_outside()

    assert "&lt;!channel&gt; &amp; &lt;https://evil.example|mail&gt;" in texts(seen)[0]


def test_without_an_address_of_our_own_there_are_no_links(settings: Any) -> None:
    settings.PUBLIC_URL = ""
    with chat(settings) as seen:
        broken()
        tell_outside()

    assert texts(seen) == ["[Shop] Provider 1 is left alone"]


def test_without_a_way_nobody_is_told_and_the_bell_still_rings() -> None:
    broken()

    assert tell_outside() == (0, 0)
    assert Notice.objects.get().ended_at is None


@pytest.mark.django_db(transaction=True)
def test_two_processes_tell_each_notice_once(settings: Any) -> None:
    together = threading.Barrier(6)

    def work() -> None:
        together.wait()
        tell_outside()
        connections.close_all()

    with chat(settings) as seen:
        said = {broken(number).sentence for number in range(9)}
        threads = [threading.Thread(target=work) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    # However they shared them: no message says what another one says.
    lines = [line.removeprefix("[Shop] ") for text in texts(seen) for line in text.splitlines() if "[Shop]" in line]
    assert sorted(lines) == sorted(said)
