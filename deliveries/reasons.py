"""What every reason code means to a person: a sentence, the likely fix, the runbook's heading. One place for all.

Codes come from ingest, the lifecycle, rendering and the senders; those of unreadable input are `jobs.REASONS`, taken in
here. An unknown code still gets a sentence: a new one must never make a page fail. No queries, no HTML.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from deliveries.jobs import REASONS as INPUT_REASONS


@dataclass(frozen=True, slots=True)
class Reason:
    """One cause. `title` fits a table cell; `sentence` says what happened; `fix` what to do.

    `anchor` is a heading of docs/runbook.md.
    """

    code: str
    title: str
    sentence: str
    fix: str
    anchor: str

    @property
    def heading(self) -> str:
        """The runbook's heading that the anchor comes from."""
        return self.anchor.replace("-", " ").capitalize()


PEOPLE: Final = "people-without-an-address"
CHANNELS: Final = "a-channel-without-a-provider"
TEMPLATES: Final = "templates-that-cannot-be-rendered"
MAIL_SERVER: Final = "the-mail-server-is-away-or-slow"
MAIL_REFUSED: Final = "the-mail-server-refuses"
UNKNOWN_OUTCOME: Final = "may-have-been-sent"
INPUT: Final = "unreadable-jobs"
NOT_SENT: Final = "not-sent-on-purpose"
#: Reasons of failures where the provider may have taken the message all the same.
MAY_HAVE_BEEN_SENT: Final = frozenset({"outcome_unknown", "dropped_after_data", "timeout_after_data", "internal_error"})

