"""/api/devices/: a person's own app registers, lists and removes where their pushes go."""

from __future__ import annotations

import time
from typing import Any
from uuid import UUID

import jwt
import pytest
from django.core.exceptions import ImproperlyConfigured

from deliveries import devices
from deliveries.api import end_user
from deliveries.models import Contact, Device, Tenant
from tests.api import Caller, person, staff
from tests.factories import ApiKeyFactory, DeviceFactory, TenantFactory
from tests.realtime import token

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("jwt_key")]
ANA, BEN = UUID(int=10), UUID(int=11)
PHONE = {"platform": "fcm", "token": "token-of-the-phone", "name": "Ana's phone"}
P256DH = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
AUTH = "BTBZMqHH6r4Tts7J_aSIgg"
ENDPOINT = "https://push.example.net/subscription/1"
BROWSER = {"platform": "webpush", "token": ENDPOINT, "keys": {"p256dh": P256DH, "auth": AUTH}}


@pytest.fixture
def tenant() -> Tenant:
    return TenantFactory()


@pytest.fixture
def ana(tenant: Tenant) -> Caller:
    return person(tenant, ANA)


def test_the_same_device_twice_is_one_and_is_seen_again(ana: Caller, tenant: Tenant) -> None:
    first = ana.post("devices/", PHONE)
    again = ana.post("devices/", {**PHONE, "name": "Ana's new name for it"})

    assert (first.status, again.status) == (201, 200)
    assert set(first.body) == {"id", "platform", "name", "created_at", "seen_at"}
    assert again.body["id"] == first.body["id"]
    assert again.body["created_at"] == first.body["created_at"] == first.body["seen_at"] < again.body["seen_at"]
    device = Device.objects.get()
    assert (device.tenant, device.user_id, device.token, device.keys) == (tenant, ANA, "token-of-the-phone", {})
    assert (device.name, again.body["name"]) == ("Ana's new name for it", "Ana's new name for it")


def test_a_browser_brings_its_keys_and_they_stay_here(ana: Caller) -> None:
    answer = ana.post("devices/", BROWSER)

    assert answer.status == 201
    assert Device.objects.get().keys == {"p256dh": P256DH, "auth": AUTH}
    told = f"{answer.body} {ana.get('devices/').body}"
    assert not [secret for secret in (ENDPOINT, P256DH, AUTH) if secret in told]


def test_keys_that_a_browser_renewed_replace_the_old_ones(ana: Caller) -> None:
    ana.post("devices/", BROWSER)
    ana.post("devices/", {**BROWSER, "keys": {"p256dh": P256DH + "=", "auth": "A" * 22 + "=="}})

    assert Device.objects.get().keys == {"p256dh": P256DH + "=", "auth": "A" * 22 + "=="}


def test_a_device_that_changes_hands_is_the_new_person_s_alone(ana: Caller, tenant: Tenant) -> None:
    ben = person(tenant, BEN)
    before = ana.post("devices/", PHONE).body
    after = ben.post("devices/", {"platform": "fcm", "token": PHONE["token"]})

    assert (after.status, after.body["name"]) == (201, "")
    assert after.body["created_at"] == after.body["seen_at"] > before["seen_at"]
    assert Device.objects.get().user_id == BEN
    assert ana.get("devices/").body["results"] == []
    assert ana("DELETE", f"devices/{before['id']}/").status == 404
    assert [row["id"] for row in ben.get("devices/").body["results"]] == [after.body["id"]]


def test_the_same_token_in_another_tenant_is_another_device(ana: Caller) -> None:
    ana.post("devices/", PHONE)
    assert person(TenantFactory(), ANA).post("devices/", PHONE).status == 201
    assert Device.objects.count() == 2


