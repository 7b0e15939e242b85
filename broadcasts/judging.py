"""Who gets a broadcast and who does not, and why: one piece of SQL for checking beforehand and for fan-out. Runs nothing.

What is asked of a person here is asked again of their row at every start (`deliveries/lifecycle/start.py`): it may be days later.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from broadcasts.conditions import Params
from broadcasts.models import Broadcast
from deliveries.channels import Channel
from deliveries.lifecycle.unwanted import SUPPRESSED, UNSUBSCRIBED

#: Channels where two people may share one address; the address, spelled as the suppression list spells it.
ADDRESSES: Final = {
    Channel.EMAIL: "lower(btrim(c.email))",
    Channel.SMS: "regexp_replace(c.phone, '[^0-9+]', '', 'g')",
}
_LACKS_ADDRESS: Final = {
    Channel.EMAIL: "btrim(c.email) = ''",
    Channel.SMS: "btrim(c.phone) = ''",
    Channel.PUSH: "NOT coalesce((SELECT true FROM deliveries_device v"
    " WHERE (v.tenant_id, v.user_id) = (c.tenant_id, c.user_id) LIMIT 1), false)",
    Channel.WEBHOOK: "NOT coalesce((SELECT true FROM deliveries_webhookendpoint w"
    " WHERE (w.tenant_id, w.user_id) = (c.tenant_id, c.user_id) AND w.disabled_at IS NULL LIMIT 1), false)",
}
# Asked once a statement: mostly there is none, and then nobody's address is looked up.
_ANY_SUPPRESSED: Final = (
    "(SELECT EXISTS (SELECT FROM deliveries_suppression y WHERE y.tenant_id = %(tenant)s AND y.channel = '{channel}'))"
)
#: What a contact's row must bring along for `judged`.
COLUMNS: Final = (
    "c.id, c.tenant_id, c.user_id, c.name, c.email, c.phone, c.locale, c.time_zone, c.attributes, c.opted_out"
)


def lacks(field: str, params: Params) -> str:
    """Return the condition that a contact `c` has no value in a field such as `name` or `attributes.city`."""
    group, _, key = field.rpartition(".")
    if group == "attributes":
        return f"coalesce(c.attributes ->> {params.add(key)}, '') = ''"
    if field not in {"name", "email", "phone", "locale", "time_zone"}:
        raise ValueError(f"No field of a contact: {field!r}")
    return f"btrim(c.{field}) = ''"


def judged(broadcast: Broadcast, people: str, *, unserved: Collection[str], params: Params, also: str = "") -> str:
    """Return a SELECT of contact_id, user_id, channel, reason and address, from a relation of contacts with `COLUMNS`, read once.

    `reason` is "" for who gets it. Where only the first channel that reaches somebody is used there is one row a person, with
    channel "" where none does. `address` is "" where two people cannot share one. `also`: further columns, of `c` and `t`.
    It takes `tenant`, `category` and `mandatory` as parameters.
    """
    channels = [Channel(each) for each in broadcast.channels]
    tried = " UNION ALL ".join(
        _tried(place, channel, _reason(channel, broadcast, channel in unserved, params))
        for place, channel in enumerate(channels)
    )
    selected = (
        f"SELECT c.id AS contact_id, c.user_id, t.channel, t.reason, t.address{also} FROM {people} c CROSS JOIN LATERAL"
    )
    if broadcast.reach == Broadcast.Reach.ALL or len(channels) == 1:
        return f"{selected} ({tried}) t"
    first = (
        "SELECT CASE WHEN reason = '' THEN channel ELSE '' END AS channel, reason, address, 0 AS place"
        f" FROM ({tried}) one ORDER BY reason <> '', reason IN ('no_address', 'channel_unavailable'), one.place LIMIT 1"
    )
    return f"{selected} ({first}) t"


def _tried(place: int, channel: Channel, reason: str) -> str:
    """Return the judgement of one channel. `r` has the names that the shared conditions ask for; the planner takes it apart."""
    row = (
        f"c.tenant_id, c.user_id, '{channel}'::text AS channel, %(category)s::text AS category, NULL::jsonb AS content"
    )
    return (
        f"SELECT r.channel, {place} AS place, {reason} AS reason, {_address(channel)} AS address FROM (SELECT {row}) r"
    )


def _reason(channel: Channel, broadcast: Broadcast, is_unserved: bool, params: Params) -> str:
    if is_unserved:
        return "'channel_unavailable'::text"
    cases = [(_LACKS_ADDRESS[channel], "no_address")] if channel in _LACKS_ADDRESS else []
    cases.append((f"'{channel}' = ANY (c.opted_out)", "opted_out"))
    if broadcast.category:
        cases.append((UNSUBSCRIBED.format(row="r"), "unsubscribed"))
    if channel in ADDRESSES:
        cases.append(
            (f"{_ANY_SUPPRESSED.format(channel=channel)} AND {SUPPRESSED.format(row='r')}", "suppressed_address")
        )
    cases += [(lacks(field, params), "missing_field") for field in broadcast.skip_missing]
    return f"CASE {' '.join(f'WHEN {condition} THEN {reason!r}' for condition, reason in cases)} ELSE '' END"


def _address(channel: Channel) -> str:
    return ADDRESSES.get(channel, "''::text")


def shared_params(broadcast: Broadcast, *, mandatory: Collection[str]) -> dict[str, Any]:
    """Return the parameters that `judged` takes beside those it adds."""
    return {"category": broadcast.category, "mandatory": list(mandatory)}
