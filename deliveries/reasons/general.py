"""Reasons that are not one channel's own: the job, the person, the template, and what nobody knows."""

from __future__ import annotations

from typing import Final

from deliveries.reasons.row import CHANNELS, INPUT, NOT_SENT, ON_HOLD, PEOPLE, TEMPLATES, UNKNOWN_OUTCOME, by_code

REASONS: Final = by_code((
    ("unknown_channel", "Unknown channel", "The job names a channel that does not exist.",
     "Correct the channel where the job is made: email, push, ws, sms or webhook.", CHANNELS),
    ("channel_unavailable", "Channel has no provider", "No provider is configured for this channel.",
     "Add a provider for the channel under Providers, or name a sender in CHANNEL_SENDERS and restart all processes; then retry.",
     CHANNELS),
    ("unknown_template", "Unknown template", "The job names a template that does not exist or was never published.",
     "Publish a template with this code, or correct the code where the job is made; then retry.", TEMPLATES),
    ("render_error", "Template error", "The template could not be rendered with the job's data; nothing was sent.",
     "Correct the template or send the missing fields; publish, then retry.", TEMPLATES),
    ("too_large", "Message too large", "The message is larger than 1 MiB, or than its channel takes: less for a text, 3.8 kB for a push.",
     "Shorten the template or the data; link to large content.", TEMPLATES),
    ("header_injection", "Line break in a header", "A subject or address has a line break, or a header is not allowed.",
     "Remove line breaks from the data that the subject uses, or drop the header.", TEMPLATES),
    ("bad_text", "Text cannot be encoded", "The text holds half a character, which no channel can carry.",
     "Correct the data where the job is made: cut texts between whole characters.", TEMPLATES),
    ("empty_message", "Nothing to show", "The message would have neither title nor text.",
     "Give the template or the job a title or a text; then retry.", TEMPLATES),
    ("no_contact", "No contact or address", "Nobody is known under this user id, or they have no address here.",
     "Add the contact, or the address, device or endpoint that is missing; then retry.", PEOPLE),
    ("bad_address", "Address is not valid", "The person's address cannot be a valid one.",
     "Correct the address of the contact, then retry.", PEOPLE),
    ("opted_out", "Person opted out", "The person does not want messages on this channel.",
     "Nothing to do: this is the person's wish.", NOT_SENT),
    ("not_on_send_only_list", "Not on this system's list", "This system sends only to the addresses in SEND_ONLY_TO.",
     "Add the address to SEND_ONLY_TO if it should get messages from here.", NOT_SENT),
    ("expired", "Too late", "The job's time was over before it could be sent.",
     "If this surprises you, look for a delay: was a channel on hold, or no sender running?", NOT_SENT),
    ("on_hold", "On hold", "Staff hold what it belongs to. It waits, and no attempt is used up.",
     "Nothing to do: it goes on when it is let go (Dashboard → On hold).", ON_HOLD),
    ("cancelled", "Cancelled", "It was cancelled before it was sent.",
     "Nothing to do. Send again if it was a mistake.", NOT_SENT),
    ("outcome_unknown", "May have been sent", "The provider may have taken it, but its answer never reached us.",
     "Ask the provider, or the person, before sending again: it may be a second copy.", UNKNOWN_OUTCOME),
    ("internal_error", "Error of our own", "The sender had an error of its own; nobody knows how far the message was.",
     "Look at the sender's log of that time and report it; then retry.", UNKNOWN_OUTCOME),
    ("refused_by_database", "Value cannot be stored", "The database refuses a value of the job.",
     "Look at the sample; correct it where the job is made and hand it in anew.", INPUT),
    ("job_id_conflict", "Job id used twice", "A job with this id and another content came before; the first stays as it is.",
     "Give every job an id of its own; hand the second one in anew with a new id.", INPUT),
    ("too_old", "Record too old", "The record is older than delivery rows are kept, so it might be sent a second time.",
     "Hand the job in anew if it still matters.", INPUT),
    ("unknown_tenant", "Unknown tenant", "The job names a tenant that does not exist.",
     "Correct tenant_id where the job is made, or add the tenant.", INPUT),
))  # fmt: skip
