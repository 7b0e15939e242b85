"""The admin's look: brand, navigation, the dashboard's and the command palette's entry points, as Unfold takes them.

Callables only: nothing here may touch the database or the app registry at import, because settings import it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.urls import reverse, reverse_lazy

# Indigo, as Tailwind 4 mixes it: white text on 600 has a contrast of 6.3.
PRIMARY = {
    "50": "oklch(96.2% .018 272.314)",
    "100": "oklch(93% .034 272.788)",
    "200": "oklch(87% .065 274.039)",
    "300": "oklch(78.5% .115 274.713)",
    "400": "oklch(67.3% .182 276.935)",
    "500": "oklch(58.5% .233 277.117)",
    "600": "oklch(51.1% .262 276.966)",
    "700": "oklch(45.7% .24 277.023)",
    "800": "oklch(39.8% .195 277.366)",
    "900": "oklch(35.9% .144 278.697)",
    "950": "oklch(25.7% .09 281.288)",
}


def unfold_config(*, site_name: str, environment_label: str) -> dict[str, Any]:
    """Return Unfold's settings. `environment_label` is shown beside the brand, so that nobody mistakes staging for production."""
    return {
        "SITE_TITLE": site_name,
        "SITE_HEADER": site_name,
        "SITE_ICON": static_file("deliveries/icon.svg"),
        "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": static_file("deliveries/icon.svg")}],
        "SITE_URL": None,
        "ENVIRONMENT": "notifyproj.unfold_settings.environment" if environment_label else None,
        "ENVIRONMENT_TITLE_PREFIX": f"[{environment_label}]" if environment_label else None,
        "DASHBOARD_CALLBACK": "deliveries.admin.dashboard.context",
        "STYLES": [static_file("deliveries/staff.css")],
        "SCRIPTS": [static_file("deliveries/staff.js")],
        "COLORS": {"primary": PRIMARY},
        "COMMAND": {"search_callback": "deliveries.admin.search.command_search"},
        "SIDEBAR": {
            "show_search": True,
            "command_search": True,
            "navigation": "notifyproj.unfold_settings.navigation",
        },
    }


def static_file(path: str) -> Callable[[HttpRequest], str]:
    """Return what gives the address of a static file once the settings are complete."""

    def address(request: HttpRequest) -> str:
        from django.templatetags.static import static

        return static(path)

    return address


def environment(request: HttpRequest) -> list[str]:
    """Label the system: red where it is production, yellow elsewhere."""
    from django.conf import settings

    label = str(settings.ENVIRONMENT_LABEL)
    return [label, "danger" if label.lower().startswith("prod") else "warning"]


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """Return the side bar: what staff do first, what they set up next, what explains the machine last."""
    from deliveries.admin.base import many_tenants
    from deliveries.admin.dead_letters import open_badge

    undeliverable = _item(request, "Undeliverable", "report", "deliveries_deadletter")
    if badge := open_badge(request):
        undeliverable |= {"badge": badge, "badge_variant": "danger"}
    # With one tenant nobody speaks of tenants; that one says whom e-mails are from.
    called = ("Tenants", "apartment") if many_tenants() else ("E-mail sender", "alternate_email")
    tenants = _item(request, *called, "deliveries_tenant")
    return [
        {
            "items": [
                {"title": "Dashboard", "icon": "dashboard", "link": reverse_lazy("admin:index")},
                _item(request, "Broadcasts", "campaign", "broadcasts_broadcast"),
                _item(request, "Deliveries", "outgoing_mail", "deliveries_delivery", active=_is_deliveries(request)),
                undeliverable,
            ]
        },
        {
            "title": "Set up",
            "separator": True,
            "items": [
                _item(request, "Templates", "draft", "deliveries_template", also=("deliveries_templateversion",)),
                _item(request, "Mail frames", "crop_free", "deliveries_brand"),
                _item(request, "Contacts", "contacts", "deliveries_contact"),
                _item(request, "Audiences", "groups", "broadcasts_audience"),
                _item(request, "Topics", "rss_feed", "broadcasts_topicsubscription"),
                _item(request, "Categories", "label", "deliveries_category"),
                _item(request, "Suppressions", "block", "deliveries_suppression"),
                _item(request, "Providers", "cell_tower", "deliveries_provider"),
                _item(request, "Webhook endpoints", "webhook", "deliveries_webhookendpoint"),
                _item(request, "Devices", "devices", "deliveries_device"),
                tenants,
                _item(request, "API keys", "key", "deliveries_apikey"),
            ],
        },
        {
            "title": "Diagnostics",
            "separator": True,
            "items": [
                _item(request, "Notices", "notifications", "deliveries_notice"),
                _item(request, "Workers", "memory", "deliveries_workerheartbeat"),
                _item(request, "Holds", "pause_circle", "deliveries_hold"),
                _item(request, "Lanes", "alt_route", "deliveries_lane"),
                {
                    "title": "Runbook",
                    "icon": "menu_book",
                    "link": reverse("admin:deliveries_runbook"),
                    "active": request.path == reverse("admin:deliveries_runbook"),
                },
            ],
        },
        {
            "title": "Staff",
            "separator": True,
            "items": [_item(request, "Users", "person", "auth_user"), _item(request, "Groups", "group", "auth_group")],
        },
    ]


def _item(
    request: HttpRequest, title: str, icon: str, model: str, *, active: bool | None = None, also: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Return the entry of a model's list, seen by those who may view the model."""
    link = reverse(f"admin:{model}_changelist")
    app, _, name = model.partition("_")
    if active is None:
        places = [link, *(reverse(f"admin:{other}_changelist") for other in also)]
        active = any(request.path.startswith(place) for place in places)
    may_see = any(request.user.has_perm(f"{app}.{verb}_{name}") for verb in ("view", "change"))
    return {"title": title, "icon": icon, "link": link, "active": active, "permission": lambda request: may_see}


def _is_deliveries(request: HttpRequest) -> bool:
    """Say whether a page is about deliveries; the runbook lies under the same path."""
    place = reverse("admin:deliveries_delivery_changelist")
    return request.path.startswith(place) and request.path != reverse("admin:deliveries_runbook")
