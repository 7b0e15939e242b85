"""What Twilio's error codes mean for us: data, in one place. Replies to our requests and status callbacks use the same codes.

Each row follows the code's own page, `source(code)`; https://www.twilio.com/docs/api/errors is the list. The codes of 30xxx
come mostly in callbacks, after Twilio took the text: there the kind only says whether the next text may fare better.
"""

from __future__ import annotations

from typing import Final

from deliveries.senders.refusals import Kind, Meaning
from deliveries.senders.sms import ACCOUNT_REFUSED, RATE_LIMITED, TOO_LARGE, WRONG_URL

_T, _P, _A = Kind.TEMPORARY, Kind.PERMANENT, Kind.ACCOUNT

_BAD_NUMBER = Meaning(_P, "bad_address", "The number is not valid. Correct the contact.")
_NOT_MOBILE = Meaning(
    _P, "not_a_mobile", "The number cannot get texts, it is a landline or the like. Ask for a mobile number."
)
_OPTED_OUT = Meaning(
    _P,
    "recipient_opted_out",
    "The person answered STOP to our texts. They must text START before anything reaches them.",
)
_REGION = Meaning(
    _P,
    "region_not_enabled",
    "Texts to this country are switched off. Enable it under Geo Permissions in Twilio's console.",
)
_NO_ROUTE = Meaning(
    _P, "no_route", "It cannot carry texts from our sender to this number. Use a sender that the country allows."
)
_TRIAL = Meaning(
    _P,
    "trial_account",
    "A trial account texts only numbers verified in Twilio's console. Verify it, or upgrade the account.",
)
_EMPTY = Meaning(_P, "empty_message", "The text is empty. Give its template a text.")
_INACTIVE = Meaning(
    _A, "account_inactive", "The account is suspended, closed or out of funds. Look into Twilio's console."
)
_BAD_SENDER = Meaning(
    _A, "bad_sender", "Our sender number cannot send texts from this account. Correct it in the provider's settings."
)
_BAD_SERVICE = Meaning(
    _A, "bad_messaging_service", "The Messaging Service is unknown or has no sender. Correct it in Twilio's console."
)
_BAD_CALLBACK = Meaning(
    _A,
    "bad_status_callback",
    "It refuses our StatusCallback URL. It must be public, with a host name without underscores.",
)
_UNREGISTERED = Meaning(
    _A, "sender_not_registered", "The sender is not registered for this kind of text. Register it in Twilio's console."
)
_DAILY_LIMIT = Meaning(
    _A,
    "daily_limit",
    "The account's or the network's limit for a day is used up. Wait for tomorrow, or ask Twilio for more.",
)
_QUEUE_FULL = Meaning(
    _T,
    "queue_full",
    "Twilio's queue for our sender is full. It is tried again; add senders or lower the rate if it lasts.",
)
_MAINTENANCE = Meaning(_T, "maintenance", "Twilio is being maintained. It is tried again by itself.")
_UNREACHABLE = Meaning(
    _T, "phone_unreachable", "The phone was off, without network, or does not take texts. Try again later."
)
_UNKNOWN_PHONE = Meaning(
    _P,
    "unknown_subscriber",
    "Nobody has this number any more, as far as the network knows. Ask the person for a new one.",
)
_BLOCKED = Meaning(
    _P, "blocked", "The network or the phone blocks texts from us to this number. Ask the person by another channel."
)
_FILTERED = Meaning(
    _P,
    "filtered_as_spam",
    "Twilio or the network took the text for spam. Change the wording and the links, or register the sender.",
)
_NETWORK = Meaning(_T, "network_error", "The network did not deliver it and gave no reason. Try again later.")
_TOO_LATE = Meaning(
    _T, "expired_at_provider", "It waited in Twilio's queue until its time was over. Lower the rate or add senders."
)

CODES: Final[dict[str, Meaning]] = {
    "10001": _INACTIVE,
    "14107": RATE_LIMITED,
    "20003": ACCOUNT_REFUSED,
    "20005": _INACTIVE,
    "20404": WRONG_URL,
    "20429": RATE_LIMITED,
    "21211": _BAD_NUMBER,
    "21212": _BAD_SENDER,
    "21265": _BAD_NUMBER,  # a short code
    "21266": _BAD_NUMBER,  # our own number
    "21408": _REGION,
    "21601": _BAD_SENDER,
    "21602": _EMPTY,
    "21603": _BAD_SENDER,
    "21604": _BAD_NUMBER,
    "21606": _BAD_SENDER,
    "21607": _BAD_SENDER,
    "21608": _TRIAL,
    "21609": _BAD_CALLBACK,
    "21610": _OPTED_OUT,
    "21611": _QUEUE_FULL,
    "21612": _NO_ROUTE,
    "21614": _NOT_MOBILE,
    "21617": TOO_LARGE,
    "21619": _EMPTY,
    "21635": _NOT_MOBILE,
    "21658": TOO_LARGE,
    "21659": _BAD_SENDER,
    "21660": _BAD_SENDER,
    "21661": _BAD_SENDER,
    "21701": _BAD_SERVICE,
    "21703": _BAD_SERVICE,
    "21704": _BAD_SERVICE,
    "21705": _BAD_SERVICE,
    "21730": _MAINTENANCE,
    "30001": _QUEUE_FULL,
    "30002": _INACTIVE,
    "30003": _UNREACHABLE,
    "30004": _BLOCKED,
    "30005": _UNKNOWN_PHONE,
    "30006": _NOT_MOBILE,
    "30007": _FILTERED,
    "30008": _NETWORK,
    "30022": RATE_LIMITED,
    "30027": _DAILY_LIMIT,
    "30032": _UNREGISTERED,
    "30034": _UNREGISTERED,
    "30036": _TOO_LATE,
    "63038": _DAILY_LIMIT,
    "90010": _INACTIVE,
}


def source(code: str) -> str:
    """Return the page of Twilio's documentation that explains a code."""
    return f"https://www.twilio.com/docs/api/errors/{code}"
