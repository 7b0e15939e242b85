"""Each channel's retry policy, as the settings say. The decision itself is in `deliveries/retry.py`."""

from __future__ import annotations

from django.conf import settings

from deliveries.channels import Channel
from deliveries.retry import RetryPolicy

# A text that may have gone out is never sent a second time; every other channel carries one id over all attempts, so that the far
# end can tell a second copy (reliability, "Gaps and what closes them").
NEVER_REPEAT_AMBIGUOUS = frozenset({Channel.SMS})


def policy_for(channel: str) -> RetryPolicy:
    """Return the policy of a channel: the general settings, overridden channel by channel. Delays in seconds, separated by `;`."""
    delays = settings.RETRY_DELAYS_SECONDS_BY_CHANNEL.get(channel)
    return RetryPolicy(
        max_attempts=int(settings.MAX_ATTEMPTS_BY_CHANNEL.get(channel, settings.MAX_ATTEMPTS)),
        delays_seconds=tuple(float(d) for d in (delays.split(";") if delays else settings.RETRY_DELAYS_SECONDS)),
        retry_ambiguous=channel not in NEVER_REPEAT_AMBIGUOUS,
    )