_ROWS: Final = (
    ("unknown_channel", "Unknown channel", "The job names a channel that does not exist.",
     "Correct the channel where the job is made: email, push, ws, sms or webhook.", CHANNELS),
    ("channel_unavailable", "Channel has no provider", "No provider is configured for this channel.",
     "Add a provider for the channel under Providers, or name a sender in CHANNEL_SENDERS and restart the senders; then retry.", CHANNELS),
    ("unknown_template", "Unknown template", "The job names a template that does not exist or was never published.",
     "Publish a template with this code, or correct the code where the job is made; then retry.", TEMPLATES),
    ("render_error", "Template error", "The template could not be rendered with the job's data; nothing was sent.",
     "Correct the template or send the missing fields; publish, then retry.", TEMPLATES),
    ("too_large", "Message too large", "The rendered message is larger than 1 MiB.",
     "Shorten the template or the data; link to large content.", TEMPLATES),
    ("header_injection", "Line break in a header", "A subject or address has a line break, or a header is not allowed.",
     "Remove line breaks from the data that the subject uses, or drop the header.", TEMPLATES),
    ("bad_text", "Text cannot be encoded", "The text holds half a character, which no mail can carry.",
     "Correct the data where the job is made: cut texts between whole characters.", TEMPLATES),
    ("empty_message", "Nothing to show", "The inbox item would have neither title nor text.",
     "Give the template or the job a title or a text; then retry.", TEMPLATES),
    ("no_contact", "No contact or address", "Nobody is known under this user id, or they have no address here.",
     "Add the contact or the address, then retry.", PEOPLE),
    ("bad_address", "Address is not valid", "The person's address cannot be a valid one.",
     "Correct the address of the contact, then retry.", PEOPLE),
    ("opted_out", "Person opted out", "The person does not want messages on this channel.",
     "Nothing to do: this is the person's wish.", NOT_SENT),
    ("not_on_send_only_list", "Not on this system's list", "This system sends only to the addresses in SEND_ONLY_TO.",
     "Add the address to SEND_ONLY_TO if it should get messages from here.", NOT_SENT),
    ("expired", "Too late", "The job's time was over before it could be sent.",
     "If this surprises you, look for a delay: was a channel on hold, or no sender running?", NOT_SENT),
    ("cancelled", "Cancelled", "It was cancelled before it was sent.",
     "Nothing to do. Send again if it was a mistake.", NOT_SENT),
    ("outcome_unknown", "May have been sent", "The provider may have taken it, but its answer never reached us.",
     "Ask the provider, or the person, before sending again: it may be a second copy.", UNKNOWN_OUTCOME),
    ("dropped_after_data", "Cut off after the message", "The server hung up without saying if it took the message.",
     "Ask the mail server's log before sending again; copies carry the same Message-ID.", UNKNOWN_OUTCOME),
    ("timeout_after_data", "No answer after the message", "The server has the message but never said if it took it.",
     "Ask the mail server's log before sending again; copies carry the same Message-ID.", UNKNOWN_OUTCOME),
    ("internal_error", "Error of our own", "The sender had an error of its own; nobody knows how far the message was.",
     "Look at the sender's log of that time and report it; then retry.", UNKNOWN_OUTCOME),
    ("timeout", "No answer in time", "The provider did not answer in time.",
     "Check that the provider is up and reachable; it is tried again by itself.", MAIL_SERVER),
    ("connection_refused", "Connection refused", "Nothing listens at the provider's address.",
     "Check host and port in the settings and that the server runs; then retry.", MAIL_SERVER),
    ("connection_failed", "Cannot connect", "The connection to the provider could not be opened.",
     "Check host, port, firewall and network; then retry.", MAIL_SERVER),
    ("disconnected", "Connection lost", "The provider closed the connection before it had the message.",
     "It is tried again by itself. If it lasts, look at the provider's log.", MAIL_SERVER),
    ("dns_failure", "Host name unknown", "The provider's host name could not be resolved.",
     "Check the host in the settings and the resolver; then retry.", MAIL_SERVER),
    ("tls_failure", "TLS failed", "No encrypted connection could be agreed on with the provider.",
     "Check certificate, host name, port and the TLS settings; then retry.", MAIL_SERVER),
    ("login_unsupported", "Login not offered", "The mail server offers no login, but the settings ask for one.",
     "Check port and TLS settings, or remove user and password.", MAIL_SERVER),
    ("protocol_error", "Reply not understood", "The provider answered something that the protocol does not know.",
     "Check that host and port are those of a mail server.", MAIL_SERVER),
    ("refused_by_database", "Value cannot be stored", "The database refuses a value of the job.",
     "Look at the sample; correct it where the job is made and hand it in anew.", INPUT),
    ("job_id_conflict", "Job id used twice", "A job with this id and another content came before; the first stays as it is.",
     "Give every job an id of its own; hand the second one in anew with a new id.", INPUT),
    ("too_old", "Record too old", "The record is older than delivery rows are kept, so it might be sent a second time.",
     "Hand the job in anew if it still matters.", INPUT),
    ("unknown_tenant", "Unknown tenant", "The job names a tenant that does not exist.",
     "Correct tenant_id where the job is made, or add the tenant.", INPUT),
)  # fmt: skip
#: SMTP reply codes that have a meaning of their own; the others go by their class (RFC 5321, section 4.2.1).
_SMTP: Final = {
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
_SMTP_CODE: Final = re.compile(r"smtp_([45]\d\d)")
_TEMPORARY_FIX: Final = "It is tried again by itself. If it lasts, look at the mail server, then retry."
_PERMANENT_FIX: Final = "Correct the address, or ask the mail server's operator; then retry."

_SPELLED: Final = {
    "json": "JSON",
    "uuid": "UUID",
    "utf8": "UTF-8",
    "utf16": "UTF-16",
    "nul": "NUL",
    "bom": "Byte order mark",
}


def _title_of(code: str) -> str:
    """Make a title of a code: `invalid_json` reads "Invalid JSON"."""
    title = " ".join(_SPELLED.get(word, word) for word in code.split("_"))
    return title[:1].upper() + title[1:]


def _of_input(code: str, text: str) -> Reason:
    """Split a text of `jobs.REASONS`, which says what is wrong in its first sentence and what to do in the rest."""
    sentence, _, fix = text.partition(". ")
    return Reason(code, _title_of(code), f"{sentence}.", fix, INPUT)


REASONS: Final = MappingProxyType(
    {code: _of_input(code, text) for code, text in INPUT_REASONS.items()} | {row[0]: Reason(*row) for row in _ROWS}
)


def describe(code: str) -> Reason:
    """Return what `code` means; for one that nobody wrote down, a general sentence that still names it."""
    if (known := REASONS.get(code)) is not None:
        return known
    if (match := _SMTP_CODE.fullmatch(code)) is not None:
        return _describe_smtp(code, match[1])
    title = _title_of(code) or "No reason recorded"
    sentence = f"It ended with the code {code!r}."
    return Reason(code, title, sentence, "Read the message below it, then the runbook.", "other-causes")


def _describe_smtp(code: str, number: str) -> Reason:
    temporary = number.startswith("4")
    general = (
        ("Mail server asks to wait", "The mail server refused for the moment.", MAIL_SERVER)
        if temporary
        else ("Refused by the mail server", "The mail server refused for good.", MAIL_REFUSED)
    )
    title, sentence, anchor = _SMTP.get(number, general)
    fix = _TEMPORARY_FIX if temporary else _PERMANENT_FIX
    return Reason(code, f"{title} ({number})", sentence, fix, anchor)
