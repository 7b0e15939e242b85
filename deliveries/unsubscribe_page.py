"""`/u/{token}`: where a mail's unsubscribe link leads. GET shows and changes nothing, whoever fetches links ahead; POST acts (RFC 8058).

The token is all the authority there is, so there is no login and no CSRF token: mail programs post from nowhere. What it means is in
`deliveries/unsubscribe.py`.
"""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from deliveries.models import Tenant
from deliveries.unsubscribe import BadTokenError, Wish, is_mandatory, is_opted_out, opt_in, opt_out, wish_of

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
UNDO = "undo"
CHANNEL_WORDS = {"email": "e-mails", "sms": "texts", "push": "pushes", "ws": "in-app messages", "webhook": "webhooks"}


@csrf_exempt
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def unsubscribe_page(request: HttpRequest, token: str) -> HttpResponse:
    """Answer with the page; a POST unsubscribes first, or takes it back where the form says `action=undo`. Safe to repeat.

    As many queries whoever asks. 400 for a token that is not ours, of which nothing is looked up.
    """
    try:
        wish = wish_of(token)
    except BadTokenError:
        return shown(request, "unsubscribe/bad.html", status=400)
    tenant = Tenant.objects.filter(pk=wish.tenant_id).first()
    if tenant is None:
        return shown(request, "unsubscribe/bad.html", status=400)
    stays = is_mandatory(wish)
    is_out = not stays and (_act(request, wish) if request.method == "POST" else is_opted_out(wish))
    return shown(
        request,
        "unsubscribe/page.html",
        is_out=is_out,
        stays=stays,
        did=request.method == "POST",
        tenant=tenant,
        token=token,
        category=wish.category.replace("_", " ").replace("-", " "),
        messages_word=CHANNEL_WORDS.get(wish.channel, "messages"),
    )


def _act(request: HttpRequest, wish: Wish) -> bool:
    """Do what the form asks for and return whether the person is unsubscribed now."""
    if request.POST.get("action") == UNDO:
        opt_in(wish)
        return False
    opt_out(wish)
    return True


def shown(request: HttpRequest, template: str, *, status: int = 200, **context: object) -> HttpResponse:
    """Return a page that a signed token opened: no script, nothing from elsewhere, and nobody is told the address."""
    response = render(request, template, context, status=status)
    response["Content-Security-Policy"] = POLICY
    response["Referrer-Policy"] = "no-referrer"  # the token stands in the address
    response["X-Robots-Tag"] = "noindex"
    return response
