"""What the answers of mail providers' APIs mean: HTTP's statuses, and the codes of those whose statuses do not say enough. Data.

Sources: https://www.rfc-editor.org/rfc/rfc9110#section-15 (statuses); for each table the page above it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from deliveries.senders.refusals import Kind, Meaning

_T, _P, _A, _U = Kind.TEMPORARY, Kind.PERMANENT, Kind.ACCOUNT, Kind.UNKNOWN

ACCOUNT: Final = Meaning(
    _A, "account_refused", "It refuses our account. Check key, balance and permissions in its console."
)
SENDER: Final = Meaning(
    _A, "sender_not_verified", "It does not know the sender. Verify From, or its domain, in its console."
)
WRONG_URL: Final = Meaning(_A, "wrong_url", "Nothing takes mails at its address. Check domain, region and API address.")
RATE: Final = Meaning(
    _T, "rate_limited", "We send faster than the account may. It is tried again by itself; lower the rate if it lasts."
)
LATER: Final = Meaning(_T, "try_later", "It did not take the mail for now. It is tried again by itself.")
UNDER_WAY: Final = Meaning(
    _U, "try_later", "It is still busy with the first copy and may have taken it. It is asked again by itself."
)
BAD_ADDRESS: Final = Meaning(_P, "bad_address", "It calls the address invalid. Correct the contact.")
INACTIVE: Final = Meaning(
    _P, "recipient_inactive", "It sends nothing to this address any more: mail came back, or was called spam."
)
TOO_LARGE: Final = Meaning(_P, "too_large", "The mail is larger than it takes. Shorten the template or the data.")
REFUSED: Final = Meaning(
    _P, "refused_by_provider", "It refuses this mail. Read what it said; correct contact or template."
)
ERROR: Final = Meaning(
    _U, "provider_error", "It had an error of its own and may have taken the mail. Copies carry one id."
)
UNREADABLE: Final = Meaning(
    _U, "malformed_reply", "It answered without what its documentation promises, and may have taken the mail."
)

#: https://postmarkapp.com/developer/api/overview#error-codes
POSTMARK: Final = {
    "10": ACCOUNT,  # bad or missing API token
    "100": LATER,  # maintenance
    "300": REFUSED,  # invalid e-mail request; where it is about To, the answer says so
    "400": SENDER,
    "401": SENDER,  # signature not confirmed
    "402": REFUSED,
    "403": REFUSED,
    "405": ACCOUNT,  # out of credits
    "406": INACTIVE,
    "409": REFUSED,
    "411": REFUSED,
    "412": ACCOUNT,  # account pending approval
    "413": ACCOUNT,  # account may not send
    "429": RATE,
    "1226": WRONG_URL,  # no such message stream
}
#: https://resend.com/docs/api-reference/errors. A row of status and code goes before one of the code alone.
RESEND: Final = {
    "invalid_from_address": SENDER,
    "403 validation_error": SENDER,  # with 400 and 422 it is about a field
    "concurrent_idempotent_requests": UNDER_WAY,  # no refusal, or another provider would send a second one
    "daily_quota_exceeded": ACCOUNT,
    "monthly_quota_exceeded": ACCOUNT,
}

_BY_STATUS: Final = {
    **dict.fromkeys((401, 402, 403, 407), ACCOUNT),
    **dict.fromkeys((404, 405, 410), WRONG_URL),
    **dict.fromkeys((408, 425, 503), LATER),
    413: TOO_LARGE,
    420: RATE,  # SparkPost: https://developers.sparkpost.com/api/#header-errors
    429: RATE,
}
#: What anymail reads from an answer for the one recipient (`AnymailRecipientStatus`), where that is no success.
BY_RECIPIENT: Final = {"rejected": INACTIVE, "invalid": BAD_ADDRESS, "failed": REFUSED}


#: Refusals that are about the recipient, told by their words alone: Postmark's 300 ("Invalid 'To' address").
_ABOUT_TO: Final = re.compile(r"(?:invalid|error parsing)\s+'to'", re.IGNORECASE)


def meaning_of(status: int, code: str, said: str, codes: Mapping[str, Meaning]) -> Meaning:
    """Return what an answer other than success means: its code's row, else its status. No code makes a 5xx certain."""
    known = codes.get(f"{status} {code}") or codes.get(code)
    if status < 500 and known is not None:
        return BAD_ADDRESS if known is REFUSED and _ABOUT_TO.match(said) else known
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status >= 500:
        return ERROR
    return REFUSED if status >= 400 else WRONG_URL if status >= 300 else UNREADABLE
