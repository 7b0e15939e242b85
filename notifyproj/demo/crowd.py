"""The demo's many: 50,000 made-up customers, audiences of them, and broadcasts in every state. May run again; what is there stays.

Nobody here exists: addresses end in example.org, and all of them lead to the demo's own mailbox.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, time, timedelta
from typing import Any, Final

from django.contrib.auth import get_user_model
from django.db import connection
from django.urls import reverse
from django.utils import timezone

from broadcasts.actor import Actor
from broadcasts.changes import broadcast_approve, broadcast_send, broadcast_submit
from broadcasts.drafts import broadcast_create
from broadcasts.models import Audience, Broadcast
from broadcasts.review import review
from deliveries.models import Tenant
from notifyproj.demo import sample

PEOPLE: Final = 50_000
FIRST_NAMES: Final = (
    "Amara Aino Bilal Carla Chen Dana Elif Emil Fara Gabriel Hana Ida Ivan Jamal Kaito Lea Lina Mara Mateo Mila Nadia Nils Nora Omar"
    " Paula Quentin Rafael Rosa Sami Sara Tariq Tove Uma Viktor Wanda Yara Yusuf Zoe"
)
LAST_NAMES: Final = (
    "Abebe Almeida Andersen Bauer Bianchi Castillo Costa Demir Diallo Eriksen Ferrari Gruber Haas Ibrahim Jansen Kaya Keller Kovacs Laurent"
    " Lopez Maier Mensah Moreau Novak Okoye Pereira Popov Reyes Sato Schmidt Silva Tran Varga Weiss Yilmaz Zimmer"
)
CITIES: Final = "Berlin Lisbon Lagos Madrid Nairobi Oslo Paris Porto Tokyo Vienna"

# One in thirty has no address, one in two hundred shares one with the customer before, one in eighty wants no e-mail, one in eight has
# no city, one in ninety no name: what a check of recipients is there for.
MAKE_PEOPLE: Final = """
INSERT INTO deliveries_contact (tenant_id, user_id, name, email, phone, locale, time_zone, attributes, opted_out, created_at, updated_at)
SELECT %(tenant)s, md5('demo customer ' || n)::uuid, CASE WHEN n %% 90 = 0 THEN '' ELSE first || ' ' || last END,
    CASE WHEN n %% 30 = 0 THEN ''
        ELSE lower(first || '.' || last) || CASE WHEN n %% 200 = 1 THEN n + 38 * 36 ELSE n END || '@example.org' END,
    '', CASE WHEN n %% 7 = 0 THEN 'de' ELSE 'en' END, '',
    jsonb_build_object('plan', CASE WHEN n %% 3 = 0 THEN 'plus' ELSE 'free' END, 'orders', n %% 23)
        || jsonb_build_object('since', '20' || 15 + n %% 11 || '-03-01')
        || CASE WHEN n %% 8 = 0 THEN '{}' ELSE jsonb_build_object('city', (%(cities)s::text[])[1 + n / 8 %% %(city_count)s]) END,
    CASE WHEN n %% 80 = 0 THEN ARRAY['email'] ELSE '{}' END, now(), now()
FROM generate_series(1, %(people)s) n
CROSS JOIN LATERAL (SELECT (%(first)s::text[])[1 + n %% %(first_count)s] AS first,
    (%(last)s::text[])[1 + n / %(first_count)s %% %(last_count)s] AS last) names
