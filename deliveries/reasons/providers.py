"""Reasons that any provider or endpoint can give: how it is reached, what it thinks of us. A channel's own are in the modules beside it."""

from __future__ import annotations

from typing import Final

from deliveries.reasons.row import ENDPOINTS, PROVIDERS, UNKNOWN_OUTCOME, by_code

REASONS: Final = by_code((
    ("timeout", "No answer in time", "The provider did not answer in time.",
     "Check that the provider is up and reachable; it is tried again by itself.", PROVIDERS),
    ("connection_refused", "Connection refused", "Nothing listens at the provider's address.",
     "Check host and port in the settings and that the server runs; then retry.", PROVIDERS),
    ("connection_failed", "Cannot connect", "The connection to the provider could not be opened.",
     "Check host, port, firewall and network; then retry.", PROVIDERS),
    ("dns_failure", "Host name unknown", "The provider's host name could not be resolved.",
     "Check the host in the settings and the resolver; then retry.", PROVIDERS),
    ("tls_error", "HTTPS failed", "No encrypted connection could be agreed on with the provider or endpoint.",
     "Check its certificate, host name and port; put an authority of your own into OUTGOING_CA_FILE; then retry.", PROVIDERS),
    ("account_refused", "Provider refuses us", "The provider refuses our credentials or our account, whatever the message.",
     "Check credentials, balance and permissions in the provider's settings, press Check, then retry.", PROVIDERS),
    ("wrong_url", "Wrong address of the provider", "Nothing takes messages at the address that the provider's settings name.",
     "Check address, account id and project in the provider's settings, press Check, then retry.", PROVIDERS),
    ("provider_error", "Error of the provider", "The provider had an error of its own.",
     "It is tried again by itself where a second copy does no harm. If it lasts, look at the provider's status page.", PROVIDERS),
    ("rate_limited", "Too fast for the provider", "We send faster than the provider takes.",
     "It is tried again by itself. If it lasts, lower the provider's rate.", PROVIDERS),
    ("no_provider_free", "No provider was free", "Every provider was resting or at its rate when it was to be sent; none got it.",
     "It is tried again by itself. See Providers: which breaker is open, and why.", PROVIDERS),
    ("try_later", "Provider asks to wait", "The provider did not take it for now.",
     "It is tried again by itself. If it lasts, look at the provider's status page.", PROVIDERS),
    ("refused_by_provider", "Refused by the provider", "The provider refuses this one message.",
     "Read what it said; correct the contact or the template, then retry.", PROVIDERS),
    ("connection_lost", "Cut off without an answer", "The connection ended without an answer; the provider may have the message.",
     "Look into the provider's log before sending again, where a second copy would do harm.", UNKNOWN_OUTCOME),
    ("malformed_reply", "Answer cannot be read", "The provider answered something unreadable; it may have taken the message.",
     "Check that the address is that of the API; look into the provider's log before sending again.", UNKNOWN_OUTCOME),
    ("reply_too_large", "Answer too long", "The provider answered with far more than we read; it may have taken the message.",
     "Check that the address is that of the API; look into the provider's log before sending again.", UNKNOWN_OUTCOME),
    ("bad_url", "Address cannot be called", "The address is no URL that can be called.",
     "Correct the endpoint's or the provider's address: https://, a host, no user name or password; then retry.", ENDPOINTS),
    ("blocked_address", "Address is not public", "The address leads to a network that is not public, so nothing was sent.",
     "Use a public address. For a provider in your own network set PRIVATE_ADDRESSES_ALLOWED; then retry.", ENDPOINTS),
))  # fmt: skip
