"""Undeliverable: groups, a sample that cannot hurt, Retry a few and then all, Dismiss, and how far the retries are."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from broadcasts.admin.base import broadcast_url
from deliveries.admin.dead_letters import readable
from deliveries.lifecycle import sweep
from deliveries.models import DeadLetter, Delivery, Lane, Tenant
from tests.factories import DeliveryFactory
from tests.mass import draft

GROUP = {"reason": "smtp_550", "channel": "email", "template": "", "kind": "failed"}
RETRY, DISMISS = "admin:deliveries_deadletter_retry", "admin:deliveries_deadletter_dismiss"


def fail(tenant: Tenant, count: int = 1, **values: Any) -> list[DeadLetter]:
    rows = DeliveryFactory.create_batch(count, tenant=tenant, failed=True, **values)
    return [
        DeadLetter.objects.create(
            kind="failed",
            tenant=tenant,
            delivery=row,
            reason=row.reason,
            error_message=row.error_message,
            channel=row.channel,
            template_code=row.template_code,
            failed_at=timezone.now(),
        )
        for row in rows
    ]


def reject(raw: bytes = b"{oops", offset: int = 7) -> DeadLetter:
    return DeadLetter.objects.create(
        kind="rejected",
        topic="notifications.outbox",
        partition=3,
        offset=offset,
        raw=raw,
        reason="invalid_json",
        error_message="Invalid JSON in Kafka message",
        failed_at=timezone.now(),
    )


def open_tab(client: Client, tab: str) -> str:
    return client.get(reverse("admin:deliveries_deadletter_changelist"), {"tab": tab}).content.decode()


def test_failures_are_grouped_by_cause(admin_client: Client, tenant: Tenant) -> None:
    fail(tenant, 12)
    fail(tenant, 2, reason="no_contact", error_message="User has no email")
    reject()

    page = open_tab(admin_client, "open")

    assert page.count('class="ns-right ns-num ns-strong">') == 2
    assert page.index("Mailbox unknown or refused (550)") < page.index("No contact or address")
    assert "User has no email" in page
    assert "Invalid JSON" not in page


@pytest.mark.parametrize(
    ("tab", "says"),
    [
        ("open", "Nothing is undeliverable"),
        ("retrying", "Nothing was retried"),
        ("dismissed", "Nothing was dismissed"),
        ("unreadable", "Every record could be read"),
        ("nonsense", "Nothing is undeliverable"),
    ],
)
def test_an_empty_tab_says_what_would_be_there(admin_client: Client, tenant: Tenant, tab: str, says: str) -> None:
    page = open_tab(admin_client, tab)

    assert says in page


def test_the_page_costs_the_same_at_any_size(admin_client: Client, tenant: Tenant) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            open_tab(admin_client, "open")
        return len(captured)

    fail(tenant)
    few = queries()
    for index in range(20):
        fail(tenant, 2, reason=f"reason_{index}")

    assert queries() == few


def test_an_unreadable_record_is_shown_as_it_came_and_harmless(admin_client: Client, tenant: Tenant) -> None:
    letter = reject(b'<script>alert(1)</script>\xff\x00\xe2\x80\xae{"a": 1}')

    assert "Invalid JSON" in open_tab(admin_client, "unreadable")
    page = admin_client.get(reverse("admin:deliveries_deadletter_change", args=[letter.pk])).content.decode()

    assert "&lt;script&gt;alert(1)&lt;/script&gt;\\xff\\x00\\u202e" in page
    assert "notifications.outbox" in page
    assert ">7</dd>" in page


@pytest.mark.parametrize(
    ("raw", "text"),
    [(b"a\tb\n", "a\tb\n"), ("é".encode(), "é"), (b"\xff\xfe", "\\xff\\xfe"), (b"\x1b[2J", "\\x1b[2J"), (None, "")],
)
def test_readable_escapes_what_a_screen_would_hide(raw: bytes | None, text: str) -> None:
    assert readable(raw) == text


def test_a_failed_one_leads_to_its_delivery(admin_client: Client, tenant: Tenant) -> None:
    (letter,) = fail(tenant)

    answer = admin_client.get(reverse("admin:deliveries_deadletter_change", args=[letter.pk]))

    assert answer.url == reverse("admin:deliveries_delivery_change", args=[letter.delivery_id])


def test_retry_takes_ten_first_and_is_logged(admin_client: Client, tenant: Tenant) -> None:
    fail(tenant, 12)

    admin_client.post(reverse(RETRY), GROUP)

    assert DeadLetter.objects.filter(state="retrying").count() == 10
    assert Delivery.objects.filter(replay_of__isnull=False, status="PENDING").count() == 10
    assert "Retried 10" in LogEntry.objects.get().change_message


def test_retry_all_goes_at_the_speed_that_was_asked_for(admin_client: Client, tenant: Tenant) -> None:
    fail(tenant, 12)

    admin_client.post(reverse(RETRY), {**GROUP, "all": "1", "pace": "200"})

    assert DeadLetter.objects.filter(state="open").count() == 0
    assert Lane.objects.exclude(source="").get().pace_per_minute == 200


def test_ten_first_leave_the_speed_of_all_as_it_is(admin_client: Client, tenant: Tenant) -> None:
    fail(tenant)
    admin_client.post(reverse(RETRY), {**GROUP, "all": "1", "pace": "200"})
    fail(tenant)

    admin_client.post(reverse(RETRY), GROUP)

    assert Lane.objects.exclude(source="").get().pace_per_minute == 200


def test_what_is_retried_on_a_held_channel_waits(admin_client: Client, tenant: Tenant) -> None:
    fail(tenant)
    admin_client.post(reverse("admin:deliveries_hold_place"), {"channel": "email", "reason": "maintenance"})

    admin_client.post(reverse(RETRY), GROUP)

    assert sweep().due_channels == []
    assert Delivery.objects.filter(status="PENDING").exists()


@pytest.mark.parametrize(
    ("channel", "why"), [("sms", "has no provider"), ("fax", "There is no channel &#x27;fax&#x27;")]
)
def test_what_no_sender_would_take_stays_open_and_says_why(
    admin_client: Client, tenant: Tenant, channel: str, why: str
) -> None:
    fail(tenant, 2, channel=channel)

    page = admin_client.post(reverse(RETRY), {**GROUP, "channel": channel}, follow=True).content.decode()

    assert why in page
    assert "2 stay open" in page
    assert DeadLetter.objects.filter(state="open").count() == 2


@pytest.mark.parametrize("pace", ["", "0", "-5", "1e3", "abc", "1000001"])
def test_a_speed_that_is_none_retries_nothing(admin_client: Client, tenant: Tenant, pace: str) -> None:
    fail(tenant)

    admin_client.post(reverse(RETRY), {**GROUP, "all": "1", "pace": pace})

    assert DeadLetter.objects.get().state == "open"


def test_what_is_too_late_is_counted_and_stays(admin_client: Client, tenant: Tenant) -> None:
    fail(tenant, 2, expires_at=timezone.now() - timedelta(minutes=1))
    fail(tenant)
    url = reverse("admin:deliveries_deadletter_group")

    assert "<dt>Too late now</dt><dd>2</dd>" in admin_client.get(url, {"tab": "open", **GROUP}).content.decode()
    shown = admin_client.get(url, {"tab": "open", **GROUP}).content.decode()
    assert "Retry 1</button>" in shown and "Retry the 1 that can go first: this means all 3." in shown
    answer = admin_client.post(reverse(RETRY), GROUP, follow=True)

    assert "1 message on the way again. Left here: 2 too late." in answer.content.decode()
    assert DeadLetter.objects.filter(state="open").count() == 2


@pytest.mark.parametrize(
    ("how", "shown", "told"),
    [
        ("paused", "1 is of a broadcast that is paused. Resume it, then retry.", "is paused"),
        ("cancelled", "1 is of a broadcast that was cancelled or removed from inboxes", "was cancelled"),
    ],
)
def test_what_is_stopped_is_counted_stays_and_is_not_offered(
    admin_client: Client, tenant: Tenant, how: str, shown: str, told: str
) -> None:
    fail(tenant)
    Lane.objects.filter(tenant=tenant).update(**{f"{how}_at": timezone.now()})
    url = reverse("admin:deliveries_deadletter_group")

    page = admin_client.get(url, {"tab": "open", **GROUP}).content.decode()
    answer = admin_client.post(reverse(RETRY), GROUP, follow=True).content.decode()

    assert shown in page
    assert reverse(RETRY) not in page
    assert f"Nothing to retry. Left here: 1 of a broadcast that {told}." in answer
    assert DeadLetter.objects.filter(state="open").count() == 1


def test_the_progress_of_retries_is_counted_from_rows(admin_client: Client, tenant: Tenant) -> None:
    fail(tenant, 4)
    admin_client.post(reverse(RETRY), GROUP)
    done, failed, suppressed, _waiting = Delivery.objects.filter(replay_of__isnull=False).order_by("id")
    over = {"next_attempt_at": None, "finished_at": timezone.now(), "attempts": 1}
    Delivery.objects.filter(pk=done.pk).update(status="SENT", **over)
    Delivery.objects.filter(pk=failed.pk).update(status="FAILED", reason="smtp_550", **over)
    assert "Retried 4: 1 sent, 1 failed, 2 waiting" in open_tab(admin_client, "retrying")

    Delivery.objects.filter(pk=suppressed.pk).update(status="SUPPRESSED", reason="opted_out", **over)
    assert "Retried 4: 1 sent, 1 failed, 1 not sent, 1 waiting" in open_tab(admin_client, "retrying")


def test_the_tabs_say_how_many_there_are(admin_client: Client, tenant: Tenant) -> None:
    fail(tenant, 2)
    reject()

    page = re.sub(r"<[^>]+>|\s", "", open_tab(admin_client, "open").partition('aria-label="Undeliverable"')[2])

    assert page.removeprefix(">").startswith("Open2RetryingDismissedUnreadable1")


@pytest.mark.parametrize(("count", "offers"), [(3, ["Retry all 3"]), (11, ["Retry 10 first", "Retry all 11"])])
def test_ten_first_is_offered_where_there_are_more(
    admin_client: Client, tenant: Tenant, count: int, offers: list[str]
) -> None:
    fail(tenant, count)

    page = admin_client.get(reverse("admin:deliveries_deadletter_group"), GROUP).content.decode()

    assert re.findall(r">(Retry [^<]+)</button>", page) == offers


def test_dismiss_needs_a_note_keeps_it_and_is_logged(admin_client: Client, tenant: Tenant) -> None:
    (letter,) = fail(tenant)

    admin_client.post(reverse(DISMISS), {**GROUP, "note": "  "})
    letter.refresh_from_db()
    assert letter.state == "open"

    admin_client.post(reverse(DISMISS), {**GROUP, "note": "test data"})

    letter.refresh_from_db()
    assert (letter.state, letter.note, letter.settled_by) == ("dismissed", "test data", "admin")
    assert "test data" in LogEntry.objects.get().change_message
    assert Delivery.objects.count() == 1


def test_an_unreadable_record_cannot_be_retried_but_dismissed(admin_client: Client, tenant: Tenant) -> None:
    letter = reject()
    group = {"reason": "invalid_json", "channel": "", "template": "", "kind": "rejected"}

    page = admin_client.get(reverse("admin:deliveries_deadletter_group"), {"tab": "unreadable", **group})
    assert "Retry 10 first" not in page.content.decode()
    admin_client.post(reverse(RETRY), group)
    letter.refresh_from_db()
    assert letter.state == "open"

    admin_client.post(reverse(DISMISS), {**group, "note": "a typo"})
    letter.refresh_from_db()
    assert letter.state == "dismissed"


@pytest.mark.parametrize("query", [{}, {"reason": ""}, {"reason": "x", "kind": "nonsense"}])
def test_a_group_that_is_none_is_not_found(admin_client: Client, tenant: Tenant, query: dict[str, str]) -> None:
    assert admin_client.get(reverse("admin:deliveries_deadletter_group"), query).status_code == 404


@pytest.mark.parametrize("may_see", [True, False])
def test_messages_of_a_broadcast_bear_its_name_and_lead_to_it(
    client: Client, tenant: Tenant, django_user_model: Any, may_see: bool
) -> None:
    user = django_user_model.objects.create_user("ana", is_staff=True)
    rights = ["view_deadletter", *(["view_broadcast"] if may_see else [])]
    user.user_permissions.set(Permission.objects.filter(codename__in=rights))
    client.force_login(user)
    broadcast = draft(tenant, name="Summer sale")
    fail(tenant, template_code=broadcast.source)

    for name, asked in (("changelist", {}), ("group", {"tab": "open", **GROUP, "template": broadcast.source})):
        shown = client.get(reverse(f"admin:deliveries_deadletter_{name}"), asked).content.decode()
        assert ("Summer sale" in shown, broadcast_url(broadcast) in shown) == (may_see, may_see)
        assert (broadcast.source in shown.replace(f"template={quote(broadcast.source)}", "")) is not may_see
