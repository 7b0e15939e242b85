"""What APNs' reasons mean for us: data, in one place.

https://developer.apple.com/documentation/usernotifications/handling-notification-responses-from-apns
"""

from __future__ import annotations

from typing import Final

from deliveries.senders.devices import ACCOUNT_REFUSED, BAD_DEVICE, DEVICE_GONE, PROVIDER_ERROR, RATE_LIMITED, TOO_LARGE
from deliveries.senders.refusals import Kind, Meaning

_T, _P, _A = Kind.TEMPORARY, Kind.PERMANENT, Kind.ACCOUNT

_OUR_REQUEST = Meaning(
    _P,
    "apns_bad_request",
    "APNs does not understand our request. This is an error of ours; tell the developers what it said.",
)
_TOPIC = Meaning(
    _A,
    "apns_bad_topic",
    "Our key may not push to this topic. Check that it is the app's bundle id, and of the same team.",
)
_CREDENTIALS = Meaning(
    _A,
    "apns_bad_credentials",
    "APNs refuses our key. Check key, key id, team id, and that the key is for this environment.",
)
_UNAVAILABLE = Meaning(_T, "apns_unavailable", "APNs is shutting down or overloaded. It is tried again by itself.")

REASONS: Final[dict[str, Meaning]] = {
    # 400
    "BadCollapseId": _OUR_REQUEST,
    "BadDeviceToken": BAD_DEVICE,  # or one of the other environment: check the URL before a large send
    "BadExpirationDate": _OUR_REQUEST,
    "BadMessageId": _OUR_REQUEST,
    "BadPriority": _OUR_REQUEST,
    "BadTopic": _TOPIC,
    # Not the end of the device: it may be our topic that is wrong.
    "DeviceTokenNotForTopic": Meaning(
        _P,
        "apns_wrong_topic",
        "The device registered with another app. Check that the topic is the bundle id of the app.",
    ),
    "DuplicateHeaders": _OUR_REQUEST,
    "IdleTimeout": _UNAVAILABLE,
    "InvalidPushType": _OUR_REQUEST,
    "MissingDeviceToken": _OUR_REQUEST,
    "MissingTopic": _TOPIC,
    "PayloadEmpty": _OUR_REQUEST,
    "TopicDisallowed": _TOPIC,
    # 403
    "BadCertificate": _CREDENTIALS,
    "BadCertificateEnvironment": _CREDENTIALS,
    "BadEnvironmentKeyIdInToken": _CREDENTIALS,
    "BadEnvironmentKeyInToken": _CREDENTIALS,
    "ExpiredProviderToken": Meaning(
        _T,
        "apns_expired_token",
        "APNs finds our token too old. A new one is made by itself; if it lasts, set this machine's clock.",
    ),
    "Forbidden": ACCOUNT_REFUSED,
    "InvalidProviderToken": _CREDENTIALS,
    "MissingProviderToken": _CREDENTIALS,
    "UnrelatedKeyIdInToken": _CREDENTIALS,
    # 404, 405
    "BadPath": _OUR_REQUEST,
    "MethodNotAllowed": _OUR_REQUEST,
    # 410
    "ExpiredToken": DEVICE_GONE,
    "Unregistered": DEVICE_GONE,
    # 413
    "PayloadTooLarge": TOO_LARGE,
    # 429
    "TooManyProviderTokenUpdates": Meaning(
        _T,
        "apns_token_updates",
        "Our tokens change too often for APNs. It is tried again; if it lasts, see who else uses this key.",
    ),
    "TooManyRequests": RATE_LIMITED,  # for this one device
    # 500, 503
    "InternalServerError": PROVIDER_ERROR,
    "ServiceUnavailable": _UNAVAILABLE,
    "Shutdown": _UNAVAILABLE,
}
