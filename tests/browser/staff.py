"""What staff do on any page, for the tests that drive a browser and for the pictures: log in, and wait for a draft that is saved."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, Page, expect

from tests.demo import RunningDemo

BROADCASTS = "/admin/broadcasts/broadcast/"


def log_in(page: Page, demo: RunningDemo, username: str = "admin") -> None:
    """Log in by the form, as the administrator or as ben."""
    kept = demo.folder.kept()
    page.locator("input[name=username]").fill(username)
    page.locator("input[name=password]").fill(kept.ben_password if username == "ben" else kept.admin_password)
    page.get_by_role("button", name="Log in").click()
    expect(page).not_to_have_url(re.compile("/login/"))


def saved(page: Page) -> None:
    """Wait until what was written of a broadcast is saved, and who gets it is counted for that."""
    expect(page.locator("#bc-told")).to_have_text(re.compile(r"Saved \d\d:\d\d"))
    counted(page)


def counted(page: Page) -> None:
    """Wait until the review of a broadcast counts who gets what is saved."""
    expect(page.locator("#bc-review[inert]")).to_have_count(0)
    expect(page.locator("#bc-decide")).to_be_attached()


def figure(page: Page, name: str) -> Locator:
    """Return one of the numbers above a broadcast that is watched: "Sent", "Failed"."""
    return page.locator(f'[data-name="{name}"] .ns-value')
