"""Providers in the admin: adding one of each kind, its secrets, its order, its breaker, Check, and who may do what."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from django.conf import settings as django_settings
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from deliveries import hints
from deliveries.models import Provider, Tenant
from deliveries.models.providers import CARRIED
from deliveries.providers.credentials import unseal
from deliveries.providers.kinds import KINDS
from deliveries.providers.shared import verdict_key
from deliveries.providers.states import breaker_states
from tests.factories import ProviderFactory, TenantFactory
from tests.smtp import SmtpServer

pytestmark = pytest.mark.django_db

SECRET = "hunter2-is-a-secret"
LIST = "admin:deliveries_provider_changelist"
ADD = "admin:deliveries_provider_add"
COLUMNS = {"name": "Main", "is_enabled": "on", "rate_per_second": "", "deadline_seconds": ""}
SMTP = {
    "option_host": "smtp.example.com",
    "option_port": "587",
    "option_security": "starttls",
    "option_username": "shop",
    "option_password": SECRET,
    "option_from_address": "",
    "option_connections": "10",
}
TWILIO = {
    "option_account_sid": "AC" + "0" * 32,
    "option_auth_token": SECRET,
    "option_from_number": "+15005550006",
    "option_base_url": "https://api.twilio.com",
}
DESCRIPTION = {
    "url": "https://sms.example.com/send",
    "fields": {"to": "{to}", "text": "{text}"},
    "headers": {"X-Key": "{secret.key}"},
}
HTTP_SMS = {"option_description": json.dumps(DESCRIPTION), "option_key": SECRET}
P8 = (
    ec.generate_private_key(ec.SECP256R1())
    .private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    .decode()
)
PUSH = {
    "option_apns_key": P8.replace("\n", "\r\n"),  # as a browser posts it
    "option_apns_key_id": "KEYID12345",
    "option_apns_team_id": "TEAMID6789",
    "option_apns_topic": "org.example.app",
    "option_apns_base_url": "https://api.push.apple.com",
    "option_fcm_base_url": "https://fcm.googleapis.com",
}
FORMS = {"smtp": SMTP, "twilio": TWILIO, "http_sms": HTTP_SMS, "push": PUSH}


@pytest.fixture
def redis_away(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    client = redis.Redis(host="127.0.0.1", port=1, retry=None)
    monkeypatch.setattr(hints, "_client", client)
    yield
    client.close()


def add_url(kind: str) -> str:
    return f"{reverse(ADD)}?kind={kind}"


def page_of(provider: Provider) -> str:
    return reverse("admin:deliveries_provider_change", args=[provider.pk])


def action(name: str, provider: Provider) -> str:
    return reverse(f"admin:deliveries_provider_{name}", args=[provider.pk])


def text_of(client: Client, url: str) -> str:
    return client.get(url).content.decode()


def told() -> str:
    """Everything that the admin keeps beside the providers: its log and the sessions, where messages wait."""
    entries = [f"{entry.object_repr} {entry.change_message}" for entry in LogEntry.objects.all()]
    return " ".join([*entries, *(str(session.get_decoded()) for session in Session.objects.all())])


def rest(provider: Provider, seconds: float) -> None:
    """Let the sending processes have found out that a provider is broken, for so long from now."""
    key = verdict_key(provider.pk, prefix=django_settings.REDIS_PREFIX)
    hints.redis_client().set(key, f"2 {time.time() + seconds!r}", px=60_000)


# Adding.


def test_adding_begins_with_channel_and_kind(admin_client: Client) -> None:
    page = text_of(admin_client, reverse(ADD))

    assert sorted(re.findall(r'href="\?kind=(\w+)"', page)) == sorted(KINDS)
    assert all(kind.label in page for kind in KINDS.values())
    assert text_of(admin_client, add_url("fax")).count("?kind=") == len(KINDS)
    assert admin_client.post(reverse(ADD), {**COLUMNS, **SMTP}).status_code == 200
    assert not Provider.objects.exists()


@pytest.mark.parametrize("kind", FORMS)
def test_each_kind_asks_for_its_options_and_nothing_is_stored_by_looking(admin_client: Client, kind: str) -> None:
    page = text_of(admin_client, add_url(kind))

    for option in KINDS[kind].options:
        field = re.search(rf'<(?:input|select|textarea)[^>]*name="option_{option.name}"[^>]*>', page)
        assert field, option.name
        is_hidden = 'type="password"' in field[0] or "ns-secret" in field[0]
        assert is_hidden is option.is_secret, field[0]
        assert "autocomplete" in field[0] or not option.is_secret
        assert option.label in page
    assert not Provider.objects.exists()


@pytest.mark.parametrize(("kind", "values"), FORMS.items())
def test_a_provider_of_each_kind_is_added_with_its_secrets_sealed(
    admin_client: Client, tenant: Tenant, kind: str, values: dict[str, str]
) -> None:
    answer = admin_client.post(add_url(kind), {**COLUMNS, **values})

    provider = Provider.objects.get()
    assert answer.url == page_of(provider)
    assert (provider.tenant, provider.kind, provider.channel) == (tenant, kind, KINDS[kind].channel)
    assert (provider.name, provider.position, provider.is_enabled) == ("Main", 1, True)
    secrets = {option.name for option in KINDS[kind].options if option.is_secret}
    opened = unseal(provider.sealed_credentials)
    given = {name.removeprefix("option_"): value for name, value in values.items() if value}
    assert opened.keys() == given.keys() & secrets
    assert {name: " ".join(secret.split()) for name, secret in opened.items()} == {
        name: " ".join(value.split()) for name, value in given.items() if name in secrets
    }
    assert provider.options.keys() == given.keys() - secrets
    assert "Press Check" in admin_client.get(page_of(provider)).content.decode()


def test_whole_numbers_and_json_are_stored_as_such(admin_client: Client) -> None:
    admin_client.post(add_url("smtp"), {**COLUMNS, **SMTP})
    admin_client.post(add_url("http_sms"), {**COLUMNS, **HTTP_SMS})

    smtp, sms = Provider.objects.order_by("channel")
    assert smtp.options == {
        "host": "smtp.example.com", "port": 587, "security": "starttls", "username": "shop", "connections": 10
    }  # fmt: skip
    assert sms.options == {"description": DESCRIPTION}
    assert "&quot;url&quot;: &quot;https://sms.example.com/send&quot;" in text_of(admin_client, page_of(sms))


def test_a_new_one_comes_last_of_its_tenant_s_channel(admin_client: Client, tenant: Tenant) -> None:
    for position in (1, 4):
        ProviderFactory(tenant=tenant, position=position)
    ProviderFactory(tenant=tenant, channel="sms", kind="twilio", position=9)
    ProviderFactory(position=9)
    admin_client.post(f"{add_url('smtp')}", {**COLUMNS, **SMTP, "tenant": tenant.pk})

    assert Provider.objects.get(name="Main").position == 5


@pytest.mark.parametrize(
    ("kind", "changes", "field", "part"),
    [
        ("smtp", {"option_host": ""}, "option_host", "Enter the Server."),
        ("smtp", {"option_port": "0"}, "option_port", "greater than or equal to 1"),
        ("smtp", {"option_port": "70000"}, "option_port", "less than or equal to 65535"),
        ("smtp", {"option_port": "x"}, "option_port", "whole number"),
        ("smtp", {"option_security": "ssl"}, "option_security", "ssl"),
        ("smtp", {"option_from_address": "nobody"}, "option_from_address", "Enter one address"),
        ("smtp", {"option_host": "a\0b"}, "option_host", "Null characters"),
        ("smtp", {"name": ""}, "name", "required"),
        ("smtp", {"rate_per_second": "0"}, "rate_per_second", "Enter a number above 0"),
        ("smtp", {"rate_per_second": "nan"}, "rate_per_second", "Enter a number"),
        ("smtp", {"deadline_seconds": "-1"}, "deadline_seconds", "Enter a number above 0"),
        ("twilio", {"option_account_sid": "AC1"}, "option_account_sid", "Account SID must be AC and 32"),
        ("twilio", {"option_auth_token": ""}, "option_auth_token", "Enter the Auth token."),
        ("twilio", {"option_from_number": ""}, "option_from_number", "Give either From or Messaging service SID."),
        ("twilio", {"option_default_region": "XX"}, "option_default_region", "two capital letters"),
        ("http_sms", {"option_description": ""}, "option_description", "Enter the Description."),
        ("http_sms", {"option_description": "{"}, "option_description", "Enter one JSON object. Not JSON"),
        ("http_sms", {"option_description": "[]"}, "option_description", "Enter one JSON object."),
        ("http_sms", {"option_description": '{"url": "\\u0000"}'}, "option_description", "U+0000"),
        ("http_sms", {"option_description": "[" * 20_000}, "option_description", "Enter one JSON object."),
        (
            "http_sms",
            {"option_description": '{"url": "x", "fields": {}}'},
            "option_description",
            "url: must be a whole address",
        ),
        ("http_sms", {"option_default_region": "XX"}, "option_default_region", "two capital letters"),
        ("push", {"option_apns_key": ""}, "option_fcm_service_account", "Fill in at least one"),
        ("push", {"option_apns_key": SECRET}, "option_apns_key", "enter the key file as it was downloaded"),
        ("push", {"option_apns_base_url": "http://x"}, "option_apns_base_url", "must be https://"),
        ("push", {"option_fcm_service_account": SECRET}, "option_fcm_service_account", "JSON key file"),
        ("push", {"option_vapid_key": SECRET}, "option_vapid_contact", "mailto: or https:"),
        (
            "push",
            {"option_vapid_key": SECRET, "option_vapid_contact": "mailto:a@example.com"},
            "option_vapid_key",
            "base64url",
        ),
    ],
)
def test_what_is_wrong_is_said_beside_its_field_and_nothing_is_stored(
    admin_client: Client, kind: str, changes: dict[str, str], field: str, part: str
) -> None:
    answer = admin_client.post(add_url(kind), {**COLUMNS, **FORMS[kind], **changes})

    errors = answer.context["adminform"].form.errors
    assert list(errors) == [field]
    assert part in " ".join(errors[field])
    assert not Provider.objects.exists()
    assert SECRET not in answer.content.decode()
    assert P8.splitlines()[1] not in answer.content.decode()


def test_a_name_is_given_once_a_channel(admin_client: Client, tenant: Tenant) -> None:
    taken = ProviderFactory(tenant=tenant, name="Main")
    ProviderFactory(tenant=tenant, name="Other")
    ProviderFactory(tenant=tenant, name="Main", channel="sms", kind="twilio")

    answer = admin_client.post(add_url("smtp"), {**COLUMNS, **SMTP})
    renamed = admin_client.post(page_of(taken), {**COLUMNS, **SMTP, "name": "Other"})
    same = admin_client.post(page_of(taken), {**COLUMNS, **SMTP})

    for refused in (answer, renamed):
        assert "already. Enter another name." in str(refused.context["adminform"].form.errors["name"])
    assert same.status_code == 302
    assert Provider.objects.count() == 3


def test_with_several_tenants_one_is_chosen_and_stays(admin_client: Client, tenant: Tenant) -> None:
    other = TenantFactory()
    refused = admin_client.post(add_url("smtp"), {**COLUMNS, **SMTP})
    assert list(refused.context["adminform"].form.errors) == ["tenant"]

    admin_client.post(add_url("smtp"), {**COLUMNS, **SMTP, "tenant": other.pk})
    provider = Provider.objects.get()
    assert provider.tenant == other
    admin_client.post(page_of(provider), {**COLUMNS, **SMTP, "tenant": tenant.pk, "name": "Renamed"})
    provider.refresh_from_db()
    assert (provider.tenant, provider.name) == (other, "Renamed")
    assert "column-tenant" in text_of(admin_client, reverse(LIST))


# Secrets.


@pytest.fixture
def provider(tenant: Tenant) -> Provider:
    return ProviderFactory(tenant=tenant, name="Main", secrets={"password": SECRET})


def test_a_stored_secret_is_in_no_page_no_log_and_no_session(
    admin_client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    admin_client.post(add_url("smtp"), {**COLUMNS, **SMTP})
    provider = Provider.objects.get()
    admin_client.post(
        page_of(provider), {**COLUMNS, **SMTP, "option_password": SECRET + "2", "option_host": "other.example"}
    )
    admin_client.post(page_of(provider), {**COLUMNS, **SMTP, "option_password": SECRET + "3", "option_port": "x"})
    admin_client.post(action("check", provider))
    history = reverse("admin:deliveries_provider_history", args=[provider.pk])
    delete = reverse("admin:deliveries_provider_delete", args=[provider.pk])
    pages = [text_of(admin_client, url) for url in (page_of(provider), reverse(LIST), history, delete)]

    assert unseal(Provider.objects.get().sealed_credentials) == {"password": SECRET + "2"}
    assert SECRET not in "".join(pages)
    assert SECRET not in told()
    assert SECRET not in "\n".join(record.getMessage() for record in caplog.records)
    assert SECRET.encode() not in bytes(provider.sealed_credentials)


def test_an_empty_field_keeps_the_secret_and_the_very_bytes(admin_client: Client, provider: Provider) -> None:
    before = bytes(provider.sealed_credentials)
    page = text_of(admin_client, page_of(provider))
    assert "Stored, and not shown." in page

    admin_client.post(page_of(provider), {**COLUMNS, **SMTP, "option_password": "", "option_port": "2525"})

    provider.refresh_from_db()
    assert bytes(provider.sealed_credentials) == before
    assert provider.options["port"] == 2525
    entry = LogEntry.objects.get()
    assert "Port" in entry.get_change_message()
    assert "Password" not in entry.get_change_message()


def test_a_stored_secret_goes_to_no_other_address(admin_client: Client, provider: Provider) -> None:
    moved = {**COLUMNS, **SMTP, "option_password": "", "option_host": "elsewhere.example.com"}
    answer = admin_client.post(page_of(provider), moved)
    assert "Enter it again, since the address changes." in answer.content.decode()
    provider.refresh_from_db()
    assert provider.options["host"] == SMTP["option_host"]

    admin_client.post(page_of(provider), {**moved, "option_password": "entered again"})
    provider.refresh_from_db()
    assert provider.options["host"] == "elsewhere.example.com"


def test_a_secret_is_replaced_and_the_log_names_only_the_field(admin_client: Client, provider: Provider) -> None:
    admin_client.post(page_of(provider), {**COLUMNS, **SMTP, "option_password": " new one "})

    provider.refresh_from_db()
    assert unseal(provider.sealed_credentials) == {"password": " new one "}
    assert "Password" in LogEntry.objects.get().get_change_message()
    assert "new one" not in told()


def test_a_secret_is_forgotten_when_asked(admin_client: Client, provider: Provider) -> None:
    page = text_of(admin_client, page_of(provider))
    assert 'name="forget_password"' in page

    admin_client.post(page_of(provider), {**COLUMNS, **SMTP, "option_password": "", "forget_password": "on"})

    provider.refresh_from_db()
    assert bytes(provider.sealed_credentials) == b""
    assert 'name="forget_password"' not in text_of(admin_client, page_of(provider))


def test_a_secret_that_must_be_there_cannot_be_forgotten(admin_client: Client, tenant: Tenant) -> None:
    provider = ProviderFactory(
        tenant=tenant, channel="sms", kind="twilio", name="Main", secrets={"auth_token": SECRET},
        options={"account_sid": "AC" + "0" * 32, "from_number": "+15005550006"},
    )  # fmt: skip
    assert 'name="forget_auth_token"' not in text_of(admin_client, page_of(provider))

    answer = admin_client.post(
        page_of(provider), {**COLUMNS, **TWILIO, "option_auth_token": "", "forget_auth_token": "on"}
    )

    assert answer.status_code == 302
    provider.refresh_from_db()
    assert unseal(provider.sealed_credentials) == {"auth_token": SECRET}


def test_secrets_whose_key_is_lost_are_asked_for_again(admin_client: Client, provider: Provider, settings: Any) -> None:
    settings.CREDENTIALS_KEYS = ["another-key-of-at-least-thirty-two-characters"]
    page = text_of(admin_client, page_of(provider))
    assert "Senders leave it out." in page
    assert "No key of CREDENTIALS_KEYS opens these credentials." in page
    admin_client.post(action("check", provider))
    assert "CREDENTIALS_KEYS" in text_of(admin_client, page_of(provider))

    admin_client.post(page_of(provider), {**COLUMNS, **SMTP, "option_password": "entered again"})

    provider.refresh_from_db()
    assert unseal(provider.sealed_credentials) == {"password": "entered again"}


# The list.


def test_the_list_says_how_each_one_is(admin_client: Client, tenant: Tenant) -> None:
    rows = {
        "well": ProviderFactory(tenant=tenant, position=1),
        "broken": ProviderFactory(tenant=tenant, position=2, rate_per_second=2.5),
        "coming back": ProviderFactory(tenant=tenant, position=3),
        "left to us": ProviderFactory(tenant=tenant, position=4, breaker_forced="open"),
        "insisted on": ProviderFactory(tenant=tenant, position=5, breaker_forced="closed"),
        "off": ProviderFactory(tenant=tenant, position=6, is_enabled=False),
    }
    rest(rows["broken"], 30)
    rest(rows["coming back"], -1)
    rest(rows["insisted on"], 30)

    assert breaker_states(list(rows.values())) == {
        rows["well"].pk: "closed",
        rows["broken"].pk: "open",
        rows["coming back"].pk: "half-open",
        rows["left to us"].pk: "open",
        rows["insisted on"].pk: "closed",
        rows["off"].pk: "closed",
    }
    page = text_of(admin_client, reverse(LIST))
    states = re.findall(r'field-state[^>]*>.*?<span class="ns-chip" data-tone="(\w+)">([^<]+)<', page, re.DOTALL)
    assert states == [
        ("ok", "Closed: in use"),
        ("bad", "Open: left alone"),
        ("warn", "Half-open: one message tries it"),
        ("bad", "Forced open: not used"),
        ("warn", "Forced closed: always used"),
        ("ok", "Closed: in use"),
    ]
    assert re.findall(r"field-place[^>]*>\s*(?:<[^>]+>\s*)*([\w ]+)", page)[:2] == ["first", "as number 2"]
    assert "2.5 a second" in page
    assert "as fast as it goes" in page


def test_while_redis_is_away_the_list_says_so(admin_client: Client, tenant: Tenant, redis_away: None) -> None:
    unknown, forced = ProviderFactory(tenant=tenant), ProviderFactory(tenant=tenant, breaker_forced="open")

    assert breaker_states([unknown, forced]) == {unknown.pk: "unknown", forced.pk: "open"}
    page = text_of(admin_client, reverse(LIST))
    assert "Unknown: Redis is away" in page
    assert "Forced open: not used" in page
    assert "Unknown: Redis is away" in text_of(admin_client, page_of(unknown))


def test_an_empty_list_says_who_serves_the_channels(admin_client: Client, tenant: Tenant) -> None:
    assert "CHANNEL_SENDERS" in text_of(admin_client, reverse(LIST))
    ProviderFactory(tenant=tenant)
    assert "CHANNEL_SENDERS" not in text_of(admin_client, reverse(LIST))


def test_the_list_is_filtered_by_channel(admin_client: Client, tenant: Tenant) -> None:
    ProviderFactory(tenant=tenant, name="Mailer")
    ProviderFactory(tenant=tenant, name="Texter", channel="sms", kind="twilio")

    page = text_of(admin_client, f"{reverse(LIST)}?channel=sms")
    assert "Texter" in page
    assert "Mailer" not in page
    offered = re.findall(r"\?channel=(\w+)", page)
    assert set(offered) == {channel.value for channel in CARRIED}


def test_the_list_costs_the_same_however_many_there_are(admin_client: Client, tenant: Tenant) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            admin_client.get(reverse(LIST))
        return len(captured)

    ProviderFactory(tenant=tenant)
    queries()
    one = queries()
    for _ in range(10):
        ProviderFactory(tenant=tenant)
    assert queries() == one


def test_no_page_changes_anything_by_get(admin_client: Client, provider: Provider) -> None:
    pages = [reverse(LIST), reverse(ADD), add_url("smtp"), page_of(provider)]
    with CaptureQueriesContext(connection) as queries:
        for page in pages:
            assert admin_client.get(page).status_code == 200
    changes = [
        q["sql"] for q in queries if not q["sql"].lstrip().startswith("SELECT") and "django_session" not in q["sql"]
    ]
    assert changes == []
    for name in ("move_up", "force", "check"):
        assert admin_client.get(action(name, provider)).status_code == 405


# Order.


def test_move_up_puts_one_before_the_one_before_it(admin_client: Client, tenant: Tenant) -> None:
    a, b, c = (ProviderFactory(tenant=tenant, position=1) for _ in range(3))  # as if never ordered
    texter = ProviderFactory(tenant=tenant, channel="sms", kind="twilio", position=7)
    foreign = ProviderFactory(position=7)

    answer = admin_client.post(action("move_up", c), {"next": f"{reverse(LIST)}?channel=email"})

    assert answer.url == f"{reverse(LIST)}?channel=email"
    order = Provider.objects.filter(tenant=tenant, channel="email").order_by("position").values_list("pk", "position")
    assert list(order) == [(a.pk, 1), (c.pk, 2), (b.pk, 3)]
    for other in (texter, foreign):
        other.refresh_from_db()
        assert other.position == 7
    entry = LogEntry.objects.get()
    assert (entry.object_id, entry.change_message) == (str(c.pk), "Moved up to place 2.")


def test_the_first_cannot_move_up(admin_client: Client, provider: Provider) -> None:
    answer = admin_client.post(action("move_up", provider), follow=True)

    assert "is the first already" in answer.content.decode()
    assert not LogEntry.objects.exists()
    assert "Move up" not in text_of(admin_client, reverse(LIST))


# Forcing.


def test_the_breaker_is_forced_and_let_go_and_each_is_logged_once(admin_client: Client, provider: Provider) -> None:
    for forced in ("open", "open", "closed", ""):
        admin_client.post(action("force", provider), {"forced": forced})

    provider.refresh_from_db()
    assert provider.breaker_forced == ""
    assert sorted(LogEntry.objects.values_list("change_message", flat=True)) == [
        "Breaker: Closed: use it whatever happens.",
        "Breaker: Let it decide.",
        "Breaker: Open: do not use it.",
    ]


@pytest.mark.parametrize("values", [{}, {"forced": "ajar"}])
def test_what_is_none_of_the_three_changes_nothing(
    admin_client: Client, provider: Provider, values: dict[str, str]
) -> None:
    Provider.objects.update(breaker_forced="open")

    assert (
        "Choose one of the three" in admin_client.post(action("force", provider), values, follow=True).content.decode()
    )

    provider.refresh_from_db()
    assert provider.breaker_forced == "open"


# Check.


def test_check_says_what_the_provider_said(admin_client: Client, tenant: Tenant, tmp_path: Path) -> None:
    with SmtpServer(tmp_path, login=("shop", SECRET)) as server:
        options = {"host": server.host, "port": server.port, "security": "none", "username": "shop"}
        good = ProviderFactory(tenant=tenant, name="Good", options=options, secrets={"password": SECRET})
        wrong = ProviderFactory(tenant=tenant, name="Wrong", options=options, secrets={"password": SECRET + "?"})

        well = admin_client.post(action("check", good), follow=True).content.decode()
        refused = admin_client.post(action("check", wrong), follow=True).content.decode()
    gone = admin_client.post(action("check", good), follow=True).content.decode()

    assert f"Good: 127.0.0.1:{server.port} answers without encryption: 250" in well
    assert "answered AUTH with 535" in refused
    assert "Nothing listens there" in gone
    assert server.receipts() == []
    assert SECRET not in well + refused + gone + told()
    assert sorted(LogEntry.objects.values_list("change_message", flat=True)) == [
        "Checked: it answered.",
        "Checked: it cannot be used.",
        "Checked: it cannot be used.",
    ]


def test_check_of_one_that_is_stored_wrongly_says_what_is_wrong(admin_client: Client, tenant: Tenant) -> None:
    for options in ({}, {"host": "x", "port": "many"}, {"host": "x", "no_such_option": 1}):
        provider = ProviderFactory(tenant=tenant, options=options)
        assert (
            "It cannot be used as it is stored"
            in admin_client.post(action("check", provider), follow=True).content.decode()
        )


# Who may.


def test_who_may_only_look_sees_the_options_and_no_button(
    staff_with: Callable[..., Client], provider: Provider
) -> None:
    client = staff_with("view_provider")

    page = text_of(client, page_of(provider))
    assert "smtp.example.com" in page
    assert "stored" in page
    assert SECRET not in page
    assert "formaction" not in text_of(client, reverse(LIST))
    assert reverse("admin:deliveries_provider_check", args=[provider.pk]) not in page
    assert client.get(reverse(ADD)).status_code == 403
    assert client.get(add_url("smtp")).status_code == 403
    assert client.post(add_url("smtp"), {**COLUMNS, **SMTP}).status_code == 403
    assert client.post(page_of(provider), {**COLUMNS, **SMTP}).status_code == 403
    for name in ("move_up", "force", "check"):
        assert client.post(action(name, provider), {"forced": "open"}).status_code == 403
    provider.refresh_from_db()
    assert (provider.breaker_forced, provider.options) == ("", {"host": "smtp.example.com"})


def test_without_any_permission_there_is_nothing_to_see(staff_with: Callable[..., Client], provider: Provider) -> None:
    client = staff_with("view_contact")
    assert client.get(reverse(LIST)).status_code == 403
    assert client.get(page_of(provider)).status_code == 403
    assert reverse(LIST) not in text_of(client, reverse("admin:index"))


@pytest.mark.parametrize("name", ["move_up", "force", "check"])
def test_an_action_wants_a_csrf_token_and_a_provider_that_is_there(
    admin_user: User, provider: Provider, name: str
) -> None:
    strict, lenient = Client(enforce_csrf_checks=True), Client()
    for client in (strict, lenient):
        client.force_login(admin_user)
    assert strict.post(action(name, provider), {"forced": "open"}).status_code == 403
    missing = reverse(f"admin:deliveries_provider_{name}", args=[2**40])
    assert lenient.post(missing, {"forced": "open"}).status_code == 404


def test_a_kind_of_a_later_version_is_shown_and_left_alone(admin_client: Client, tenant: Tenant) -> None:
    provider = ProviderFactory(tenant=tenant, kind="pigeon", name="Main")

    assert "pigeon" in text_of(admin_client, reverse(LIST))
    assert "knows no provider of the kind" in text_of(admin_client, page_of(provider))
    assert admin_client.post(page_of(provider), {**COLUMNS, **SMTP}).status_code == 403
    checked = admin_client.post(action("check", provider), follow=True).content.decode()
    assert "knows no provider of the kind" in checked


def test_a_provider_is_removed_and_the_log_says_who_did_it(admin_client: Client, provider: Provider) -> None:
    admin_client.post(reverse("admin:deliveries_provider_delete", args=[provider.pk]), {"post": "yes"})

    assert not Provider.objects.exists()
    assert LogEntry.objects.get().object_repr == "Main"
