"""What a push service's statuses mean for us: data, in one place.

RFC 8030, 5 and 7.3; RFC 8292, 4.2; https://autopush.readthedocs.io/en/latest/http.html#error-codes. The endpoint comes from the
end user, so nothing that it answers is held against our account.
"""

from __future__ import annotations

from typing import Final

from deliveries.senders.devices import DEVICE_GONE, PROVIDER_ERROR, RATE_LIMITED, TOO_LARGE
from deliveries.senders.refusals import Kind, Meaning

_WRONG_KEY = Meaning(
    Kind.PERMANENT,
    "webpush_wrong_key",
    "The push service refuses our VAPID key. The browser subscribed with another one, or the provider's settings have a "
    "wrong one; let the page subscribe again.",
)

STATUSES: Final[dict[int, Meaning]] = {
    401: _WRONG_KEY,
    403: _WRONG_KEY,
    404: DEVICE_GONE,
    408: PROVIDER_ERROR,
    410: DEVICE_GONE,
    413: TOO_LARGE,
    429: RATE_LIMITED,
}
