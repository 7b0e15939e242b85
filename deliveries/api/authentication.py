"""Who is calling: an API key; staff come through DRF's SessionAuthentication, with CSRF. Not here: what they may do."""

from __future__ import annotations

from django.contrib.auth.models import AnonymousUser
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from deliveries.api.keys import api_key_check
from deliveries.models import ApiKey

HEADER = "X-API-Key"


class ApiKeyAuthentication(BaseAuthentication):
    """Accept `X-API-Key`. The key becomes `request.auth`; there is no user, so no user's permission can leak in.

    A wrong, altered, shortened or revoked key gets one and the same 401. A request with a key never falls back to a
    session. A missing header leaves the request to the next authenticator.
    """

    def authenticate(self, request: Request) -> tuple[AnonymousUser, ApiKey] | None:
        """Return the caller's key. Raises: AuthenticationFailed."""
        plain = request.headers.get(HEADER)
        if plain is None:
            return None
        key = api_key_check(plain)
        if key is None:
            raise AuthenticationFailed("No such API key, or it was revoked.", code="invalid_api_key")
        return AnonymousUser(), key

    def authenticate_header(self, request: Request) -> str:
        """Name the scheme; with it DRF answers 401 where no one is known, and not 403."""
        return f'ApiKey header="{HEADER}"'
