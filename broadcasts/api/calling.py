"""Who acts on which broadcast, and how a service's refusal is answered. No rules of its own but one: a test key changes tests only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rest_framework.authentication import SessionAuthentication
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.views import APIView

from broadcasts.actor import Actor
from broadcasts.api.serializers import BroadcastSerializer
from broadcasts.audience import AudienceError, AudienceTooSlowError
from broadcasts.changes import NotReady, OwnApproval, WrongState
from broadcasts.drafts import DraftChanged, DraftRefused
from broadcasts.message import NoWords
from broadcasts.models import Broadcast
from broadcasts.states import status_of_001
from deliveries.api.authentication import ApiKeyAuthentication
from deliveries.api.callers import caller_of
from deliveries.api.errors import ApiError
from deliveries.dead_letters import CannotRetryError
from deliveries.models import ApiKey


class SessionOf001(SessionAuthentication):
    """Staff by their session, whose CSRF token may also come as document 001 calls its header."""

    def authenticate(self, request: Request) -> Any:
        """Return who is signed in. Raises: PermissionDenied without a right CSRF token."""
        meta = request._request.META
        if "HTTP_X_CSRF_TOKEN" in meta:
            meta.setdefault("HTTP_X_CSRFTOKEN", meta["HTTP_X_CSRF_TOKEN"])
        return super().authenticate(request)


class BroadcastView(APIView):
    """What all views of broadcasts share. `is_001`: called by an address of document 001, whose words the answer uses."""

    scope = ApiKey.Scope.BROADCASTS
    staff_model = Broadcast
    is_001 = False

    def get_authenticators(self) -> list[Any]:
        """Take 001's name of the CSRF header under 001's addresses."""
        return [ApiKeyAuthentication(), SessionOf001()] if self.is_001 else super().get_authenticators()

    def find(self, broadcast_id: int) -> Broadcast:
        """Return the caller's broadcast. Raises: NotFound; ApiError 403 `test_key` where a test key would change a live one."""
        caller = caller_of(self.request)
        rows = caller.visible(Broadcast.objects.select_related("tenant").filter(pk=broadcast_id))
        broadcast = rows.first()
        if broadcast is None:
            raise NotFound()
        if caller.is_test and not broadcast.is_test and self.changes_it:
            raise ApiError(403, "test_key", "A test key changes broadcasts of test keys only; use a live one.")
        return broadcast

    @property
    def changes_it(self) -> bool:
        """Say whether the request may change the broadcast that it names. Every POST but those that say otherwise."""
        return self.request.method not in ("GET", "HEAD")

    def state(self, broadcast: Broadcast) -> str:
        """Return its state in the words of whoever calls."""
        return status_of_001(broadcast.state) if self.is_001 else broadcast.state

    def word(self, broadcast: Broadcast, *, status: int = 200, **more: Any) -> Response:
        """Answer with the broadcast as it is, and `more` beside it."""
        shown = BroadcastSerializer(broadcast, context={"is_001": self.is_001})
        return Response({**more, **shown.to_representation(broadcast)}, status=status)

    def act(
        self, change: Callable[..., Broadcast], broadcast_id: int, form: type[Serializer[Any]] | None = None
    ) -> Response:
        """Make one change by its service, with the values of the body that `form` takes; answer with what the broadcast is then."""
        broadcast = self.find(broadcast_id)
        values = taken(form(data=self.request.data)) if form else {}
        with self.refusals():
            return self.word(change(broadcast=broadcast, actor=actor_of(self.request), **values))

    @contextmanager
    def refusals(self) -> Iterator[None]:
        """Answer what a service refuses. Raises: ApiError."""
        try:
            yield
        except WrongState as error:
            state = status_of_001(error.state) if self.is_001 else error.state
            raise ApiError(409, "wrong_state", str(error), status=state) from None
        except NotReady as error:
            raise ApiError(409, "not_ready", str(error), problems=error.problems) from None
        except NoWords as error:
            raise ApiError(409, "not_ready", str(error), problems=[str(error)]) from None
        except AudienceError as error:
            raise ApiError(
                409, "not_ready", f"Audience: {error}", problems=[str(each) for each in error.problems]
            ) from None
        except AudienceTooSlowError as error:
            raise ApiError(503, "too_slow", str(error)) from None
        except OwnApproval as error:
            raise ApiError(403, "own_approval", str(error)) from None
        except DraftChanged as error:
            raise ApiError(409, "changed_meanwhile", str(error), revision=error.newest.revision) from None
        except DraftRefused as error:
            raise ValidationError(error.problems) from None
        except CannotRetryError as error:
            raise ApiError(409, "cannot_retry", str(error)) from None


def actor_of(request: Request) -> Actor:
    """Return who calls, as the history names them."""
    caller = caller_of(request)
    return Actor(caller.by, staff_id=caller.staff_id, address=request.META.get("REMOTE_ADDR", ""))


def may_also(request: Request, *, scope: str, permission: str) -> bool:
    """Say whether the caller may do something of deliveries, too: a key by a scope, staff by a permission."""
    if isinstance(request.auth, ApiKey):
        return scope in request.auth.scopes
    return request.user.has_perm(permission)


def taken(serializer: Serializer[Any]) -> dict[str, Any]:
    """Return what was handed in, checked. Raises: ValidationError."""
    serializer.is_valid(raise_exception=True)
    return dict(serializer.validated_data)
