"""Staff sessions in the browser: one rule of Django's that does not fit pages which ask by themselves."""

from __future__ import annotations

from django.conf import settings
from django.contrib.sessions import middleware
from django.http import HttpRequest, HttpResponse


class SessionMiddleware(middleware.SessionMiddleware):
    """Django's, but a request whose session is gone does not delete the cookie; only signing out does.

    A new login or password ends the session before it. A tab that had just asked with that one would take the new one along: its
    answer deletes the cookie by name, whatever the cookie holds by now.
    """

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        """Add the session's cookie to an answer, or remove it after signing out."""
        session = getattr(request, "session", None)
        is_gone = session is not None and session.is_empty() and not session.modified
        response = super().process_response(request, response)
        if is_gone:
            response.cookies.pop(settings.SESSION_COOKIE_NAME, None)
        return response
