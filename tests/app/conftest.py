"""Fixtures of tests that have a database. Nothing of the product is imported before Django has read its settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from django.test import Client

    from deliveries.models import ApiKey, Tenant
    from tests.api import Caller


@pytest.fixture
def jwt_key(settings: Any) -> Iterator[str]:
    """Let this process take the tokens of `tests.realtime.token`."""
    from deliveries.api import end_user
    from tests.realtime import KEY

    settings.JWT_KEY = KEY
    end_user.verifier.cache_clear()
    yield KEY
    end_user.verifier.cache_clear()


@pytest.fixture
def tenant(db: None) -> Tenant:
    """Return the only tenant of a new installation."""
    from deliveries.models import Tenant

    return Tenant.objects.get()


@pytest.fixture
def staff_with(db: None) -> Callable[..., Client]:
    """Give a function that signs in a new member of staff who has the named permissions and no others."""
    from django.contrib.auth.models import Permission, User
    from django.test import Client

    def make(*permissions: str) -> Client:
        user = User.objects.create_user(f"staff-{User.objects.count()}", password="x", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
        client = Client()
        client.force_login(user)
        return client

    return make


@pytest.fixture
def key(db: None) -> ApiKey:
    """Return an API key with every scope."""
    from tests.factories import ApiKeyFactory

    made: ApiKey = ApiKeyFactory()
    return made


@pytest.fixture
def call(key: ApiKey) -> Caller:
    """Return a client of the API with that key."""
    from tests.api import Caller

    return Caller(key)


@pytest.fixture(autouse=True)
def fresh_cache() -> Iterator[None]:
    """Let no figure that a page keeps for some seconds outlive a test."""
    from django.core.cache import cache

    cache.clear()
    yield
    cache.clear()
