"""Reasons of SMS providers. Their codes: `deliveries/senders/codes_twilio.py`; what is not only theirs is in `providers`."""

from __future__ import annotations

from typing import Final

from deliveries.reasons.row import PROVIDERS, TEXTS, by_code

REASONS: Final = by_code((
    ("not_a_mobile", "No mobile number", "The number cannot get texts: it is a landline or the like.",
     "Ask the person for a mobile number and correct the contact; then retry.", TEXTS),
    ("recipient_opted_out", "Answered STOP", "The person answered STOP to our texts, so the provider sends them none.",
     "Respect it and opt the person out on their contact. Only they can undo it, by texting START.", TEXTS),
    ("unknown_subscriber", "Number not in use", "Nobody has this number any more, as far as the network knows.",
     "Ask the person for a new number and correct the contact; then retry.", TEXTS),
    ("phone_unreachable", "Phone not reached", "The phone was off, without network, or takes no texts.",
     "Retry later, or reach the person over another channel.", TEXTS),
    ("blocked", "Blocked by network or phone", "The network or the phone blocks texts from us to this number.",
     "Reach the person over another channel.", TEXTS),
    ("filtered_as_spam", "Filtered as spam", "The provider or the network took the text for spam.",
     "Change wording and links, or register the sender with the provider; then retry.", TEXTS),
    ("region_not_enabled", "Country switched off", "Texts to this country are switched off at the provider.",
     "Enable the country in the provider's console (Twilio: Geo Permissions); then retry.", TEXTS),
    ("no_route", "No way to this number", "The provider cannot carry texts from our sender to this number.",
     "Use a sender that the country allows, or another provider; then retry.", TEXTS),
    ("trial_account", "Trial account", "The account is on trial and texts only numbers that were verified.",
     "Verify the number in the provider's console, or upgrade the account; then retry.", TEXTS),
    ("network_error", "Lost in the network", "The network did not deliver the text and gave no reason.",
     "Retry later.", TEXTS),
    ("expired_at_provider", "Waited too long at the provider", "The text waited in the provider's queue until its time was over.",
     "Lower the provider's rate, or add sender numbers; then retry.", TEXTS),
    ("account_inactive", "Account inactive", "The account at the provider is suspended, closed or out of funds.",
     "Look into the provider's console; then retry.", PROVIDERS),
    ("bad_sender", "Sender number not usable", "Our sender number cannot send texts from this account.",
     "Correct From in the provider's settings; then retry.", PROVIDERS),
    ("bad_messaging_service", "Messaging service not usable", "The messaging service is unknown, or has no sender.",
     "Correct it in the provider's settings or console; then retry.", PROVIDERS),
    ("bad_status_callback", "Status callback refused", "The provider refuses the address of our status callback.",
     "Correct it in the provider's settings, or leave it empty: it must be public, its host without underscores.", PROVIDERS),
    ("sender_not_registered", "Sender not registered", "The sender is not registered for this kind of text.",
     "Register it in the provider's console; then retry.", PROVIDERS),
    ("daily_limit", "Limit of the day reached", "The account's or the network's limit for a day is used up.",
     "Wait for tomorrow, or ask the provider for more; then retry.", PROVIDERS),
    ("queue_full", "Provider's queue is full", "The provider's queue for our sender is full.",
     "It is tried again by itself. If it lasts, lower the provider's rate or add sender numbers.", PROVIDERS),
    ("maintenance", "Provider in maintenance", "The provider is being maintained.",
     "It is tried again by itself.", PROVIDERS),
))  # fmt: skip
