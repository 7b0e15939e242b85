"""How tests start Debian's Chromium, and how long they wait for what a page shall show."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.waiting import GENEROUS_SECONDS

WAIT_MS = 1000 * GENEROUS_SECONDS
# Without these, Chromium asks its maker's servers for updates and more, and a closed network makes it wait.
ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
]
OpenPage = Callable[..., Page]

expect.set_options(timeout=WAIT_MS)
