"""Reasons of mail servers. Sender: `deliveries/senders/email.py`."""

from __future__ import annotations

from typing import Final

from deliveries.reasons.row import MAIL_REFUSED, MAIL_SERVER, UNKNOWN_OUTCOME, Reason, by_code

REASONS: Final = by_code((
    ("disconnected", "Connection lost", "The provider closed the connection before it had the message.",
     "It is tried again by itself. If it lasts, look at the provider's log.", MAIL_SERVER),
    ("tls_failure", "TLS failed", "No encrypted connection could be agreed on with the provider.",
     "Check certificate, host name, port and the TLS settings; then retry.", MAIL_SERVER),
    ("login_unsupported", "Login not offered", "The mail server offers no login, but the settings ask for one.",
     "Check port and TLS settings, or remove user and password.", MAIL_SERVER),
    ("protocol_error", "Reply not understood", "The provider answered something that the protocol does not know.",
     "Check that host and port are those of a mail server.", MAIL_SERVER),
    ("bad_from", "From cannot be used",
     "From or Reply-To of the tenant or the template is no e-mail address, or the provider has not verified it.",
     "Correct it on the tenant or in the template, such as Shop <shop@example.com>, or verify it at the provider; then retry.",
     MAIL_REFUSED),
    ("sender_not_verified", "Sender not verified", "The provider does not know the From of its settings, or that address's domain.",
     "Verify From, or its domain, in the provider's console; then retry.", MAIL_REFUSED),
    ("recipient_inactive", "Provider has blocked the address",
     "The provider sends nothing to this address: mail came back, or was called spam.",
     "Correct the contact's address. If it works again, reactivate it in the provider's console; then retry.", MAIL_REFUSED),
    ("dropped_after_data", "Cut off after the message", "The server hung up without saying if it took the message.",
     "Ask the mail server's log before sending again; copies carry the same Message-ID.", UNKNOWN_OUTCOME),
    ("timeout_after_data", "No answer after the message", "The server has the message but never said if it took it.",
     "Ask the mail server's log before sending again; copies carry the same Message-ID.", UNKNOWN_OUTCOME),
))  # fmt: skip
#: Reply codes that have a meaning of their own; the others go by their class (RFC 5321, section 4.2.1).
_REPLIES: Final = {
    "421": ("Mail server is closing", "The mail server is shutting down or overloaded.", MAIL_SERVER),
    "450": ("Mailbox busy", "The mailbox cannot be reached at the moment (often greylisting).", MAIL_SERVER),
    "451": ("Mail server error", "The mail server had an error of its own.", MAIL_SERVER),
    "452": ("Mail server is full", "The mail server or the mailbox has no room at the moment.", MAIL_SERVER),
    "530": ("Login needed", "The mail server wants a login.", MAIL_REFUSED),
    "535": ("Login refused", "The mail server does not accept our user and password.", MAIL_REFUSED),
    "550": ("Mailbox unknown or refused", "The mail server says the mailbox does not exist, or refuses us.", MAIL_REFUSED),
    "552": ("Mailbox full or mail too big", "The mailbox is full or the mail is too big for it.", MAIL_REFUSED),
    "554": ("Refused by the mail server", "The mail server refuses the message, often as spam.", MAIL_REFUSED),
}  # fmt: skip
_TEMPORARY: Final = ("Mail server asks to wait", "The mail server refused for the moment.", MAIL_SERVER)
_PERMANENT: Final = ("Refused by the mail server", "The mail server refused for good.", MAIL_REFUSED)
_TEMPORARY_FIX: Final = "It is tried again by itself. If it lasts, look at the mail server, then retry."
_PERMANENT_FIX: Final = "Correct the address, or ask the mail server's operator; then retry."


def reply(code: str, number: str) -> Reason:
    """Return what `smtp_NNN` means."""
    is_temporary = number.startswith("4")
    title, sentence, anchor = _REPLIES.get(number, _TEMPORARY if is_temporary else _PERMANENT)
    return Reason(code, f"{title} ({number})", sentence, _TEMPORARY_FIX if is_temporary else _PERMANENT_FIX, anchor)
