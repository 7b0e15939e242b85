"""What a person wants to get: by their app's token, by a message's signed link, and what staff name it."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse

from deliveries.models import Category, Contact, Delivery, OptOut, Tenant
from deliveries.unsubscribe import Wish, token_of
from tests.api import Caller, person
from tests.factories import ContactFactory, TenantFactory, WebhookEndpointFactory
from tests.lifecycle import accept, claim, incoming

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("jwt_key")]


@pytest.fixture
def categories(tenant: Tenant, settings: Any) -> list[Category]:
    settings.MANDATORY_CATEGORIES = ["security"]
    named = {"newsletter": "Newsletter", "security": "Security"}
    return [Category.objects.create(tenant=tenant, key=key, name=name) for key, name in named.items()]


@pytest.fixture
def ana(tenant: Tenant) -> Contact:
    contact: Contact = ContactFactory(tenant=tenant)
    return contact


def by(contact: Contact) -> Caller:
    return person(contact.tenant, contact.user_id)


def switched(contact: Contact) -> set[tuple[str, str]]:
    return set(OptOut.objects.filter(user_id=contact.user_id).values_list("category", "channel"))


def url(contact: Contact, category: str = "newsletter", channel: str = "email") -> str:
    return f"/u/{token_of(Wish(contact.tenant_id, contact.user_id, channel, category))}/preferences"


class TestApi:
    """/api/preferences/ for the person's own app."""

    def test_all_is_on_and_what_is_mandatory_says_so(self, ana: Contact, categories: list[Category]) -> None:
        body = by(ana).get("preferences/").body
        assert (body["channels"], body["opted_out"]) == (["email", "ws"], [])
        assert [(each["key"], each["name"], each["is_mandatory"]) for each in body["categories"]] == [
            ("newsletter", "Newsletter", False), ("security", "Security", True),
        ]  # fmt: skip
        assert all(each["channels"] == {"email": True, "ws": True} for each in body["categories"])

    def test_what_is_switched_off_is_not_sent_and_back_on_is(self, ana: Contact, categories: list[Category]) -> None:
        def comes_to() -> str:
            [delivery] = accept(incoming(user_id=str(ana.user_id), category="newsletter"))
            return Delivery.objects.get(pk=delivery).status

        answer = by(ana)("PATCH", "preferences/", {"categories": {"newsletter": {"ws": False}}})
        assert answer.status == 200
        assert answer.body["categories"][0]["channels"] == {"email": True, "ws": False}
        assert answer.body == by(ana).get("preferences/").body
        assert comes_to() == "SUPPRESSED"
        for _ in range(2):
            assert by(ana)("PATCH", "preferences/", {"categories": {"newsletter": {"ws": True}}}).status == 200
        assert comes_to() == "PENDING"

    @pytest.mark.parametrize(
        ("asked", "field"),
        [
            ({"security": {"email": False}}, "security"),
            ({"nothing": {"email": False}}, "nothing"),
            ({"newsletter": {"fax": False}}, "newsletter"),
            ({"newsletter": {"webhook": False}}, "newsletter"),
            ({"newsletter": {"email": "no"}}, "categories"),
            ({"newsletter": False}, "categories"),
            (None, "categories"),
        ],
    )
    def test_what_cannot_be_switched_is_400_and_switches_nothing(self, ana, categories, asked, field: str) -> None:
        given = asked and {"newsletter": {"ws": False}, **asked}
        answer = by(ana)("PATCH", "preferences/", {"categories": given})
        assert (answer.status, answer.body["code"]) == (400, "invalid")
        assert answer.body[field]
        assert not switched(ana)

    def test_a_channel_that_was_refused_as_a_whole_is_off_and_cannot_be_switched(self, ana, categories) -> None:
        Contact.objects.filter(pk=ana.pk).update(opted_out=["email"])
        body = by(ana).get("preferences/").body
        assert body["opted_out"] == ["email"]
        assert {each["channels"]["email"] for each in body["categories"]} == {False}
        assert by(ana)("PATCH", "preferences/", {"categories": {"newsletter": {"email": True}}}).status == 400

    def test_webhooks_are_shown_to_whom_they_mean_something(self, ana, categories) -> None:
        WebhookEndpointFactory(tenant=ana.tenant, user_id=ana.user_id)
        assert by(ana).get("preferences/").body["channels"] == ["email", "ws", "webhook"]

    def test_what_was_left_without_a_name_is_shown_by_its_key(self, ana) -> None:
        OptOut.objects.create(tenant=ana.tenant, user_id=ana.user_id, channel="email", category="big_news")
        [only] = by(ana).get("preferences/").body["categories"]
        assert (only["key"], only["name"], only["channels"]["email"]) == ("big_news", "Big news", False)

    def test_it_takes_as_many_queries_however_many_categories(self, ana, django_assert_num_queries) -> None:
        for many in (1, 30):
            for number in range(many):
                Category.objects.create(tenant=ana.tenant, key=f"{many}-{number}", name="x")
            with django_assert_num_queries(
                6
            ):  # the tenant, categories, what was left, the contact, providers, endpoints
                assert by(ana).get("preferences/").status == 200

    def test_only_a_person_s_token_opens_it(self, call: Caller) -> None:
        assert call.get("preferences/").status == Caller().get("preferences/").status == 401


