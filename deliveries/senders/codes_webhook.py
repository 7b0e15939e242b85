"""What a webhook endpoint's status means for the message: data, and the rule for statuses that are not named.

Sources: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md (410, 429), RFC 9110,
section 15, and RFC 8470 (425).
"""

from __future__ import annotations

from typing import Final

from deliveries.senders.refusals import Kind, Meaning

_T, _P = Kind.TEMPORARY, Kind.PERMANENT

STATUSES: Final[dict[int, Meaning]] = {
    408: Meaning(_T, "http_408", "It waited too long for the request (408). It is tried again by itself."),
    410: Meaning(_P, "endpoint_gone", "It wants no more messages (410). Remove the endpoint, or ask its owner for the new address."),
    425: Meaning(_T, "http_425", "It is not ready for the request yet (425). It is tried again by itself."),
    429: Meaning(_T, "http_429", "It gets more than it takes (429). It is tried again; if this lasts, ask its owner for a higher limit."),
}  # fmt: skip


def meaning_of(status: int) -> Meaning:
    """Return what a status other than 2xx means. One that is not in the table goes by its first digit."""
    if (known := STATUSES.get(status)) is not None:
        return known
    code = f"http_{status}"
    match status // 100:
        case 3:
            return Meaning(
                _P,
                "redirect_refused",
                f"It points elsewhere ({status}). Redirects are never followed; enter the final address.",
            )
        case 4:
            return Meaning(
                _P,
                code,
                f"It refuses the message ({status}). Check the address and its secret, or ask the endpoint's owner.",
            )
        case 5:
            return Meaning(
                _T,
                code,
                f"It has an error of its own ({status}). It is tried again; if this lasts, tell the endpoint's owner.",
            )
    return Meaning(
        Kind.UNKNOWN,
        "malformed_reply",
        f"Its status {status} is none that HTTP knows. Check that the address is the endpoint's.",
    )
