"""API keys: shown once, hashed at rest, refused alike whatever is wrong with them, and in no log."""

from __future__ import annotations

import logging
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from deliveries.api.keys import api_key_check, api_key_create, api_key_revoke
from deliveries.models import ApiKey, Tenant
from tests.api import Caller
from tests.factories import ApiKeyFactory, TenantFactory

pytestmark = pytest.mark.django_db
INVALID = {"detail": "No such API key, or it was revoked.", "code": "invalid_api_key"}


def altered(plain: str) -> str:
    return plain[:-1] + ("a" if plain[-1] != "a" else "b")


def test_a_key_reads_as_documented() -> None:
    new = api_key_create(tenant=TenantFactory(), name="x", scopes=["jobs"], mode="test")
    words = new.plain.split("_")
    assert words[:2] == ["nk", "test"]
    assert new.row.prefix == "_".join(words[:3])
    assert len(words[3]) == 43


def test_two_keys_differ() -> None:
    assert ApiKeyFactory().plain != ApiKeyFactory().plain


@pytest.mark.parametrize(
    "broken",
    [
        altered,
        lambda plain: plain[:-1],
        lambda plain: plain + "x",
        lambda plain: plain.rpartition("_")[0],
        lambda plain: plain.rpartition("_")[0] + "_",
        lambda plain: plain.upper(),
        lambda plain: plain.replace("nk_live", "nk_test"),
        lambda plain: "",
        lambda plain: "nk_live_" + "ä" * 54,
        lambda plain: " " * 5000,
    ],
)
def test_a_key_that_is_not_exactly_right_gets_the_same_401(broken) -> None:
    answer = Caller(broken(ApiKeyFactory().plain)).get("deliveries/")
    assert (answer.status, answer.body) == (401, INVALID)
    assert answer.headers["WWW-Authenticate"].startswith("ApiKey")


def test_the_secret_of_one_key_does_not_open_another() -> None:
    first, second = ApiKeyFactory(), ApiKeyFactory()
    mixed = f"{first.prefix}_{second.plain.rpartition('_')[2]}"
    assert Caller(mixed).get("deliveries/").body == INVALID


def test_a_revoked_key_is_refused_at_the_very_next_request() -> None:
    key = ApiKeyFactory()
    assert Caller(key).get("deliveries/").status == 200
    assert api_key_revoke(key=key)
    answer = Caller(key).get("deliveries/")
    assert (answer.status, answer.body) == (401, INVALID)
    assert not api_key_revoke(key=key)


def test_without_a_key_there_is_a_401() -> None:
    answer = Caller().get("deliveries/")
    assert (answer.status, answer.body["code"]) == (401, "not_authenticated")


def test_a_key_is_not_stored() -> None:
    key = ApiKeyFactory()
    secret = key.plain.rpartition("_")[2]
    assert secret not in str(ApiKey.objects.filter(pk=key.pk).values().get())


def test_last_use_is_written_at_most_once_a_minute(django_assert_num_queries) -> None:
    key = ApiKeyFactory()
    with django_assert_num_queries(2):
        assert api_key_check(key.plain)
    first = ApiKey.objects.get(pk=key.pk).last_used_at
    assert first is not None
    with django_assert_num_queries(1):
        assert api_key_check(key.plain)
    ApiKey.objects.filter(pk=key.pk).update(last_used_at=timezone.now() - timedelta(seconds=61))
    with django_assert_num_queries(2):
        assert api_key_check(key.plain)
    assert ApiKey.objects.get(pk=key.pk).last_used_at > first


@pytest.mark.parametrize("path", ["deliveries/", "templates/", "contacts/", "jobs/"])
def test_a_key_without_the_scope_gets_403(path: str) -> None:
    key = ApiKeyFactory(scopes=["workers"])
    answer = Caller(key)("POST" if path == "jobs/" else "GET", path)
    assert (answer.status, answer.body["code"]) == (403, "scope_required")


def test_any_key_may_read_the_schema_of_a_job() -> None:
    assert Caller(ApiKeyFactory(scopes=[])).get("schemas/notification-job.json").body["title"] == "NotificationJob"
    assert Caller().get("schemas/notification-job.json").status == 401


def test_a_bad_key_does_not_fall_back_to_the_session(admin_client) -> None:
    assert Caller(client=admin_client).get("deliveries/").status == 200
    assert Caller(altered(ApiKeyFactory().plain), client=admin_client).get("deliveries/").status == 401


def test_no_key_gets_into_the_log(caplog) -> None:
    good, bad = ApiKeyFactory().plain, altered(ApiKeyFactory().plain)
    with caplog.at_level(logging.DEBUG):
        Caller(good).get("deliveries/?nonsense=1")
        Caller(bad).get("deliveries/")
    assert caplog.records
    for plain in (good, bad):
        assert plain.rpartition("_")[2] not in caplog.text


def test_the_command_prints_a_working_key_and_nothing_else_on_stdout() -> None:
    out, err = StringIO(), StringIO()
    tenant = TenantFactory()
    call_command("create_api_key", "ci", tenant=tenant.slug, scope=["jobs", "deliveries"], stdout=out, stderr=err)
    key = api_key_check(out.getvalue().strip())
    assert key is not None
    assert (key.tenant, key.scopes, key.mode) == (tenant, ["deliveries", "jobs"], "live")
    assert out.getvalue().strip() not in err.getvalue()


def test_the_command_names_the_tenants_there_are() -> None:
    with pytest.raises(CommandError, match=Tenant.objects.first().slug):
        call_command("create_api_key", "ci", tenant="nobody")


def test_unknown_scopes_and_modes_are_refused() -> None:
    with pytest.raises(ValueError, match="No such scope: cook"):
        api_key_create(tenant=TenantFactory(), name="x", scopes=["cook"])
    with pytest.raises(ValueError, match="No such mode"):
        api_key_create(tenant=TenantFactory(), name="x", scopes=[], mode="prod")
