"""The sending process's loop against a real SMTP server and a real database: what a person gets, and what the row says."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection
from msgspec.structs import replace

from deliveries import compose, lifecycle, tries
from deliveries.models import Contact, Delivery, DeliveryAttempt, Tenant
from deliveries.senders.base import Message, Receipt, Sender, SendError
from deliveries.senders.ws import InboxSender
from tests.dispatching import dispatching, look_until, mailer, settle
from tests.factories import ContactFactory, TemplateFactory
from tests.lifecycle import accept, incoming
from tests.smtp import SmtpServer
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def smtp(tmp_path: Path) -> Iterator[SmtpServer]:
    server = SmtpServer(tmp_path, messages=True)
    server.start()
    yield server
    server.stop()


def person(email: str = "", **values: Any) -> Contact:
    contact: Contact = ContactFactory(tenant=Tenant.objects.get(slug="default"), email=email, **values)
    return contact


def mail_to(contact: Contact, **changes: Any) -> int:
    [row_id] = accept(incoming(channel="email", user_id=str(contact.user_id), **changes))
    return row_id


def test_a_mail_reaches_the_server_and_the_row_says_so(smtp: SmtpServer) -> None:
    template = TemplateFactory(
        tenant=Tenant.objects.get(slug="default"), subject="Hello {{ contact.name }}", text="You have {{ n }} points"
    )
    contact = person("ana@example.com", name="Ana")
    row_id = mail_to(contact, content=None, template_code=template.code, data={"n": 7})
    with dispatching(email=mailer(smtp)) as dispatcher:
        settle(dispatcher)
    row = Delivery.objects.get(id=row_id)
    assert (row.status, row.attempts, row.address) == ("SENT", 1, "ana@example.com")
    assert row.template_version == template.versions.get()
    assert row.provider_message_id == f"<{row.job_id}@example.com>"
    [receipt] = smtp.receipts()
    assert receipt["message_id"] == row.provider_message_id
    assert "Hello Ana" in receipt["message"]
    assert "You have 7 points" in receipt["message"]


@pytest.mark.parametrize(
    ("local_part", "status", "reasons"),
    [
        ("rcpt-550", "FAILED", ["smtp_550"]),
        ("dot-554", "FAILED", ["smtp_554"]),
        ("rcpt-451-x2", "SENT", ["smtp_451", "smtp_451"]),
        ("dot-452", "FAILED", ["smtp_452", "smtp_452", "smtp_452"]),
        ("drop-rcpt", "FAILED", ["disconnected", "disconnected", "disconnected"]),
    ],
)
def test_a_servers_answer_decides_and_every_try_is_recorded(
    smtp: SmtpServer, local_part: str, status: str, reasons: list[str]
) -> None:
    row_id = mail_to(person(f"{local_part}-{uuid4().hex[:6]}@example.com"))
    with dispatching(email=mailer(smtp)) as dispatcher:
        settle(dispatcher)
    row = Delivery.objects.get(id=row_id)
    assert row.status == status
    assert list(row.failed_attempts.values_list("code", flat=True)) == reasons
    assert row.attempts == len(reasons) + (status == "SENT")


def test_a_cut_after_the_final_dot_may_make_a_second_copy_with_the_same_message_id(smtp: SmtpServer) -> None:
    row_id = mail_to(person("drop-dot@example.com"))
    with dispatching(email=mailer(smtp)) as dispatcher:
        settle(dispatcher)
    row = Delivery.objects.get(id=row_id)
    assert (row.status, row.attempts) == ("FAILED", 3)
    assert all(row.failed_attempts.values_list("is_ambiguous", flat=True))
    assert len({receipt["message_id"] for receipt in smtp.receipts()}) == 1
    assert len(smtp.receipts()) == 3


def test_a_row_is_retried_no_sooner_than_its_delay(smtp: SmtpServer) -> None:
    row_id = mail_to(person(f"rcpt-451-x1-{uuid4().hex[:6]}@example.com"))
    with dispatching(email=mailer(smtp)) as dispatcher:
        look_until(dispatcher, "email", lambda: Delivery.objects.get().status == "SENT", "the second try is sent")
    attempt = DeliveryAttempt.objects.get()
    row = Delivery.objects.get(id=row_id)
    assert row.started_at is not None
    assert (row.started_at - attempt.finished_at).total_seconds() >= 1.0


@pytest.mark.parametrize(
    ("changes", "reason", "message"),
    [
        ({}, "no_contact", "User has no email: there is no such contact"),
        ({"template_code": "nowhere", "content": None}, "unknown_template", None),
    ],
)
def test_what_cannot_be_composed_fails_at_once(
    smtp: SmtpServer, changes: dict[str, Any], reason: str, message: str | None
) -> None:
    contact = person("ana@example.com") if reason != "no_contact" else None
    accept(incoming(channel="email", user_id=str(contact.user_id) if contact else str(uuid4()), **changes))
    with dispatching(email=mailer(smtp)) as dispatcher:
        settle(dispatcher)
    row = Delivery.objects.get()
    assert (row.status, row.reason, row.attempts) == ("FAILED", reason, 1)
    assert message is None or row.error_message == message
    assert not smtp.receipts()


def test_a_contact_without_an_address_fails_in_the_contracts_words(smtp: SmtpServer) -> None:
    mail_to(person(""))
    with dispatching(email=mailer(smtp)) as dispatcher:
        settle(dispatcher)
    assert Delivery.objects.get().error_message == "User has no email"


def test_a_missing_variable_fails_as_render_error_and_nothing_is_sent(smtp: SmtpServer) -> None:
    template = TemplateFactory(tenant=Tenant.objects.get(slug="default"), text="Code {{ code }}")
    mail_to(person("ana@example.com"), content=None, template_code=template.code)
    with dispatching(email=mailer(smtp)) as dispatcher:
        settle(dispatcher)
    assert Delivery.objects.get().reason == "render_error"
    assert not smtp.receipts()


def test_a_test_keys_job_goes_all_the_way_but_for_the_provider(smtp: SmtpServer) -> None:
    row_id = mail_to(person("ana@example.com"))
    Delivery.objects.update(is_test=True)
    with dispatching(email=mailer(smtp)) as dispatcher:
        settle(dispatcher)
    assert Delivery.objects.get(id=row_id).provider == "test key"
    assert not smtp.receipts()


def test_one_persons_mails_go_in_order_one_after_another(smtp: SmtpServer) -> None:
    contact = person("slow-50ms-ana@example.com")
    ids = [mail_to(contact, content={"title": f"Mail {number}", "body": "."}) for number in range(6)]
    others = [mail_to(person(f"p{number}@example.com")) for number in range(6)]
    with dispatching(email=mailer(smtp)) as dispatcher:
        settle(dispatcher)
    rows = list(Delivery.objects.filter(id__in=ids).order_by("started_at"))
    assert [row.id for row in rows] == ids
    for earlier, later in itertools.pairwise(rows):
        assert earlier.finished_at is not None
        assert later.started_at is not None
        assert earlier.finished_at <= later.started_at
    assert Delivery.objects.filter(id__in=others, status="SENT").count() == 6


def test_stopping_finishes_what_is_on_the_wire_and_gives_the_rest_back(smtp: SmtpServer) -> None:
    for number in range(12):
        mail_to(person(f"slow-500ms-{number}@example.com"))
    with dispatching(email=mailer(smtp, connections=1)) as dispatcher:
        dispatcher.look("email")
        wait_until(lambda: Delivery.objects.filter(status="SENDING").exists(), "a mail is on the wire")
    states = set(Delivery.objects.values_list("status", "attempts", "claims", "lease_token"))
    assert states == {("PENDING", 0, 0, None), ("SENT", 1, 0, None)}
    assert len(smtp.receipts()) == Delivery.objects.filter(status="SENT").count()


class Gate(Sender):
    """A sender that tells when it is called and answers when it is let."""

    keeps_content = False

    def __init__(self, capacity: int = 4) -> None:
        self.capacity = capacity
        self.entered: list[UUID] = []
        self.open_gate = threading.Event()

    async def send(self, message: Message) -> Receipt:
        self.entered.append(message.job_id)
        await asyncio.to_thread(self.open_gate.wait)
        return Receipt("gate")


def test_high_priority_finds_a_slot_while_ordinary_rows_fill_theirs() -> None:
    gate = Gate(capacity=5)
    accept(*(incoming() for _ in range(20)))
    with dispatching(ws=gate) as dispatcher:
        dispatcher.look("ws")
        wait_until(lambda: len(gate.entered) == 4, "ordinary rows fill all but the share of high priority")
        accept(incoming(meta={"priority": "high"}))
        look_until(dispatcher, "ws", lambda: len(gate.entered) == 5, "the urgent row gets the slot kept for it")
        assert Delivery.objects.get(priority=0).status == "SENDING"
        gate.open_gate.set()
        settle(dispatcher, channel="ws")


def test_a_suspect_runs_with_nobody_beside_it() -> None:
    gate = Gate(capacity=5)
    suspect, *others = accept(*(incoming() for _ in range(4)))
    Delivery.objects.filter(id=suspect).update(lost_leases=2)
    with dispatching(ws=gate) as dispatcher:
        dispatcher.look("ws")
        wait_until(lambda: len(gate.entered) == 3, "the healthy rows are being sent")
        running = threading.Thread(target=dispatcher.look_for_suspects)
        running.start()
        assert Delivery.objects.get(id=suspect).status == "PENDING"
        gate.open_gate.set()
        running.join()
        suspect_row = Delivery.objects.get(id=suspect)
        assert suspect_row.status == "SENT"
        assert suspect_row.started_at is not None
        for row in Delivery.objects.filter(id__in=others):
            assert row.finished_at is not None
            assert row.finished_at <= suspect_row.started_at


def test_an_inbox_item_is_stored_before_it_is_pushed() -> None:
    seen: list[tuple[str, Any]] = []

    async def publish(items: Any) -> None:
        def look() -> None:
            seen.append((Delivery.objects.get().status, Delivery.objects.get().rendered))
            connection.close()

        await asyncio.to_thread(look)

    accept(incoming(content={"title": "Hello", "body": "There"}))
    with dispatching(ws=InboxSender(publish=publish)) as dispatcher:
        settle(dispatcher, channel="ws")
    assert seen == [("SENT", {"subject": "Hello", "text": "There", "action_url": ""})]


class Refuser(Sender):
    """A provider that answers one person in bytes that are no text, and takes everybody else's."""

    capacity = 4

    async def send(self, message: Message) -> Receipt:
        if message.content.subject == "odd":
            raise SendError("c" * 100, "refus\udce9 \x00" + "x" * 5000, provider="h" * 300, permanent=True)
        return Receipt("p" * 300, "id\x00")


