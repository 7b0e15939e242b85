"""Who must get nothing, as conditions of the statements that accept and start rows: nobody wants it, or the address takes nothing.

Each is a scalar sub-select on a unique index: an EXISTS the planner may hash, and then a batch of a few rows reads the whole table.
`row` names what has tenant, user, channel and category; the contact is `c`; the parameter `mandatory` is MANDATORY_CATEGORIES.
"""

from __future__ import annotations

#: How an address is spelled in the suppression list: a test's own (`deliveries/test_sends.py`), else the contact's.
#: `deliveries/suppressions.py` spells the same way.
NORMAL_ADDRESS = """CASE {row}.channel WHEN 'email' THEN lower(btrim(coalesce({row}.content ->> 'to', c.email)))
    WHEN 'sms' THEN regexp_replace(coalesce({row}.content ->> 'to', c.phone), '[^0-9+]', '', 'g') END"""

UNSUBSCRIBED = """({row}.category <> '' AND {row}.category <> ALL (%(mandatory)s::text[]) AND coalesce((SELECT true FROM deliveries_optout o
    WHERE (o.tenant_id, o.user_id, o.channel, o.category) = ({row}.tenant_id, {row}.user_id, {row}.channel, {row}.category)), false))"""

SUPPRESSED = f"""coalesce((SELECT true FROM deliveries_suppression x
    WHERE (x.tenant_id, x.channel) = ({{row}}.tenant_id, {{row}}.channel) AND x.address = {NORMAL_ADDRESS}), false)"""

#: What a row says that was not sent for one of these reasons.
WORDS = """WHEN 'opted_out' THEN 'The person opted out of this channel'
    WHEN 'unsubscribed' THEN 'The person unsubscribed from this category'
    WHEN 'suppressed_address' THEN 'The address is on the suppression list, which says why'"""
