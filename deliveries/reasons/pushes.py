"""Reasons of push platforms. Their codes: `deliveries/senders/codes_fcm.py`, `codes_apns.py`, `codes_webpush.py`, `devices.py`."""

from __future__ import annotations

from typing import Final

from deliveries.reasons.row import PUSHES, by_code

_SETTINGS: Final = "in the push provider's settings, press Check, then retry."

REASONS: Final = by_code((
    ("no_device", "No device", "The person has no device that takes pushes.",
     "They must open the app, or the page, and allow notifications; it registers the device.", PUSHES),
    ("no_live_device", "App gone from every device", "The app is gone from every device that the person had.",
     "Reach them over another channel until they install and open it again.", PUSHES),
    ("device_gone", "App gone from the device", "The app is no longer on this device; the device is forgotten.",
     "Nothing to do: it registers again when the person opens the app.", PUSHES),
    ("bad_device", "Device not valid", "The device's token or keys are not valid; the device is forgotten.",
     "Many at once: check that the app registers what its platform gave it, and with this platform.", PUSHES),
    ("platform_unavailable", "Platform not set up", "The push provider is not set up for this device's platform.",
     f"Fill in FCM, APNs or Web Push {_SETTINGS}", PUSHES),
    ("apns_bad_credentials", "Apple refuses our key", "APNs refuses the key that signs our requests.",
     f"Check key, key id, team id and the address of the environment {_SETTINGS}", PUSHES),
    ("apns_bad_topic", "Apple refuses our topic", "Our key may not push to this topic.",
     f"Enter the app's bundle id as topic, of the same team as the key, {_SETTINGS}", PUSHES),
    ("apns_wrong_topic", "Device of another app", "The device registered with another app than the topic's.",
     "Check that the topic is the bundle id of the app that registers here.", PUSHES),
    ("apns_bad_request", "Apple does not understand us", "APNs does not understand our request.",
     "This is an error of ours: report what it said.", PUSHES),
    ("apns_expired_token", "Token too old for Apple", "APNs finds the token that we signed too old.",
     "A new one is made by itself. If it lasts, set this machine's clock.", PUSHES),
    ("apns_token_updates", "Tokens change too often", "Our tokens change more often than APNs allows.",
     "It is tried again by itself. If it lasts, see who else uses this key.", PUSHES),
    ("apns_unavailable", "Apple's service is away", "APNs is shutting down or overloaded.",
     "It is tried again by itself.", PUSHES),
    ("fcm_invalid_argument", "Firebase finds it invalid", "FCM finds the push, or the device's token, invalid.",
     "Read what it said; correct the template, or let the app register again.", PUSHES),
    ("fcm_sender_id_mismatch", "Device of another project", "The device registered with another Firebase project.",
     "Check that the app and the service account belong to the same project.", PUSHES),
    ("fcm_permission_denied", "Firebase refuses the account", "The service account may not send for this project.",
     "Enable the Firebase Cloud Messaging API and give the account its role; press Check, then retry.", PUSHES),
    ("fcm_unknown_project", "Firebase project unknown", "FCM does not know the project of the service account.",
     f"Enter the service account's file as Firebase gave it {_SETTINGS}", PUSHES),
    ("fcm_third_party_auth", "Firebase cannot reach Apple", "FCM cannot reach Apple's or the browser's service for us.",
     "Check the APNs key and the Web Push certificate in the Firebase console; then retry.", PUSHES),
    ("fcm_unauthenticated", "Firebase wants a new token", "FCM no longer takes our access token.",
     "The next attempt fetches a new one. If it lasts, press Check.", PUSHES),
    ("fcm_unavailable", "Firebase is away", "FCM is overloaded.",
     "It is tried again by itself.", PUSHES),
    ("webpush_wrong_key", "Browser knows another key", "The browser's push service refuses our VAPID key.",
     "The page must subscribe with this provider's key. If the key was changed, let pages subscribe again.", PUSHES),
))  # fmt: skip
