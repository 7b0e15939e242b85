"""The staff's pages. Thin: they read by `figures`, `queries` and `timeline`, act by one service each, and hold no rules.

`words.py` is the only place that says the contract's words in staff's words. Every action is a POST that needs a
permission and leaves a log entry; a GET changes nothing.
"""

from deliveries.admin import (
    contacts,
    dead_letters,
    deliveries,
    devices,
    frames,
    keys,
    lanes,
    providers,
    staff_accounts,
    templates,
    webhook_endpoints,
    workers,
)

__all__ = [
    "contacts",
    "dead_letters",
    "deliveries",
    "devices",
    "frames",
    "keys",
    "lanes",
    "providers",
    "staff_accounts",
    "templates",
    "webhook_endpoints",
    "workers",
]