def test_one_lists_and_removes_one_s_own_only(ana: Caller, tenant: Tenant) -> None:
    mine = [DeviceFactory(tenant=tenant, user_id=ANA).pk for _ in range(3)]
    others = [DeviceFactory(tenant=tenant, user_id=BEN), DeviceFactory(user_id=ANA)]

    page = ana.get("devices/?limit=2").body
    assert [row["id"] for row in page["results"]] == mine[:0:-1]
    assert [row["id"] for row in ana.get(page["next"]).body["results"]] == mine[:1]
    for other in others:
        gone, refused = ana("DELETE", f"devices/{2**40}/"), ana("DELETE", f"devices/{other.pk}/")
        assert (refused.status, refused.body) == (404, gone.body)
    assert ana("DELETE", f"devices/{mine[0]}/").status == 204
    assert ana("DELETE", f"devices/{mine[0]}/").status == 404
    assert Device.objects.count() == 4


def test_who_registers_without_end_keeps_those_seen_last(
    ana: Caller, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "MAX_DEVICES", 3)
    others = DeviceFactory(tenant=tenant, user_id=BEN)
    for number in range(5):
        ana.post("devices/", {**PHONE, "token": f"token-{number}"})
    ana.post("devices/", {**PHONE, "token": "token-2"})
    ana.post("devices/", {**PHONE, "token": "token-5"})

    assert {device.token for device in Device.objects.filter(user_id=ANA)} == {"token-4", "token-2", "token-5"}
    assert Device.objects.filter(pk=others.pk).exists()


def test_every_call_is_a_few_queries_however_many_devices(
    ana: Caller, tenant: Tenant, django_assert_num_queries: Any
) -> None:
    for _ in range(20):
        DeviceFactory(tenant=tenant, user_id=ANA)
    with django_assert_num_queries(2):  # the tenant, the page
        ana.get("devices/")
    with django_assert_num_queries(5):  # the tenant, the device, the oldest ones, and the transaction's two
        registered = ana.post("devices/", PHONE).body["id"]
    with django_assert_num_queries(2):  # the tenant, the device
        ana("DELETE", f"devices/{registered}/")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"platform": "sms"}, "platform"), ({"platform": None}, "platform"), ({"token": ""}, "token"), ({"token": 7}, "token"),
        ({"token": "x" * 2001}, "token"), ({"token": "two words"}, "token"), ({"token": "töken"}, "token"),
        ({"token": "line\nbreak"}, "token"), ({"name": "x" * 101}, "name"), ({"name": None}, "name"),
        ({"keys": {"p256dh": P256DH, "auth": AUTH}}, "keys"), ({"keys": {}}, "keys"), ({"keys": "none"}, "keys"),
        ({**BROWSER, "keys": None}, "keys"), ({**BROWSER, "keys": {"auth": AUTH}}, "keys"),
        ({**BROWSER, "keys": {"p256dh": P256DH[:-1], "auth": AUTH}}, "keys"),
        ({**BROWSER, "keys": {"p256dh": P256DH, "auth": AUTH[:-1] + "!"}}, "keys"),
        ({**BROWSER, "token": "http://push.example.net/1"}, "token"), ({**BROWSER, "token": "https://"}, "token"),
        ({**BROWSER, "token": "https://[::1"}, "token"), ({"platform": "webpush", "token": ENDPOINT}, "keys"),
    ],
)  # fmt: skip
def test_a_wrong_field_is_named_and_nothing_is_stored(ana: Caller, changes: dict[str, Any], field: str) -> None:
    answer = ana.post("devices/", {**PHONE, **changes})

    assert (answer.status, answer.body["code"]) == (400, "invalid")
    assert set(answer.body) == {field, "code"}
    assert not Device.objects.exists()


@pytest.mark.parametrize(
    ("body", "code"), [(b"[]", "not_an_object"), (b"{", "invalid_json"), (b'{"name": "\\u0000"}', "nul_character")]
)
def test_what_is_no_json_object_is_refused_as_everywhere(ana: Caller, body: bytes, code: str) -> None:
    answer = ana.post("devices/", body)
    assert (answer.status, answer.body["code"]) == (400, code)