ON CONFLICT (tenant_id, user_id) DO NOTHING
"""

SEGMENTS: Final[dict[str, list[dict[str, Any]]]] = {
    "Plus customers": [{"field": "attributes.plan", "type": "text", "op": "is", "value": "plus"}],
    "Plus customers in Lisbon with 20 orders": [
        {"field": "attributes.plan", "type": "text", "op": "is", "value": "plus"},
        {"field": "attributes.city", "type": "text", "op": "is", "value": "Lisbon"},
        {"field": "attributes.orders", "type": "number", "op": ">=", "value": 20},
    ],
}

HOURS: Final = "Dear {{ contact.name }},\n\nfrom November on our shop is open **from nine to six**, on Saturdays too."
CARE: Final = "Tell us which plants you have, and we remind you when each of them is thirsty.\n\nYou can switch it off at any time."
WINTER: Final = (
    "Dear {{ contact.name }},\n\nall indoor plants are **20 % off** until Sunday,"
    " in our shop in {{ contact.attributes.city }} and online."
)


def crowd_ensure(tenant: Tenant) -> None:
    """Store the customers that are not there."""
    lists = {"first": FIRST_NAMES.split(), "last": LAST_NAMES.split(), "cities": CITIES.split()}
    counts = {"first_count": len(lists["first"]), "last_count": len(lists["last"]), "city_count": len(lists["cities"])}
    values: dict[str, Any] = {"tenant": tenant.pk, "people": PEOPLE, **lists, **counts}
    with connection.cursor() as cursor:
        cursor.execute(MAKE_PEOPLE, values)
        if cursor.rowcount:
            cursor.execute("ANALYZE deliveries_contact")


def broadcasts_ensure(tenant: Tenant, *, writer: str, approver: str) -> None:
    """Store audiences and broadcasts where there are none: one that will be done in a moment, one that goes on, one for tomorrow, one that
    waits for its approval, and a draft that is not ready."""
    audiences = {name: _segment(tenant, name, rules) for name, rules in SEGMENTS.items()}
    if Broadcast.objects.filter(tenant=tenant).exists():
        return
    wrote, approves = _actor(writer), _actor(approver)
    for name, is_to_go, values in _planned(audiences):
        broadcast = broadcast_create(tenant=tenant, actor=wrote, values={"name": name, **values})
        if is_to_go is None:
            continue
        broadcast = broadcast_submit(broadcast=broadcast, actor=wrote, review=review(broadcast))
        if is_to_go:
            broadcast = broadcast_approve(broadcast=broadcast, actor=approves, review=review(broadcast))
            broadcast_send(broadcast=broadcast, actor=wrote, review=review(broadcast), undo_seconds=0)


def tour_steps() -> list[tuple[str, str, str, str]]:
    """Return what the tour asks to do with these broadcasts, where they are still there: title, what to look at, as whom, address."""
    ids = dict(
        Broadcast.objects.filter(name__in=[name for _title, name, _who, _hint in _STEPS]).values_list("name", "id")
    )
    return [
        (title, hint, who, reverse("admin:broadcasts_broadcast_change", args=[ids[name]]))
        for title, name, who, hint in _STEPS
        if name in ids
    ]


#: Title, broadcast, as whom, what to look at.
_STEPS: Final = (
    ("Finish a draft", "Winter sale", "ben",
     "See it as Ana and as somebody without a city; Review says who gets it, who does not, and why. Mend it, ask for approval."),
    ("Approve and send", "Winter sale, in-app", "admin",
     "A second person looks. Send it to everybody, press Undo within half a minute, and send it again."),
    ("Watch one", "Care reminders", "admin",
     "It goes to 50,000 at ten a second. Change its speed, pause it; “Send me one” overtakes it meanwhile."),
)  # fmt: skip


def _planned(audiences: dict[str, Audience]) -> Iterator[tuple[str, bool | None, dict[str, Any]]]:
    """Yield name, whether it goes (True), waits for its approval (False) or is a draft (None), and what it says to whom."""
    plus, lisbon = audiences.values()
    tomorrow = timezone.localtime() + timedelta(days=1)
    at_nine = timezone.make_aware(datetime.combine(tomorrow.date(), time(9)))
    everybody = {"type": "all_users"}
    # Ana's phone on the tour, and the inboxes of the few beside her, stay quiet until the visitor sends something.
    few = [str(sample.user_id_of(number)) for number in range(1, len(sample.PEOPLE) + 1)]
    others = {**everybody, "exclude": [{"type": "users", "user_ids": few}]}
    news = {"channels": ["ws"], "category": "news"}
    yield "Opening hours", True, {
        "title": "New opening hours", "body": HOURS, **news, "audience": {"type": "audience", "id": lisbon.pk},
    }  # fmt: skip
    yield "Care reminders", True, {
        "title": "We remember when your plants are thirsty", "body": CARE, **news, "audience": others, "pace_per_minute": 600,
    }  # fmt: skip
    yield "Plus evening", True, {
        "title": "You are invited", "body": "On Friday at seven, in our shop. Bring a plant to swap.", "channels": ["email"],
        "category": "news", "audience": {"type": "audience", "id": plus.pk}, "scheduled_at": at_nine,
    }  # fmt: skip
    yield "Winter sale, in-app", False, {
        "title": "20 % off until Sunday", "body": "All indoor plants.", **news, "audience": everybody,
    }  # fmt: skip
    yield "Winter sale", None, {
        "title": "20 % off until Sunday", "body": WINTER, "channels": ["email"], "category": "news", "audience": everybody,
    }  # fmt: skip


def _segment(tenant: Tenant, name: str, rules: list[dict[str, Any]]) -> Audience:
    values = {"kind": Audience.Kind.SEGMENT, "rules": {"match": "all", "rules": rules}, "created_by": "demo"}
    audience, _is_new = Audience.objects.get_or_create(tenant=tenant, name=name, defaults=values)
    return audience


def _actor(username: str) -> Actor:
    return Actor(username, get_user_model().objects.get(username=username).pk, "demo")
