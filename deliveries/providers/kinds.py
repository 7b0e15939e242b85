"""What kinds of provider there are: what each asks staff for, and how its sender is made of that. Senders themselves read no settings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from django.conf import settings

from deliveries.callbacks import generic
from deliveries.callbacks.twilio import JOB_PARAMETER
from deliveries.channels import Channel
from deliveries.phones import known_region
from deliveries.providers.mail_kinds import MAIL_KINDS
from deliveries.providers.options import OWN_LIMIT_SHARE, Kind, Option, OptionError
from deliveries.providers.options import about as _about
from deliveries.providers.options import outgoing as _outgoing
from deliveries.senders.apns import PRODUCTION_URL as APNS_URL
from deliveries.senders.apns import ApnsSender
from deliveries.senders.base import Platform, Sender, SendError
from deliveries.senders.devices import DeviceSender
from deliveries.senders.email import EmailSender
from deliveries.senders.fcm import BASE_URL as FCM_URL
from deliveries.senders.fcm import FcmSender
from deliveries.senders.http_sms import HttpSmsSender
from deliveries.senders.push import PushSender
from deliveries.senders.twilio import BASE_URL as TWILIO_URL
from deliveries.senders.twilio import REFERENCE, TwilioSender
from deliveries.senders.webpush import WebPushSender

__all__ = [
    "HTTP_SMS",
    "KINDS",
    "OWN_LIMIT_SHARE",
    "PUSH",
    "SMTP",
    "TWILIO",
    "Kind",
    "Option",
    "OptionError",
    "complete",
]
#: What cannot stand in a header or a login; requests quotes a key that has it.
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def _smtp(options: Mapping[str, Any], deadline_seconds: float) -> Sender:
    security = options["security"]
    try:
        return EmailSender(
            host=options["host"],
            port=options["port"],
            username=options["username"],
            password=options["password"],
            use_tls=security == "tls",
            starttls={"starttls": True, "none": False}.get(security),
            from_address=options["from_address"] or settings.EMAIL_FROM,
            message_id_domain=settings.EMAIL_MESSAGE_ID_DOMAIN,
            connections=options["connections"],
            timeout_seconds=deadline_seconds * OWN_LIMIT_SHARE,
        )
    except SendError:
        raise OptionError("from_address", "Enter one address, such as Shop <shop@example.com>.") from None


SMTP = Kind(
    "smtp",
    "SMTP server",
    Channel.EMAIL,
    (
        Option("host", "Server", "Host name or address of the mail server.", is_required=True, is_address=True),
        Option("port", "Port", type=int, default=587),
        Option("security", "Security", default="starttls", choices=("starttls", "tls", "none")),
        Option("username", "User name", "Empty: no login."),
        Option("password", "Password", is_secret=True),
        Option("from_address", "From", "Empty: the address of EMAIL_FROM."),
        Option("connections", "Connections", "How many each process keeps open.", type=int, default=10),
    ),
    _smtp,
)


def _twilio(options: Mapping[str, Any], deadline_seconds: float) -> Sender:
    if options["status_callback"] and options["api_key_sid"] and not options["signing_token"]:
        raise OptionError("signing_token", "Enter the account's auth token: Twilio signs its callbacks with that one.")
    return TwilioSender(
        account_sid=options["account_sid"],
        auth_token=options["auth_token"],
        api_key_sid=options["api_key_sid"],
        from_number=options["from_number"],
        messaging_service_sid=options["messaging_service_sid"],
        status_callback=_with_job(options["status_callback"]),
        default_region=_region(options),
        base_url=options["base_url"],
        **_outgoing(deadline_seconds),
    )


def _with_job(address: str) -> str:
    """Return the address of status callbacks so that each names its job: a report is then found before its receipt is stored."""
    if not address:
        return ""
    with _about("status_callback"):
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("Enter a whole address such as https://notify.example.com/api/callbacks/1/.")
    named = f"{JOB_PARAMETER}={REFERENCE}"
    if named in parts.query.split("&"):
        return address
    return parts._replace(query=f"{parts.query}&{named}" if parts.query else named).geturl()


def _http_sms(options: Mapping[str, Any], deadline_seconds: float) -> Sender:
    if options["callback"]:
        with _about("callback"):
            generic.check(options["callback"])
        if not options["callback_secret"]:
            raise OptionError("callback_secret", "Enter the secret that the provider signs its reports with.")
    secrets = {name: options[name] for name in ("key", "key_2") if options[name]}
    with _about("description"):
        return HttpSmsSender(
            description=options["description"],
            secrets=secrets,
            default_region=_region(options),
            **_outgoing(deadline_seconds),
        )


def _push(options: Mapping[str, Any], deadline_seconds: float) -> Sender:
    """Make a sender for the platforms that are filled in."""
    platforms: dict[Platform, DeviceSender] = {}
    outgoing = _outgoing(deadline_seconds)
    if options["fcm_service_account"]:
        account = options["fcm_service_account"]
        with _about("fcm_service_account"):
            platforms["fcm"] = FcmSender(service_account=account, base_url=options["fcm_base_url"], **outgoing)
    if options["apns_key"]:
        with _about("apns_key", base_url="apns_base_url"):
            platforms["apns"] = ApnsSender(
                key=options["apns_key"],
                key_id=options["apns_key_id"],
                team_id=options["apns_team_id"],
                topic=options["apns_topic"],
                base_url=options["apns_base_url"],
                timeout_seconds=outgoing["timeout_seconds"],
                ca_file=outgoing["ca_file"],
            )
    if options["vapid_key"]:
        with _about("vapid_key", contact="vapid_contact"):
            platforms["webpush"] = WebPushSender(key=options["vapid_key"], contact=options["vapid_contact"], **outgoing)
    if not platforms:
        raise OptionError("fcm_service_account", "Fill in at least one of FCM, APNs and Web Push.")
    return PushSender(platforms)


def _region(options: Mapping[str, Any]) -> str:
    with _about("default_region"):
        return known_region(options["default_region"])


TWILIO = Kind(
    "twilio",
    "Twilio",
    Channel.SMS,
    (
        Option("account_sid", "Account SID", "AC and 32 digits, from Twilio's console.", is_required=True),
        Option("auth_token", "Auth token", "Or the secret of the API key.", is_required=True, is_secret=True),
        Option("api_key_sid", "API key SID", "Empty: the account itself logs in."),
        Option("from_number", "From", "A number of yours in E.164, or empty where a messaging service is given."),
        Option("messaging_service_sid", "Messaging service SID"),
        Option(
            "status_callback",
            "Status callback",
            "Where Twilio tells what became of a text: https://, this service's host, /api/callbacks/, this provider's number and /.",
        ),
        Option(
            "signing_token",
            "Signing token",
            "The auth token that signs status callbacks: where an API key logs in, or the secondary one while it is replaced.",
            is_secret=True,
        ),
        Option("default_region", "Region of numbers without +", "Two letters, such as DE. Empty: they are refused."),
        Option("base_url", "API address", default=TWILIO_URL, is_address=True),
    ),
    _twilio,
)
HTTP_SMS = Kind(
    "http_sms",
    "Another SMS provider over HTTP",
    Channel.SMS,
    (
        Option(
            "description",
            "Description",
            "JSON: docs/providers.md shows its form.",
            type=dict,
            is_required=True,
            is_address=True,
        ),
        Option("key", "Key", "Stands where the description says {secret.key}.", is_secret=True),
        Option("key_2", "Second key", "Stands where it says {secret.key_2}.", is_secret=True),
        Option(
            "callback", "Status callback", "JSON: how its signed reports read. docs/api.md shows its form.", type=dict
        ),
        Option("callback_secret", "Callback secret", "What it signs its reports with.", is_secret=True),
        Option("default_region", "Region of numbers without +", "Two letters, such as DE. Empty: they are refused."),
    ),
    _http_sms,
)
PUSH = Kind(
    "push",
    "Push: FCM, APNs and Web Push",
    Channel.PUSH,
    (
        Option(
            "fcm_service_account", "FCM service account", "The JSON file's content.", is_secret=True, is_multiline=True
        ),
        Option("fcm_base_url", "FCM address", default=FCM_URL, is_address=True),
        Option("apns_key", "APNs key", "The .p8 file's content.", is_secret=True, is_multiline=True),
        Option("apns_key_id", "APNs key id"),
        Option("apns_team_id", "APNs team id"),
        Option("apns_topic", "APNs topic", "The app's bundle id."),
        Option("apns_base_url", "APNs address", default=APNS_URL, is_address=True),
        Option("vapid_key", "VAPID key", "The private key, for Web Push.", is_secret=True, is_multiline=True),
        Option("vapid_contact", "VAPID contact", "mailto: or https: address that push services may write to."),
    ),
    _push,
)

KINDS: dict[str, Kind] = {kind.name: kind for kind in (SMTP, *MAIL_KINDS, TWILIO, HTTP_SMS, PUSH)}


def complete(kind: Kind, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return every option of `kind`, defaults filled in. Raises: OptionError for the first that is missing, unknown or wrong."""
    known = {option.name for option in kind.options}
    for name in given:
        if name not in known:
            raise OptionError(name, f"{kind.label} has no such option; it has {', '.join(sorted(known))}.")
    return {option.name: _value(option, given.get(option.name)) for option in kind.options}


def _value(option: Option, given: Any) -> Any:
    if given in (None, ""):
        if option.is_required:
            raise OptionError(option.name, f"Enter the {option.label.lower()}.")
        return option.default
    if option.type is int:
        try:
            return int(given)
        except (TypeError, ValueError):
            raise OptionError(option.name, f"{given!r} is not a whole number.") from None
    if not isinstance(given, option.type):
        raise OptionError(option.name, f"{given!r} is not {option.type.__name__}.")
    if option.is_secret and not option.is_multiline and _CONTROL.search(str(given)):
        raise OptionError(option.name, "It has a line break or another control character. Enter it again without.")
    if option.choices and given not in option.choices:
        raise OptionError(option.name, f"{given!r} is none of {', '.join(option.choices)}.")
    return given
