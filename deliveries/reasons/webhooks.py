"""Reasons of webhook endpoints. Their codes: `deliveries/senders/codes_webhook.py`."""

from __future__ import annotations

from typing import Final

from deliveries.reasons.row import CREDENTIALS, ENDPOINTS, Reason, by_code

REASONS: Final = by_code((
    ("endpoint_gone", "Endpoint is gone", "The endpoint wants no more webhooks (410).",
     "Disable the endpoint, or ask its owner for the new address; then retry.", ENDPOINTS),
    ("redirect_refused", "Endpoint points elsewhere", "The endpoint answered with a redirect, which is never followed.",
     "Enter the final address as the endpoint's; then retry.", ENDPOINTS),
    ("bad_secret", "Webhook cannot be signed", "The endpoint's signing secret is missing or cannot be opened.",
     "Put the key that sealed it into CREDENTIALS_KEYS, or rotate the endpoint's secret; then retry.", CREDENTIALS),
))  # fmt: skip
#: Statuses that have a meaning of their own; the others go by their class (RFC 9110, section 15).
_STATUSES: Final = {
    "408": ("Endpoint waited too long", "The endpoint waited too long for the request."),
    "425": ("Endpoint is not ready", "The endpoint is not ready for the request yet."),
    "429": ("Too fast for the endpoint", "The endpoint gets more than it takes."),
}
_REFUSED: Final = ("Refused by the endpoint", "The endpoint refuses the webhook.")
_BROKEN: Final = ("Error of the endpoint", "The endpoint had an error of its own.")
_TEMPORARY_FIX: Final = (
    "It is tried again by itself. If it lasts, tell the endpoint's owner; it is disabled after some days."
)
_PERMANENT_FIX: Final = "Check the endpoint's address and secret with its owner; then retry."


def status(code: str, number: str) -> Reason:
    """Return what `http_NNN` means."""
    is_temporary = number in _STATUSES or number.startswith("5")
    title, sentence = _STATUSES.get(number, _BROKEN if is_temporary else _REFUSED)
    return Reason(code, f"{title} ({number})", sentence, _TEMPORARY_FIX if is_temporary else _PERMANENT_FIX, ENDPOINTS)
