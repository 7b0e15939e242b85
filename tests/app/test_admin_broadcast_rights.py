"""The compose page's addresses: who may do what there."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from broadcasts.models import Broadcast
from broadcasts.states import State
from deliveries.models import Tenant
from tests.compose import ADD, form, url
from tests.mass import draft

pytestmark = pytest.mark.django_db


POSTS = ("preview", "check", "changes", "fix", "test", "submit", "withdraw", "approve", "reject", "send", "duplicate")


@pytest.mark.parametrize("action", POSTS)
def test_every_action_is_a_post_with_a_token(tenant: Tenant, action: str) -> None:
    boss = Client(enforce_csrf_checks=True)
    boss.force_login(User.objects.create_superuser("boss"))
    broadcast = draft(tenant)

    assert boss.get(url(broadcast, action)).status_code == 405
    assert boss.post(url(broadcast, action), form()).status_code == 403
    broadcast.refresh_from_db()
    assert (broadcast.revision, broadcast.state, Broadcast.objects.count()) == (1, State.DRAFT, 1)


@pytest.mark.parametrize("action", POSTS)
def test_who_may_not_see_broadcasts_can_do_nothing(
    staff_with: Callable[..., Client], tenant: Tenant, action: str
) -> None:
    assert staff_with("view_delivery").post(url(draft(tenant), action), form()).status_code == 403


@pytest.mark.parametrize(
    "action", ["change", "fix", "test", "submit", "withdraw", "approve", "reject", "send", "duplicate"]
)
def test_who_may_only_look_changes_nothing(staff_with: Callable[..., Client], tenant: Tenant, action: str) -> None:
    looker = staff_with("view_broadcast")
    broadcast = draft(tenant)

    assert looker.post(url(broadcast, action), {"revision": "1", **form(title="Changed")}).status_code == 403
    broadcast.refresh_from_db()
    assert (broadcast.title, broadcast.revision, Broadcast.objects.count()) == ("News", 1, 1)
    page = looker.get(url(broadcast)).content.decode()
    assert ('name="title"' in page, "News" in page) == (False, True)


def test_an_unfinished_page_needs_the_permission_to_add(staff_with: Callable[..., Client]) -> None:
    changer = staff_with("view_broadcast", "change_broadcast")

    assert [changer.get(reverse(ADD)).status_code, changer.post(reverse(ADD), form()).status_code] == [403, 403]
    assert Broadcast.objects.count() == 0
