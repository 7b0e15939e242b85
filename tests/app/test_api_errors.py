"""Whatever goes wrong under /api/ is JSON of one shape, and an internal error tells nothing but its request id."""

from __future__ import annotations

import logging
import re

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.api import Caller
from tests.factories import ApiKeyFactory

pytestmark = pytest.mark.django_db


def fail(*_args: object, **_named: object) -> None:
    raise RuntimeError("the secret cause")


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("address", ["nothing/", "deliveries", "deliveries/x/y/", "", "%00", "../x", "jobs/validate"])
def test_an_unknown_address_is_404_in_json(address: str, debug: bool, settings) -> None:
    settings.DEBUG = debug
    answer = Caller().get(address)
    assert (answer.status, answer.body["code"]) == (404, "not_found")
    assert answer.headers["Content-Type"] == "application/json"


def test_a_missing_slash_is_explained() -> None:
    assert "end in a slash" in Caller().post("jobs", b"{}").body["detail"]


def test_an_internal_error_says_only_its_request_id_which_is_in_the_log(monkeypatch, caplog) -> None:
    monkeypatch.setattr("deliveries.api.deliveries.deliveries_matching", fail)
    key = ApiKeyFactory()
    with caplog.at_level(logging.INFO):
        answer = Caller(key).get("deliveries/")
    assert answer.status == 500
    assert answer.body.keys() == {"detail", "code", "request_id"}
    assert (answer.body["detail"], answer.body["code"]) == ("Internal server error", "internal_error")
    assert answer.body["request_id"] in caplog.text
    assert "the secret cause" in caplog.text
    assert key.plain not in caplog.text


def test_an_error_before_the_view_is_json_too(monkeypatch) -> None:
    monkeypatch.setattr("deliveries.api.authentication.api_key_check", fail)
    answer = Caller(ApiKeyFactory()).get("contacts/")
    assert (answer.status, answer.body["code"]) == (500, "internal_error")


def test_outside_the_api_an_internal_error_is_a_page_with_the_request_id(client, monkeypatch, caplog) -> None:
    monkeypatch.setattr("deliveries.realtime.views.render", fail)
    client.raise_request_exception = False
    with caplog.at_level(logging.INFO):
        response = client.get("/inbox/")
    assert response.status_code == 500
    assert b"secret cause" not in response.content
    shown = re.search(r"<code>(.+)</code>", response.content.decode())
    assert shown
    assert shown[1] in caplog.text


@pytest.mark.parametrize("status", [403, 404, 500])
def test_a_browser_gets_a_page_with_a_way_back(client, status: int, monkeypatch) -> None:
    monkeypatch.setattr("deliveries.realtime.views.render", fail)
    client.raise_request_exception = False
    staff = User.objects.create_user("nobody", is_staff=True)
    client.force_login(staff)
    path = {403: "/admin/deliveries/delivery/", 404: "/nothing/here/", 500: "/inbox/"}[status]
    response = client.get(path)
    assert response.status_code == status
    assert 'href="/admin/"' in response.content.decode()


def test_a_form_with_a_stale_token_is_answered_in_words_with_a_way_back() -> None:
    response = Client(enforce_csrf_checks=True).post("/admin/login/")
    assert response.status_code == 403
    assert "open for too long" in response.content.decode()
    assert 'href="/admin/"' in response.content.decode()


def test_a_foreign_host_is_400_in_json(client) -> None:
    response = client.get("/api/deliveries/", headers={"host": "evil.example"})
    assert (response.status_code, response.json()["code"]) == (400, "bad_request")


def test_a_wrong_method_names_the_right_ones() -> None:
    answer = Caller(ApiKeyFactory())("DELETE", "jobs/")
    assert (answer.status, answer.body["code"]) == (405, "method_not_allowed")
    assert answer.headers["Allow"] == "POST, OPTIONS"


def test_the_pages_of_the_documentation_need_nobody_and_no_other_host(client) -> None:
    assert client.get("/api/schema/").status_code == 200
    page = client.get("/api/docs/")
    assert page.status_code == 200
    assert b"https://" not in page.content.replace(b"https://github.com", b"")
    assert b"/static/drf_spectacular_sidecar/swagger-ui-dist/" in page.content
