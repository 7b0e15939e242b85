"""The page that shows a person's inbox. It holds nothing of theirs: the token stays in the browser and the rest comes by socket."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.http import require_safe

POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self' 'unsafe-inline'",  # the component's own <style>
        "img-src data:",
        "connect-src 'self'",
        "frame-ancestors 'self'",
        "base-uri 'none'",
    ]
)


@xframe_options_sameorigin
@require_safe
def inbox_page(request: HttpRequest) -> HttpResponse:
    """Show the inbox of whoever's token stands behind `#token=` in the address. The same bytes for everybody."""
    response = render(request, "inbox/page.html")
    response["Content-Security-Policy"] = POLICY
    response["Referrer-Policy"] = "no-referrer"
    return response
