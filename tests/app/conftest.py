"""Fixtures of tests that have a database. Nothing of the product is imported before Django has read its settings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture
def jwt_key(settings: Any) -> Iterator[str]:
    """Let this process take the tokens of `tests.realtime.token`."""
    from deliveries.api import end_user
    from tests.realtime import KEY

    settings.JWT_KEY = KEY
    end_user.verifier.cache_clear()
    yield KEY
    end_user.verifier.cache_clear()
