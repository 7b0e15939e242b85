"""What a caller may do: a key by its scopes, staff by Django's model permissions. A view that says nothing is shut."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.db.models import Model
from rest_framework.exceptions import PermissionDenied
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from deliveries.models import ApiKey

if TYPE_CHECKING:  # DRF's views load this module by name while they are being imported
    from rest_framework.views import APIView

ANY_SCOPE: Final = "*"
STAFF_ACTIONS: Final = {
    "GET": ("view",),
    "HEAD": ("view",),
    "POST": ("add",),
    "PUT": ("add", "change"),
    "PATCH": ("change",),
    "DELETE": ("delete",),
}


class HasScope(BasePermission):
    """Ask the view: `scope` for keys (ANY_SCOPE: every valid key), `staff_model` for staff (absent: keys only).

    A view may set `staff_actions` where a method means something else than usual, such as a POST that changes a row.
    """

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Decide; False with nobody known becomes a 401. Raises: PermissionDenied with what is missing."""
        if isinstance(request.auth, ApiKey):
            return self._key_may(request.auth, getattr(view, "scope", None))
        user = request.user
        if user is None or not user.is_authenticated:
            return False
        model: type[Model] | None = getattr(view, "staff_model", None)
        if model is None or not user.is_staff:
            raise PermissionDenied("This address needs an API key.", code="api_key_required")
        actions = getattr(view, "staff_actions", STAFF_ACTIONS).get(request.method, ())
        wanted = [f"{model._meta.app_label}.{action}_{model._meta.model_name}" for action in actions]
        if not wanted or not user.has_perms(wanted):
            raise PermissionDenied(f"You need the permission {' and '.join(wanted)}.", code="permission_required")
        return True

    def _key_may(self, key: ApiKey, scope: str | None) -> bool:
        if scope == ANY_SCOPE or (scope is not None and scope in key.scopes):
            return True
        raise PermissionDenied(f"This API key lacks the scope {scope}.", code="scope_required")
