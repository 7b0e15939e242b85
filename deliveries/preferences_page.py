"""`/u/{token}/preferences`: where a person chooses what reaches them. Led to by the unsubscribe page, by the same token and rules.

GET shows and changes nothing. POST switches what the page showed and nothing else, so what came to be meanwhile stays on.
"""

from __future__ import annotations

from typing import Final

from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from deliveries.models import Tenant
from deliveries.preferences import Preferences, preferences_change, preferences_of
from deliveries.unsubscribe import BadTokenError, Wish, wish_of
from deliveries.unsubscribe_page import shown

CHANNEL_NAMES: Final = {"email": "E-mail", "sms": "Text", "push": "Push", "ws": "In-app", "webhook": "Webhook"}
NONE: Final = "none"


@csrf_exempt
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def preferences_page(request: HttpRequest, token: str) -> HttpResponse:
    """Answer with the page; a POST saves first. Safe to repeat. 400 for a token that is not ours, of which nothing is looked up."""
    try:
        wish = wish_of(token)
    except BadTokenError:
        return shown(request, "unsubscribe/bad.html", status=400)
    tenant = Tenant.objects.filter(pk=wish.tenant_id).first()
    if tenant is None:
        return shown(request, "unsubscribe/bad.html", status=400)
    found = preferences_of(tenant=tenant, user_id=wish.user_id, also=wish.category)
    if request.method == "POST":
        wanted = _wanted(request, found)
        found = preferences_change(tenant=tenant, user_id=wish.user_id, wanted=wanted, also=wish.category)
    return shown(
        request,
        "unsubscribe/preferences.html",
        tenant=tenant,
        token=token,
        rows=_rows(found, wish),
        opted_out=[CHANNEL_NAMES[channel] for channel in found.opted_out],
        may_switch=any(not each.is_mandatory for each in found.categories),
        did=request.method == "POST",
    )


def _wanted(request: HttpRequest, found: Preferences) -> dict[tuple[str, str], bool]:
    """Return what the form says of what it showed, as far as a person may switch it."""
    on = set() if request.POST.get("action") == NONE else set(request.POST.getlist("on"))
    showed = set(request.POST.getlist("shown"))
    return {
        (each.key, channel): box in on
        for each in found.categories
        for channel in each.channels
        if (box := f"{channel}:{each.key}") in showed and not found.refusal(each.key, channel)
    }


def _rows(found: Preferences, wish: Wish) -> list[dict[str, object]]:
    """Return each category with its boxes, the one that the link was about first."""
    ordered = sorted(found.categories, key=lambda each: each.key != wish.category)
    return [
        {
            "choice": each,
            "boxes": [
                {
                    "value": f"{channel}:{each.key}",
                    "name": CHANNEL_NAMES[channel],
                    "is_on": is_on,
                    "is_locked": bool(found.refusal(each.key, channel)),
                }
                for channel, is_on in each.channels.items()
            ],
        }
        for each in ordered
    ]
