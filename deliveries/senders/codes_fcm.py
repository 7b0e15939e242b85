"""What FCM's error codes mean for us: data, in one place. https://firebase.google.com/docs/cloud-messaging/error-codes"""

from __future__ import annotations

from typing import Final

from deliveries.senders.devices import DEVICE_GONE, PROVIDER_ERROR, RATE_LIMITED
from deliveries.senders.refusals import Kind, Meaning

_T, _P, _A = Kind.TEMPORARY, Kind.PERMANENT, Kind.ACCOUNT

#: By `error.details[].errorCode`, the type google.firebase.fcm.v1.FcmError.
CODES: Final[dict[str, Meaning]] = {
    "UNSPECIFIED_ERROR": PROVIDER_ERROR,
    # Not the end of the device: a push that is wrong in itself gets the same answer.
    "INVALID_ARGUMENT": Meaning(
        _P,
        "fcm_invalid_argument",
        "FCM finds the push or the device's token invalid. Read what it said; correct the template, "
        "or let the app register again.",
    ),
    "UNREGISTERED": DEVICE_GONE,
    # Not the end of the device either: it may be our project that is wrong.
    "SENDER_ID_MISMATCH": Meaning(
        _P,
        "fcm_sender_id_mismatch",
        "The device registered with another Firebase project. Check that app and service account "
        "belong to the same one.",
    ),
    "QUOTA_EXCEEDED": RATE_LIMITED,
    "UNAVAILABLE": Meaning(_T, "fcm_unavailable", "FCM is overloaded. It is tried again by itself."),
    "INTERNAL": PROVIDER_ERROR,
    "THIRD_PARTY_AUTH_ERROR": Meaning(
        _A,
        "fcm_third_party_auth",
        "FCM cannot reach Apple's or the browser's push service for us. Check the APNs key and the "
        "Web Push certificate in the Firebase console.",
    ),
}

UNAUTHENTICATED = Meaning(
    _T, "fcm_unauthenticated", "FCM no longer takes our access token. The next attempt fetches a new one."
)
#: By `error.status` where there is no such detail. https://cloud.google.com/apis/design/errors
STATUSES: Final[dict[str, Meaning]] = {
    "UNAUTHENTICATED": UNAUTHENTICATED,
    "PERMISSION_DENIED": Meaning(
        _A,
        "fcm_permission_denied",
        "The service account may not send for this project. Enable the Firebase Cloud Messaging API "
        "and give the account its role.",
    ),
    "NOT_FOUND": Meaning(
        _A, "fcm_unknown_project", "FCM does not know the project. Check the service account's project_id."
    ),
}

#: Where QUOTA_EXCEEDED comes without Retry-After: "a minimum initial delay of 1 minute".
QUOTA_SECONDS: Final = 60.0
