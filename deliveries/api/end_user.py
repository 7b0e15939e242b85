"""Who is calling: a person, by the same JWT that opens their inbox (`deliveries/realtime/auth.py`). Not here: what they may do."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from uuid import UUID

from django.contrib.auth.models import AnonymousUser
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from deliveries.models import Tenant
from deliveries.realtime.auth import TokenError, Verifier, token_invalid, verifier_from_settings

SCHEME = "Bearer"


@dataclass(frozen=True, slots=True)
class EndUser:
    """The person that a valid token names. They need not be a contact."""

    tenant: Tenant
    user_id: UUID


class EndUserAuthentication(BaseAuthentication):
    """Accept `Authorization: Bearer <JWT>`. The person becomes `request.auth`; there is no user, so nobody's permission can leak in.

    Whatever is wrong with a token gets one and the same 401, `token_invalid`, but for one that has expired. One query.
    """

    def authenticate(self, request: Request) -> tuple[AnonymousUser, EndUser] | None:
        """Return the person. Raises: AuthenticationFailed."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != SCHEME.lower():
            return None
        try:
            identity = verifier().verify(token.strip())
            tenant = Tenant.objects.filter(slug=identity.tenant).first() if "\0" not in identity.tenant else None
            if tenant is None:
                raise token_invalid()
        except TokenError as error:
            raise AuthenticationFailed(error.message, code=error.code.value) from None
        return AnonymousUser(), EndUser(tenant, identity.user_id)

    def authenticate_header(self, request: Request) -> str:
        """Name the scheme; with it DRF answers 401 where no one is known, and not 403."""
        return SCHEME


class IsEndUser(BasePermission):
    """Let people in, and nobody else: neither a key nor staff has devices or preferences."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Say whether a person is calling."""
        return isinstance(request.auth, EndUser)


def person_of(request: Request) -> EndUser:
    """Return the person who is calling a view that lets only people in."""
    person = request.auth
    if not isinstance(person, EndUser):
        raise TypeError("EndUserAuthentication and IsEndUser stand before this view")
    return person


@cache
def verifier() -> Verifier:
    """Return this process's verifier, made on first use."""
    return verifier_from_settings()