class TestPage:
    """/u/{token}/preferences for whoever holds the link."""

    def test_looking_changes_nothing_and_shows_what_holds(self, client: Client, ana, categories) -> None:
        OptOut.objects.create(tenant=ana.tenant, user_id=ana.user_id, channel="ws", category="newsletter")
        before = switched(ana)
        page = client.get(url(ana))
        assert page.status_code == 200
        boxes = dict(re.findall(r'name="on" value="([^"]+)"([^>]*)>', page.content.decode()))
        assert {name: words.strip() for name, words in boxes.items()} == {
            "email:newsletter": "checked", "ws:newsletter": "", "email:security": "checked disabled", "ws:security": "checked disabled",
        }  # fmt: skip
        assert switched(ana) == before
        assert page["Content-Security-Policy"].startswith("default-src 'none'")
        assert (page["Referrer-Policy"], page["Cache-Control"].split(",")[0]) == ("no-referrer", "max-age=0")

    def test_what_is_saved_is_what_was_shown_and_nothing_else(self, ana, categories) -> None:
        client = Client(enforce_csrf_checks=True)
        OptOut.objects.create(tenant=ana.tenant, user_id=ana.user_id, channel="ws", category="newsletter")
        form = {"action": "save", "shown": ["email:newsletter"], "on": []}
        page = client.post(url(ana), form)
        assert 'role="status"' in page.content.decode()
        assert switched(ana) == {("newsletter", "email"), ("newsletter", "ws")}
        client.post(url(ana), {**form, "on": ["email:newsletter", "ws:newsletter"]})
        assert switched(ana) == {("newsletter", "ws")}

    @pytest.mark.parametrize("forged", ["email:security", "email:nothing", "fax:newsletter", "", ":", "email:\0"])
    def test_a_forged_box_switches_nothing(self, client: Client, ana, categories, forged: str) -> None:
        assert client.post(url(ana), {"action": "save", "shown": [forged]}).status_code == 200
        assert not switched(ana)

    def test_all_off_leaves_what_is_mandatory(self, client: Client, ana, categories) -> None:
        boxes = ["email:newsletter", "ws:newsletter", "email:security"]
        client.post(url(ana), {"action": "none", "shown": boxes, "on": boxes})
        assert switched(ana) == {("newsletter", "email"), ("newsletter", "ws")}

    def test_the_category_of_the_link_comes_first_named_or_not(self, client: Client, ana, categories) -> None:
        legends = re.findall(r"<legend>(.*?)</legend>", client.get(url(ana, "weekly_offers")).content.decode())
        assert legends == ["Weekly offers", "Newsletter", "Security"]

    def test_it_is_about_one_person_of_one_tenant(self, client: Client, ana, categories) -> None:
        other = ContactFactory(tenant=TenantFactory(), user_id=ana.user_id)
        Category.objects.create(tenant=other.tenant, key="secret", name="Secret project")
        assert "Secret project" not in client.get(url(ana)).content.decode()
        client.post(url(ana), {"action": "none", "shown": ["email:newsletter"]})
        assert set(OptOut.objects.values_list("tenant", "user_id")) == {(ana.tenant_id, ana.user_id)}

    def test_a_link_that_is_not_ours_is_400(self, client: Client, ana) -> None:
        for token in ("x", token_of(Wish(2**40, uuid4(), "email", "newsletter"))):
            assert client.post(f"/u/{token}/preferences", {"action": "none"}).status_code == 400
        assert not OptOut.objects.exists()

    @pytest.mark.parametrize("method", ["put", "delete", "patch"])
    def test_other_methods_are_refused(self, client: Client, ana, method: str) -> None:
        assert getattr(client, method)(url(ana)).status_code == 405

    def test_the_unsubscribe_page_leads_here(self, client: Client, ana) -> None:
        here = url(ana)
        assert f'href="{here}"' in client.get(here.removesuffix("/preferences")).content.decode()

    def test_a_name_is_shown_as_text(self, client: Client, ana) -> None:
        Category.objects.create(tenant=ana.tenant, key='"><b>', name="<script>x</script>")
        page = client.get(url(ana)).content.decode()
        assert "<script>" not in page
        assert '"><b>' not in page
        client.post(url(ana), {"shown": ['email:"><b>']})
        assert switched(ana) == {('"><b>', "email")}


class TestAdmin:
    """Staff give categories their names."""

    def test_staff_with_the_permission_add_change_and_delete(self, staff_with, tenant: Tenant) -> None:
        client = staff_with("add_category", "change_category", "view_category", "delete_category")
        words = {"key": "newsletter", "name": "Newsletter", "description": "Once a week."}
        assert client.post(reverse("admin:deliveries_category_add"), words).status_code == 302
        row = Category.objects.get(tenant=tenant, key="newsletter")
        again = client.post(reverse("admin:deliveries_category_add"), words)
        assert "There is a category of this key already." in again.content.decode()
        client.post(reverse("admin:deliveries_category_change", args=[row.pk]), {**words, "key": "x", "name": "News"})
        row.refresh_from_db()
        assert (row.key, row.name) == ("newsletter", "News")
        assert LogEntry.objects.count() == 2

    @pytest.mark.parametrize("name", ["add", "changelist"])
    def test_others_do_not(self, staff_with, name: str) -> None:
        client = staff_with("view_contact")
        assert client.get(reverse(f"admin:deliveries_category_{name}")).status_code == 403


def test_a_token_of_nobody_known_works_as_well(categories: list[Category], tenant: Tenant) -> None:
    stranger = person(tenant, UUID(int=7))
    assert stranger("PATCH", "preferences/", {"categories": {"newsletter": {"email": False}}}).status == 200
    assert claim(channel="email") == []
    assert OptOut.objects.get().user_id == UUID(int=7)
