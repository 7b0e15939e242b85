"""/api/contacts/: list, read, create or replace one or many, delete."""

from __future__ import annotations

import json
from uuid import UUID, uuid4

import pytest

from deliveries.models import Contact
from tests.api import staff
from tests.factories import ContactFactory

pytestmark = pytest.mark.django_db
ANA = {
    "name": "Ana",
    "email": "ana@example.com",
    "phone": "+4915112345678",
    "locale": "pt-BR",
    "time_zone": "Europe/Lisbon",
    "attributes": {"plan": "gold", "seats": 3},
    "opted_out": ["sms"],
}


def test_put_creates_then_replaces_and_what_is_left_out_is_empty(call, key) -> None:
    user_id = uuid4()
    created = call.put(f"contacts/{user_id}/", ANA)
    assert created.status == 201
    assert {name: created.body[name] for name in ANA} == ANA
    assert (created.body["user_id"], created.body["tenant"]) == (str(user_id), key.tenant.slug)
    replaced = call.put(f"contacts/{user_id}/", {"name": "Ana Maria"})
    assert (replaced.status, replaced.body["name"], replaced.body["email"]) == (200, "Ana Maria", "")
    assert (replaced.body["attributes"], replaced.body["opted_out"]) == ({}, [])
    assert replaced.body["created_at"] == created.body["created_at"]
    assert replaced.body["updated_at"] > created.body["updated_at"]
    assert call.get(f"contacts/{user_id}/").body == replaced.body


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", 7), ("name", "x" * 201), ("name", None), ("email", "ana"), ("email", "ana@example.com\n"),
        ("email", True), ("phone", "0151"), ("phone", "+49151\n2345678"), ("locale", "!"), ("time_zone", "Mars/Base"),
        ("attributes", []), ("opted_out", ["fax"]), ("opted_out", "sms"), ("opted_out", ["sms"] * 6),
    ],
)  # fmt: skip
def test_a_wrong_field_is_named_and_nothing_is_stored(call, field: str, value: object) -> None:
    answer = call.put(f"contacts/{uuid4()}/", {**ANA, field: value})
    assert (answer.status, answer.body["code"]) == (400, "invalid")
    assert answer.body[field]
    assert not Contact.objects.exists()


@pytest.mark.parametrize(
    ("body", "code"),
    [(b"[]", "not_an_object"), (b'{"name": "\\u0000"}', "nul_character"), (b'{"name": "\\ud800"}', "lone_surrogate"),
     (b'{"name": "a", "name": "b"}', "duplicate_key"), (b"{", "invalid_json"), (b'{"attributes": {"x": NaN}}', "not_finite")],
)  # fmt: skip
def test_what_postgres_or_another_reader_would_trip_over_is_refused(call, body: bytes, code: str) -> None:
    answer = call.put(f"contacts/{uuid4()}/", body)
    assert (answer.status, answer.body["code"]) == (400, code)


def test_numbers_beyond_64_bits_come_back_as_they_are(call) -> None:
    user_id = uuid4()
    huge = {"large": 1e30, "small": 1e-30, "deep": [{"x": 1.5e300}]}
    assert call.put(f"contacts/{user_id}/", {"attributes": huge}).status == 201
    response = call.client.get(f"/api/contacts/{user_id}/", headers=call.headers)
    assert json.loads(response.content, parse_int=float)["attributes"] == huge  # jsonb writes 1e30 out in digits


def test_the_nil_uuid_is_nobody(call) -> None:
    assert call.put(f"contacts/{UUID(int=0)}/", ANA).status == 404


def test_many_are_stored_at_once_new_and_old(call, key, django_assert_max_num_queries) -> None:
    old = ContactFactory(tenant=key.tenant, name="Old")
    people = [{"user_id": str(old.user_id), "name": "New"}, *({**ANA, "user_id": str(uuid4())} for _ in range(999))]
    call.get("contacts/")
    with django_assert_max_num_queries(6) as queries:
        assert call.post("contacts/", {"contacts": people}).body == {"stored": 1000}
    assert sum("INSERT" in query["sql"] for query in queries) == 1
    old.refresh_from_db()
    assert (old.name, Contact.objects.filter(tenant=key.tenant).count()) == ("New", 1000)


def test_of_many_all_or_none_are_stored(call) -> None:
    same = str(uuid4())
    twice = call.post("contacts/", {"contacts": [{"user_id": same}, {"user_id": same}]})
    bad = call.post("contacts/", {"contacts": [{"user_id": str(uuid4())}, {"user_id": str(uuid4()), "email": "x"}]})
    too_many = call.post("contacts/", {"contacts": [{"user_id": str(uuid4())} for _ in range(1001)]})
    for answer in (twice, bad, too_many, call.post("contacts/", {"contacts": []}), call.post("contacts/", {})):
        assert (answer.status, answer.body["code"]) == (400, "invalid")
        assert answer.body["contacts"]
    assert not Contact.objects.exists()


def test_the_list_walks_all_once_in_a_constant_number_of_queries(call, key, django_assert_num_queries) -> None:
    for _ in range(5):
        ContactFactory(tenant=key.tenant)
    ContactFactory()
    call.get("contacts/")
    seen, address = [], "contacts/?limit=2"
    while address:
        with django_assert_num_queries(2):
            answer = call.get(address).body
        seen += [row["user_id"] for row in answer["results"]]
        address = answer["next"]
    assert sorted(seen) == sorted(str(row.user_id) for row in Contact.objects.filter(tenant=key.tenant))


def test_delete_deletes_once(call, key) -> None:
    contact = ContactFactory(tenant=key.tenant)
    assert call("DELETE", f"contacts/{contact.user_id}/").status == 204
    assert call("DELETE", f"contacts/{contact.user_id}/").status == 404


def test_the_same_person_of_another_tenant_is_another_contact(call) -> None:
    foreign = ContactFactory(name="Foreign")
    assert call.put(f"contacts/{foreign.user_id}/", ANA).status == 201
    foreign.refresh_from_db()
    assert foreign.name == "Foreign"


def test_staff_need_the_permission_for_each_method() -> None:
    contact = ContactFactory()
    path = f"contacts/{contact.user_id}/"
    someone = staff("view_contact")
    assert someone.get(path).status == 200
    assert someone.put(path, ANA).status == 403
    assert someone("DELETE", path).status == 403
    assert staff("add_contact", "change_contact").put(f"{path}?tenant={contact.tenant.slug}", ANA).status == 200
    assert staff("delete_contact")("DELETE", path).status == 204


def test_staff_put_without_a_csrf_token_is_403() -> None:
    assert staff(superuser=True, csrf=True).put(f"contacts/{uuid4()}/", ANA).status == 403
    assert not Contact.objects.exists()