def refusals(tenant: Tenant) -> dict[str, tuple[str, str]]:
    """Return Authorization headers that let nobody in, each with the code of the answer."""
    good = token(tenant, ANA)
    claims = {"sub": str(ANA), "tenant_id": tenant.slug, "exp": int(time.time()) + 600}
    return {
        "nothing": ("", "not_authenticated"),
        "another scheme": (f"Basic {good}", "not_authenticated"),
        "no token": ("Bearer", "token_missing"),
        "expired": (f"Bearer {token(tenant, ANA, exp=1)}", "token_expired"),
        "another key": (f"Bearer {jwt.encode(claims, 'x' * 40, 'HS256')}", "token_invalid"),
        "another algorithm": (f"Bearer {jwt.encode(claims, 'x' * 64, 'HS512')}", "token_invalid"),
        "no algorithm": (f"Bearer {jwt.encode(claims, None, 'none')}", "token_invalid"),
        "altered": (f"Bearer {good[:-2]}xx", "token_invalid"),
        "no person": (f"Bearer {token(tenant, ANA, sub='ana')}", "token_invalid"),
        "unknown tenant": (f"Bearer {token(tenant, ANA, tenant_id='nowhere')}", "token_invalid"),
        "a tenant that PostgreSQL cannot ask for": (f"Bearer {token(tenant, ANA, tenant_id='a' + chr(0))}", "token_invalid"),
        "too long": (f"Bearer {'x' * 9000}", "token_invalid"),
    }  # fmt: skip


def test_without_a_good_token_nobody_gets_in(tenant: Tenant) -> None:
    row = DeviceFactory(tenant=tenant, user_id=ANA)
    for what, (header, code) in refusals(tenant).items():
        for method, path in (("GET", "devices/"), ("POST", "devices/"), ("DELETE", f"devices/{row.pk}/")):
            answer = Caller()(method, path, PHONE if method == "POST" else None, Authorization=header)
            assert (answer.status, answer.body["code"]) == (401, code), what
            assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert [device.pk for device in Device.objects.all()] == [row.pk]


def test_neither_keys_nor_staff_have_devices(tenant: Tenant) -> None:
    for caller in (Caller(ApiKeyFactory(tenant=tenant)), staff(superuser=True)):
        assert caller.get("devices/").status == 401
        assert caller.post("devices/", PHONE).status == 401
    assert not Device.objects.exists()


def test_a_token_opens_nothing_else(ana: Caller) -> None:
    assert ana.get("deliveries/").status == 401
    assert ana.get("contacts/").status == 401


def test_a_person_needs_to_be_no_contact(ana: Caller) -> None:
    assert ana.post("devices/", PHONE).status == 201
    assert not Contact.objects.exists()


def test_a_get_changes_nothing(ana: Caller, tenant: Tenant) -> None:
    row = DeviceFactory(tenant=tenant, user_id=ANA)
    ana.get("devices/")
    assert ana.get(f"devices/{row.pk}/").status == 405
    assert Device.objects.values().get() == Device.objects.filter(pk=row.pk).values().get()
    assert Device.objects.get().seen_at == row.seen_at


def test_a_parameter_that_nobody_knows_is_refused(ana: Caller) -> None:
    assert ana.get("devices/?user_id=1").body["code"] == "unknown_parameter"


def test_no_token_of_any_kind_is_in_the_log(ana: Caller, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    ana.post("devices/", BROWSER)
    ana.post("devices/", {**BROWSER, "keys": {"p256dh": "short", "auth": AUTH}})
    secrets = (ENDPOINT, P256DH, AUTH, ana.headers["Authorization"].removeprefix("Bearer "))
    logged = "\n".join(record.getMessage() for record in caplog.records if not record.name.startswith("django.db"))
    assert not [secret for secret in secrets if secret in logged]


def test_without_a_key_in_the_settings_every_token_is_refused(settings: Any, tenant: Tenant, ana: Caller) -> None:
    settings.JWT_KEY = ""
    end_user.verifier.cache_clear()
    assert ana.get("devices/").body["code"] == "token_invalid"
    settings.JWT_KEY = "short"
    end_user.verifier.cache_clear()
    with pytest.raises(ImproperlyConfigured):
        end_user.verifier()


def test_the_document_says_who_may_call() -> None:
    document = Caller().client.get("/api/schema/?format=json", headers={"Accept": "application/json"}).content.decode()
    assert "endUser" in document
