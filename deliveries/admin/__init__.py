"""The staff's pages. Thin: they read by `figures`, `queries` and `timeline`, act by one service each, and hold no rules.

`words.py` is the only place that says the contract's words in staff's words. Every action is a POST that needs a
permission and leaves a log entry; a GET changes nothing.
"""

from deliveries.admin import (
    categories,
    contacts,
    dead_letters,
    deliveries,
    devices,
    frames,
    holds,
    keys,
    lanes,
    notices,
    providers,
    staff_accounts,
    suppressions,
    templates,
    webhook_endpoints,
    workers,
)

__all__ = [
    "categories",
    "contacts",
    "dead_letters",
    "deliveries",
    "devices",
    "frames",
    "holds",
    "keys",
    "lanes",
    "notices",
    "providers",
    "staff_accounts",
    "suppressions",
    "templates",
    "webhook_endpoints",
    "workers",
]
