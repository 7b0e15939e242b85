"""Secrets at rest: sealed, opened by any key, sealed anew by a command, and never readable in the table."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from deliveries.models import Provider, WebhookEndpoint
from deliveries.providers.credentials import CredentialsError, seal, unseal
from tests.factories import TenantFactory

pytestmark = pytest.mark.django_db
OLD, NEW = "o" * 40, "n" * 40


def stored() -> tuple[Provider, WebhookEndpoint]:
    tenant = TenantFactory()
    provider = Provider.objects.create(
        tenant=tenant, channel="email", name="A", kind="smtp", sealed_credentials=seal({"password": "hunter22"})
    )
    endpoint = WebhookEndpoint.objects.create(
        tenant=tenant,
        user_id="2d6a1f64-9a3b-4a55-8f64-1e2f3a4b5c6d",
        url="https://example.com/hook",
        sealed_secrets=seal({"secret": "whsec_hunter22"}),
    )
    return provider, endpoint


def test_what_is_sealed_comes_back_and_stands_nowhere_in_the_clear(settings: Any) -> None:
    settings.CREDENTIALS_KEYS = [NEW]
    stored()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT p::text FROM deliveries_provider p UNION ALL SELECT e::text FROM deliveries_webhookendpoint e"
        )
        assert "hunter22" not in str(cursor.fetchall())
    assert unseal(Provider.objects.get().sealed_credentials) == {"password": "hunter22"}
    assert unseal(b"") == {}


def test_a_key_that_does_not_fit_is_an_error_that_holds_no_secret(settings: Any) -> None:
    settings.CREDENTIALS_KEYS = [OLD]
    sealed = seal({"password": "hunter22"})
    settings.CREDENTIALS_KEYS = [NEW]
    with pytest.raises(CredentialsError, match="No key of CREDENTIALS_KEYS") as refused:
        unseal(sealed)
    assert "hunter22" not in str(refused.value)


def test_after_the_command_the_old_key_may_go(settings: Any) -> None:
    settings.CREDENTIALS_KEYS = [OLD]
    provider, endpoint = stored()
    settings.CREDENTIALS_KEYS = [NEW, OLD]
    assert unseal(provider.sealed_credentials) == {"password": "hunter22"}
    call_command("rotate_credentials", stdout=StringIO())
    settings.CREDENTIALS_KEYS = [NEW]
    provider.refresh_from_db()
    endpoint.refresh_from_db()
    assert unseal(provider.sealed_credentials) == {"password": "hunter22"}
    assert unseal(endpoint.sealed_secrets) == {"secret": "whsec_hunter22"}


def test_what_cannot_be_opened_is_counted_and_left_alone(settings: Any) -> None:
    settings.CREDENTIALS_KEYS = [OLD]
    stored()
    before = bytes(Provider.objects.get().sealed_credentials)
    settings.CREDENTIALS_KEYS = [NEW]
    with pytest.raises(CommandError, match="2 cannot be opened"):
        call_command("rotate_credentials", stdout=StringIO())
    assert bytes(Provider.objects.get().sealed_credentials) == before
