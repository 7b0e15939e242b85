"""The unsubscribe link, from the mail's headers to its page: who gets one, what it does, and what an altered one does not."""

from __future__ import annotations

import base64
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from deliveries.addresses import NOWHERE
from deliveries.compose import compose
from deliveries.models import Delivery, OptOut, Tenant
from deliveries.rendering import TemplateBook
from deliveries.senders.base import Message
from deliveries.unsubscribe import BadTokenError, Wish, link_of, opt_in, opt_out, token_of, wish_of
from tests.factories import ContactFactory, TenantFactory
from tests.lifecycle import accept, claim, incoming, start

pytestmark = pytest.mark.django_db(transaction=True)
ONE_CLICK = "List-Unsubscribe=One-Click"


@pytest.fixture(autouse=True)
def public_url(settings: Any) -> None:
    settings.PUBLIC_URL = "https://notify.example.com"


@pytest.fixture
def wish() -> Wish:
    return Wish(Tenant.objects.get().pk, uuid4(), "email", "newsletter")


def browser() -> Client:
    return Client(enforce_csrf_checks=True, raise_request_exception=False)


def page_of(wish: Wish) -> str:
    return f"/u/{token_of(wish)}"


def is_out(wish: Wish) -> bool:
    return OptOut.objects.filter(tenant=wish.tenant_id, user_id=wish.user_id, category=wish.category).exists()


def composed(**job: Any) -> Message:
    """Return a job as it goes out."""
    contact = ContactFactory(tenant=Tenant.objects.get())
    accept(incoming(user_id=str(contact.user_id), **{"channel": "email", **job}))
    [row] = claim(job.get("channel", "email"))
    message, _version = compose(row, start([row])[row.id], TemplateBook(), NOWHERE)
    return message


class TestHeaders:
    def test_a_mail_with_a_category_says_how_to_unsubscribe(self) -> None:
        message = composed(category="newsletter")
        wish = Wish(message.tenant_id, message.user_id, "email", "newsletter")
        assert message.headers == {
            "List-Unsubscribe": f"<https://notify.example.com/u/{token_of(wish)}>",
            "List-Unsubscribe-Post": ONE_CLICK,
        }

    @pytest.mark.parametrize(
        ("job", "values"),
        [
            ({}, {}),
            ({"category": "security"}, {"MANDATORY_CATEGORIES": ["security"]}),
            ({"category": "newsletter"}, {"PUBLIC_URL": ""}),
            ({"category": "newsletter", "channel": "ws"}, {}),
        ],
        ids=["no category", "mandatory", "no public address", "not a mail"],
    )
    def test_others_do_not(self, settings: Any, job: dict[str, str], values: dict[str, Any]) -> None:
        for name, value in values.items():
            setattr(settings, name, value)
        assert composed(**job).headers == {}

    def test_one_click_is_offered_over_https_only(self, settings: Any) -> None:
        settings.PUBLIC_URL = "http://127.0.0.1:8000/"
        headers = composed(category="newsletter").headers
        assert headers["List-Unsubscribe"].startswith("<http://127.0.0.1:8000/u/")
        assert "List-Unsubscribe-Post" not in headers


class TestToken:
    def test_it_names_the_wish_and_shows_nothing_of_it(self, wish: Wish) -> None:
        token = token_of(wish)
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        assert wish_of(token) == wish and token_of(wish) == token
        assert wish.user_id.bytes not in raw and b"newsletter" not in raw and b"email" not in raw
        assert len(token) < 100

    def test_every_altered_character_is_noticed(self, wish: Wish) -> None:
        token = token_of(wish)
        for place, character in enumerate(token):
            with pytest.raises(BadTokenError):
                wish_of(token[:place] + ("A" if character != "A" else "B") + token[place + 1 :])

    @pytest.mark.parametrize("token", ["", "x", "=", "a b", "ü", "A" * 601, "A" * 80, "../..", "%00"])
    def test_what_is_no_token_is_refused(self, token: str) -> None:
        with pytest.raises(BadTokenError):
            wish_of(token)

    def test_it_outlives_a_change_of_the_secret_key(self, settings: Any, wish: Wish) -> None:
        token = token_of(wish)
        settings.SECRET_KEY_FALLBACKS, settings.SECRET_KEY = [settings.SECRET_KEY], "n" * 50
        assert wish_of(token) == wish and token_of(wish) != token
        settings.SECRET_KEY_FALLBACKS = []
        with pytest.raises(BadTokenError):
            wish_of(token)

    def test_a_long_category_fits_a_header_line(self, wish: Wish) -> None:
        longest = Wish(2**63 - 1, wish.user_id, "webhook", "ü" * 100)
        assert wish_of(token_of(longest)) == longest
        assert len(f"List-Unsubscribe: <{link_of(longest)}>") < 900