def test_a_far_ends_odd_words_are_recorded_and_stop_nobody() -> None:
    odd, plain = accept(incoming(content={"title": "odd", "body": "."}), incoming())
    with dispatching(ws=Refuser()) as dispatcher:
        settle(dispatcher, channel="ws")
    assert Delivery.objects.get(id=odd).error_message.startswith("refus? \ufffdxxx")
    assert (Delivery.objects.get(id=odd).status, Delivery.objects.get(id=plain).status) == ("FAILED", "SENT")


def test_an_outcome_that_the_database_refuses_is_recorded_bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing today lets such a value through, so one is put into the message after rendering."""

    def spoil(row: Any, *args: Any) -> Any:
        message, version_id = compose.compose(row, *args)
        if message.content.subject == "odd":
            message = replace(message, content=replace(message.content, text="\x00"))
        return message, version_id

    pushed: list[int] = []

    async def publish(items: Any) -> None:
        pushed.append(len(items))

    monkeypatch.setattr(tries, "compose", spoil)
    odd, *others = accept(incoming(content={"title": "odd", "body": "."}), *(incoming() for _ in range(3)))
    with dispatching(ws=InboxSender(publish=publish)) as dispatcher:
        settle(dispatcher, channel="ws")
    assert (Delivery.objects.get(id=odd).status, Delivery.objects.get(id=odd).reason) == ("FAILED", "internal_error")
    assert sum(pushed) == 3
    assert Delivery.objects.filter(id__in=others, status="SENT").count() == 3


def test_a_task_that_fails_goes_on_with_the_next_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that nobody foresaw costs the batch its record, which the lease settles; the channel lives."""
    finish = lifecycle.finish
    failures = iter([RuntimeError("nobody foresaw this")])

    async def fail_once(connection: Any, **values: Any) -> set[int]:
        for failure in failures:
            raise failure
        return await finish(connection, **values)

    monkeypatch.setattr(lifecycle, "finish", fail_once)
    [lost] = accept(incoming())
    with dispatching(ws=Refuser()) as dispatcher:
        dispatcher.look("ws")
        wait_until(lambda: Delivery.objects.get(id=lost).status == "SENDING", "the first row is on its way")
        [later] = accept(incoming())
        look_until(dispatcher, "ws", lambda: Delivery.objects.get(id=later).status == "SENT", "the next row is sent")
        wait_until(lambda: dispatcher.runs.of("ws")[0].rows_in_hand() == 0, "nothing is in hand")
    assert Delivery.objects.get(id=lost).status == "SENDING"
