"""Devices and webhook endpoints in the admin: found by person, secrets shown once, and who may do what."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from standardwebhooks import Webhook

from deliveries.models import Device, Tenant, WebhookEndpoint
from deliveries.providers.credentials import seal, unseal
from tests.factories import ContactFactory, DeviceFactory, TenantFactory, WebhookEndpointFactory

pytestmark = pytest.mark.django_db

DEVICES = "admin:deliveries_device_changelist"
ENDPOINTS = "admin:deliveries_webhookendpoint_changelist"
ADD = "admin:deliveries_webhookendpoint_add"
URL = "https://hooks.example.com/secret-path"
ACTIONS = ("rotate", "drop_old_secret", "disable", "enable")


@pytest.fixture
def endpoint(tenant: Tenant) -> WebhookEndpoint:
    return WebhookEndpointFactory(tenant=tenant, url=URL)


def text_of(client: Client, url: str) -> str:
    return client.get(url).content.decode()


def page_of(row: Device | WebhookEndpoint) -> str:
    return reverse(f"admin:deliveries_{row._meta.model_name}_change", args=[row.pk])


def action(name: str, endpoint: WebhookEndpoint) -> str:
    return reverse(f"admin:deliveries_webhookendpoint_{name}", args=[endpoint.pk])


def shown_in(answer: Any) -> str:
    """Return the secret that a page shows."""
    shown = re.findall(r"whsec_[\w+/]+=*", answer.content.decode())
    assert len(shown) == 1
    assert "no-store" in answer["Cache-Control"]
    return str(shown[0])


def secrets_of(endpoint: WebhookEndpoint) -> dict[str, str]:
    return unseal(WebhookEndpoint.objects.get(pk=endpoint.pk).sealed_secrets)


def told() -> str:
    entries = [f"{entry.object_repr} {entry.change_message}" for entry in LogEntry.objects.all()]
    return " ".join([*entries, *(str(session.get_decoded()) for session in Session.objects.all())])


def queries_of(client: Client, url: str) -> int:
    with CaptureQueriesContext(connection) as captured:
        client.get(url)
    return len(captured)


# Devices.


def test_devices_are_found_by_person(admin_client: Client, tenant: Tenant) -> None:
    ana = ContactFactory(tenant=tenant, name="Ana Example")
    mine = DeviceFactory(tenant=tenant, user_id=ana.user_id, name="Ana's phone", token="the-token-123456")
    stranger = DeviceFactory(tenant=tenant, name="Stranger's phone")

    page = text_of(admin_client, reverse(DEVICES))
    assert "Ana Example" in page
    assert "no contact" in page
    for term in (ana.email, "ana ex", str(ana.user_id)):
        found = re.findall(r"/deliveries/device/(\d+)/change/", text_of(admin_client, f"{reverse(DEVICES)}?q={term}"))
        assert set(found) == {str(mine.pk)}, term
    by_id = text_of(admin_client, f"{reverse(DEVICES)}?q={stranger.user_id}")
    assert f"/deliveries/device/{stranger.pk}/change/" in by_id
    assert "/change/" not in text_of(admin_client, f"{reverse(DEVICES)}?q=nobody").split('id="changelist"')[1]


def test_neither_token_nor_keys_are_shown(admin_client: Client, tenant: Tenant) -> None:
    keys = {"p256dh": "public-half", "auth": "auth-secret"}
    row = DeviceFactory(
        tenant=tenant, platform="webpush", token="https://push.example.net/capability-abcdef", keys=keys
    )

    delete = reverse("admin:deliveries_device_delete", args=[row.pk])
    pages = "".join(text_of(admin_client, url) for url in (reverse(DEVICES), page_of(row), delete))

    assert "…abcdef" in pages
    assert not [secret for secret in ("capability", "public-half", "auth-secret") if secret in pages]


def test_a_device_is_removed_and_never_edited(admin_client: Client, tenant: Tenant) -> None:
    row = DeviceFactory(tenant=tenant)

    assert admin_client.post(page_of(row), {"name": "x"}).status_code == 403
    assert admin_client.get(reverse("admin:deliveries_device_add")).status_code == 403
    admin_client.post(reverse("admin:deliveries_device_delete", args=[row.pk]), {"post": "yes"})

    assert not Device.objects.exists()
    assert LogEntry.objects.get().object_repr == "Ana's phone"
    assert row.token not in told()


def test_removing_a_device_needs_the_permission(staff_with: Callable[..., Client], tenant: Tenant) -> None:
    row, client = DeviceFactory(tenant=tenant), staff_with("view_device")

    assert client.get(page_of(row)).status_code == 200
    delete = reverse("admin:deliveries_device_delete", args=[row.pk])
    assert client.post(delete, {"post": "yes"}).status_code == 403
    assert Device.objects.exists()


@pytest.mark.parametrize(("factory", "address"), [(DeviceFactory, DEVICES), (WebhookEndpointFactory, ENDPOINTS)])
def test_a_list_costs_the_same_however_many_rows(
    admin_client: Client, tenant: Tenant, factory: Any, address: str
) -> None:
    url = reverse(address)
    factory(tenant=tenant)
    queries_of(admin_client, url)
    one = queries_of(admin_client, url)
    for _ in range(10):
        factory(tenant=tenant, user_id=ContactFactory(tenant=tenant).user_id)
    assert queries_of(admin_client, url) == one


# Webhook endpoints.


def test_a_new_endpoint_s_secret_is_shown_once_and_kept_sealed(
    admin_client: Client, tenant: Tenant, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    user_id = uuid4()
    answer = admin_client.post(reverse(ADD), {"user_id": str(user_id), "url": URL})

    endpoint = WebhookEndpoint.objects.get()
    plain = shown_in(answer)
    assert (endpoint.tenant, endpoint.user_id, endpoint.url) == (tenant, user_id, URL)
    assert secrets_of(endpoint) == {"secret": plain}
    assert len(base64.b64decode(plain.removeprefix("whsec_"))) == 32
    assert Webhook(plain).sign("id", timezone.now(), "{}").startswith("v1,")
    pages = "".join(text_of(admin_client, url) for url in (page_of(endpoint), reverse(ENDPOINTS)))
    assert plain not in pages + told() + "\n".join(record.getMessage() for record in caplog.records)
    assert plain.encode() not in bytes(endpoint.sealed_secrets)


@pytest.mark.parametrize(
    ("url", "part"),
    [
        ("", "required"), ("hooks.example.com", "Enter a whole address"), ("ftp://hooks.example.com", "Enter a whole address"),
        ("https://", "Enter a whole address"), ("https://[::1", "Enter a whole address"), ("https://a b/", "Enter a whole address"),
        ("https://hooks.example.com:99999/", "Enter a whole address"), ("http://hooks.example.com", "begins with https://"),
        ("https://user:pass@hooks.example.com/", "user name and password"), ("https://hooks.example.com/#x", "Leave out #"),
        ("https://127.0.0.1/", "public internet"), ("https://[::ffff:10.0.0.1]/", "public internet"),
        ("https://169.254.169.254/", "public internet"), ("https://x.example/" + "y" * 2000, "2000"),
    ],
)  # fmt: skip
def test_an_address_that_cannot_be_called_is_refused(admin_client: Client, tenant: Tenant, url: str, part: str) -> None:
    answer = admin_client.post(reverse(ADD), {"user_id": str(uuid4()), "url": url})

    errors = answer.context["adminform"].form.errors
    assert list(errors) == ["url"]
    assert part in " ".join(errors["url"])
    assert not WebhookEndpoint.objects.exists()


def test_a_private_address_is_taken_where_the_settings_allow_it(
    admin_client: Client, tenant: Tenant, settings: Any
) -> None:
    settings.PRIVATE_ADDRESSES_ALLOWED = True
    admin_client.post(reverse(ADD), {"user_id": str(uuid4()), "url": "http://10.0.0.1:8080/hook"})
    assert WebhookEndpoint.objects.get().url == "http://10.0.0.1:8080/hook"


def test_a_person_has_one_endpoint(admin_client: Client, endpoint: WebhookEndpoint) -> None:
    answer = admin_client.post(reverse(ADD), {"user_id": str(endpoint.user_id), "url": URL})

    assert "has an endpoint already" in str(answer.context["adminform"].form.errors["user_id"])
    assert WebhookEndpoint.objects.count() == 1


def test_of_several_tenants_one_is_chosen(admin_client: Client, endpoint: WebhookEndpoint) -> None:
    other = TenantFactory()
    values = {"user_id": str(endpoint.user_id), "url": URL}
    assert list(admin_client.post(reverse(ADD), values).context["adminform"].form.errors) == ["tenant"]
    admin_client.post(reverse(ADD), {**values, "tenant": other.pk})
    assert WebhookEndpoint.objects.filter(tenant=other, user_id=endpoint.user_id).exists()


def test_the_address_changes_and_whose_it_is_and_its_secret_stay(
    admin_client: Client, endpoint: WebhookEndpoint
) -> None:
    before = secrets_of(endpoint)
    admin_client.post(page_of(endpoint), {"user_id": str(uuid4()), "url": "https://new.example.com/"})
    admin_client.post(page_of(endpoint), {"url": "https://127.0.0.1/"})

    changed = WebhookEndpoint.objects.get()
    assert (changed.url, changed.user_id) == ("https://new.example.com/", endpoint.user_id)
    assert secrets_of(endpoint) == before
    assert "secret-path" not in told()


def test_a_rotation_keeps_both_until_the_old_one_is_removed(admin_client: Client, endpoint: WebhookEndpoint) -> None:
    first = secrets_of(endpoint)["secret"]
    second = shown_in(admin_client.post(action("rotate", endpoint)))
    assert secrets_of(endpoint) == {"secret": second, "old_secret": first}
    assert "Two secrets are valid" in text_of(admin_client, page_of(endpoint))
    third = shown_in(admin_client.post(action("rotate", endpoint)))
    assert secrets_of(endpoint) == {"secret": third, "old_secret": second}

    admin_client.post(action("drop_old_secret", endpoint))
    assert secrets_of(endpoint) == {"secret": third}
    again = admin_client.post(action("drop_old_secret", endpoint), follow=True).content.decode()

    assert "There is only one secret." in again
    assert "Two secrets are valid" not in again
    assert LogEntry.objects.filter(change_message__contains="secret").count() == 3
    assert not [secret for secret in (first, second, third) if secret in told() + again]


def test_a_secret_that_cannot_be_opened_is_said_and_a_new_one_helps(
    admin_client: Client, endpoint: WebhookEndpoint, settings: Any
) -> None:
    settings.CREDENTIALS_KEYS = ["another-key-of-at-least-thirty-two-characters"]
    assert "Nothing can be signed." in text_of(admin_client, page_of(endpoint))
    assert "CREDENTIALS_KEYS" in admin_client.post(action("drop_old_secret", endpoint), follow=True).content.decode()

    plain = shown_in(admin_client.post(action("rotate", endpoint)))

    assert secrets_of(endpoint) == {"secret": plain}


def test_disabling_wants_a_reason_and_enabling_forgets_the_failures(
    admin_client: Client, endpoint: WebhookEndpoint
) -> None:
    since = timezone.now() - timedelta(days=2)
    WebhookEndpoint.objects.update(failing_since=since)
    assert "Failing" in text_of(admin_client, reverse(ENDPOINTS))

    assert "Say why" in admin_client.post(action("disable", endpoint), {"why": " "}, follow=True).content.decode()
    for _ in range(2):
        admin_client.post(action("disable", endpoint), {"why": "They moved"})
    endpoint.refresh_from_db()
    assert (endpoint.disabled_why, endpoint.failing_since) == ("They moved", since)
    assert endpoint.disabled_at is not None
    assert "Disabled: They moved" in text_of(admin_client, reverse(ENDPOINTS))

    for _ in range(2):
        admin_client.post(action("enable", endpoint))
    endpoint.refresh_from_db()
    assert (endpoint.disabled_at, endpoint.disabled_why, endpoint.failing_since) == (None, "", None)
    assert sorted(LogEntry.objects.values_list("change_message", flat=True)) == ["Disabled: They moved", "Enabled."]


def test_endpoints_are_found_by_person_and_the_list_shows_no_path(admin_client: Client, tenant: Tenant) -> None:
    ana = ContactFactory(tenant=tenant, name="Ana Example")
    mine = WebhookEndpointFactory(tenant=tenant, user_id=ana.user_id, url=URL)
    WebhookEndpointFactory(tenant=tenant)

    page = text_of(admin_client, f"{reverse(ENDPOINTS)}?q={ana.email}")
    assert set(re.findall(r"/deliveries/webhookendpoint/(\d+)/change/", page)) == {str(mine.pk)}
    assert "hooks.example.com" in page
    assert "secret-path" not in page


def test_who_may_only_look_can_do_nothing(staff_with: Callable[..., Client], endpoint: WebhookEndpoint) -> None:
    client, before = staff_with("view_webhookendpoint"), WebhookEndpoint.objects.values().get()

    page = text_of(client, page_of(endpoint))
    assert not [name for name in ACTIONS if action(name, endpoint) in page]
    assert client.post(page_of(endpoint), {"url": "https://new.example.com/"}).status_code == 403
    assert client.get(reverse(ADD)).status_code == 403
    for name in ACTIONS:
        assert client.post(action(name, endpoint), {"why": "x"}).status_code == 403
    assert WebhookEndpoint.objects.values().get() == before


@pytest.mark.parametrize("name", ACTIONS)
def test_an_action_is_a_post_with_a_csrf_token_on_an_endpoint_that_is_there(
    admin_user: User, endpoint: WebhookEndpoint, name: str
) -> None:
    WebhookEndpoint.objects.update(sealed_secrets=seal({"secret": "whsec_bmV3", "old_secret": "whsec_b2xk"}))
    before = WebhookEndpoint.objects.values().get()
    strict, lenient = Client(enforce_csrf_checks=True), Client()
    for client in (strict, lenient):
        client.force_login(admin_user)
    assert lenient.get(action(name, endpoint)).status_code == 405
    assert strict.post(action(name, endpoint), {"why": "x"}).status_code == 403
    missing = reverse(f"admin:deliveries_webhookendpoint_{name}", args=[2**40])
    assert lenient.post(missing, {"why": "x"}).status_code == 404
    assert WebhookEndpoint.objects.values().get() == before


def test_no_page_changes_anything_by_get(admin_client: Client, tenant: Tenant, endpoint: WebhookEndpoint) -> None:
    row = DeviceFactory(tenant=tenant)
    with CaptureQueriesContext(connection) as queries:
        for page in (reverse(DEVICES), reverse(ENDPOINTS), reverse(ADD), page_of(row), page_of(endpoint)):
            assert admin_client.get(page).status_code == 200
    changes = [
        q["sql"] for q in queries if not q["sql"].lstrip().startswith("SELECT") and "django_session" not in q["sql"]
    ]
    assert changes == []