class TestPage:
    def test_looking_changes_nothing(self, wish: Wish) -> None:
        for method in ("get", "head"):
            answer = getattr(browser(), method)(page_of(wish))
            assert answer.status_code == 200
        text = browser().get(page_of(wish)).content.decode()
        assert "Stop e-mails about newsletter?" in text and "<script" not in text
        assert not is_out(wish)

    def test_one_click_of_a_mail_program_unsubscribes_and_may_be_repeated(self, wish: Wish) -> None:
        for _ in range(2):
            answer = browser().post(page_of(wish), ONE_CLICK, content_type="application/x-www-form-urlencoded")
            assert answer.status_code == 200
        assert OptOut.objects.filter(user_id=wish.user_id).count() == 1

    def test_one_click_as_multipart_form_works_too(self, wish: Wish) -> None:
        assert browser().post(page_of(wish), {"List-Unsubscribe": "One-Click"}).status_code == 200
        assert is_out(wish)

    def test_the_form_unsubscribes_and_takes_it_back(self, wish: Wish) -> None:
        text = browser().post(page_of(wish), {"action": "unsubscribe"}).content.decode()
        assert "You are unsubscribed" in text and 'value="undo"' in text and is_out(wish)
        assert "You are unsubscribed" in browser().get(page_of(wish)).content.decode()
        for _ in range(2):
            assert "You are subscribed again" in browser().post(page_of(wish), {"action": "undo"}).content.decode()
        assert not is_out(wish)

    def test_an_altered_token_is_a_400_that_changes_nothing(self, wish: Wish) -> None:
        for method in ("get", "post"):
            with CaptureQueriesContext(connection) as captured:
                answer = getattr(browser(), method)(page_of(wish)[:-2] + "AA")
            assert answer.status_code == 400 and "This link does not work" in answer.content.decode()
            assert len(captured) == 0
        assert not OptOut.objects.exists()

    def test_a_tenant_that_is_gone_is_a_400(self, wish: Wish) -> None:
        assert browser().post(page_of(Wish(2**40, wish.user_id, "email", "newsletter"))).status_code == 400

    @pytest.mark.parametrize("method", ["put", "patch", "delete"])
    def test_other_methods_are_refused(self, wish: Wish, method: str) -> None:
        assert getattr(browser(), method)(page_of(wish)).status_code == 405

    def test_it_is_neither_kept_nor_framed_nor_told_to_others(self, wish: Wish) -> None:
        answer = browser().get(page_of(wish))
        assert "no-store" in answer["Cache-Control"] and answer["Referrer-Policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in answer["Content-Security-Policy"]

    @pytest.mark.parametrize(("method", "body"), [("get", {}), ("post", {}), ("post", {"action": "undo"})])
    def test_it_costs_the_same_whoever_asks(self, wish: Wish, method: str, body: dict[str, str]) -> None:
        costs = set()
        for _ in range(2):
            with CaptureQueriesContext(connection) as captured:
                getattr(browser(), method)(page_of(wish), body)
            costs.add(len([query for query in captured if "SAVEPOINT" not in query["sql"]]))
            (opt_in if is_out(wish) else opt_out)(wish)
        assert len(costs) == 1 and costs.pop() <= 4

    def test_words_of_others_are_escaped(self, wish: Wish) -> None:
        tenant = TenantFactory(name="<b>Shop</b>")
        text = browser().get(page_of(Wish(tenant.pk, wish.user_id, "email", "<i>"))).content.decode()
        assert "&lt;b&gt;Shop" in text and "<b>" not in text and "<i>" not in text


class TestRespected:
    def job(self, wish: Wish, **changes: Any) -> Delivery:
        given = {"channel": "email", "category": "newsletter", "user_id": str(wish.user_id), **changes}
        [row_id] = accept(incoming(**given))
        return Delivery.objects.get(pk=row_id)

    def test_a_job_of_the_category_is_not_sent(self, wish: Wish) -> None:
        ContactFactory(tenant=Tenant.objects.get(), user_id=wish.user_id)
        opt_out(wish)
        row = self.job(wish)
        assert (row.status, row.reason) == ("SUPPRESSED", "unsubscribed")

    @pytest.mark.parametrize(
        "other", [{"category": "news"}, {"category": None}, {"channel": "ws"}, {"user_id": str(uuid4())}]
    )
    def test_every_other_job_is(self, wish: Wish, other: dict[str, Any]) -> None:
        opt_out(wish)
        assert self.job(wish, **other).status == "PENDING"

    def test_nor_is_another_tenant_s(self, wish: Wish) -> None:
        opt_out(Wish(TenantFactory().pk, wish.user_id, "email", "newsletter"))
        assert self.job(wish).status == "PENDING"

    def test_unsubscribing_after_the_claim_stops_the_start(self, wish: Wish) -> None:
        row = self.job(wish)
        rows = claim("email")
        opt_out(wish)
        assert start(rows) == {}
        row.refresh_from_db()
        assert (row.status, row.reason, row.attempts) == ("SUPPRESSED", "unsubscribed", 0)
        assert row.error_message == "The person unsubscribed from this category"


class TestMandatory:
    """What became mandatory after links had gone out and people had unsubscribed."""

    @pytest.fixture(autouse=True)
    def mandatory(self, settings: Any) -> None:
        settings.MANDATORY_CATEGORIES = ["newsletter"]

    def test_an_older_link_changes_nothing_and_says_so(self, wish: Wish) -> None:
        answer = browser().post(page_of(wish), {"action": "unsubscribe"})
        assert "These messages stay" in answer.content.decode()
        assert not is_out(wish)

    @pytest.mark.parametrize("when", ["before the job", "before the start"])
    def test_an_older_wish_stops_nothing(self, wish: Wish, when: str) -> None:
        if when == "before the job":
            opt_out(wish)
        accept(incoming(channel="email", user_id=str(wish.user_id), category="newsletter"))
        opt_out(wish)
        assert len(start(claim("email"))) == 1
