"""The demo's sample data: people, templates, staff and an API key. Every function may run again and then changes nothing
that a person has changed meanwhile.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission

from deliveries.api.keys import api_key_check, api_key_create
from deliveries.channels import Channel
from deliveries.contacts.store import contacts_store
from deliveries.models import ApiKey, Brand, Contact, Delivery, Provider, Template, Tenant
from deliveries.templating import brand_save, template_publish, template_save_draft
from notifyproj.demo import terminal
from notifyproj.demo.sample_words import FRAME, SAMPLES, SHOP

TENANT_NAME: Final = "Juniper"
KEY_NAME: Final = "Demo"
#: Ana, whose inbox is on the tour's phone.
ANA: Final = UUID(terminal.ANA)

#: Name, locale, time zone. Two have something about them, so that staff pages show more than success.
PEOPLE: Final = (
    ("Ana Ribeiro", "en", "Europe/Lisbon"),
    ("Ben Okafor", "en", "Africa/Lagos"),
    ("Mei Tanaka", "en", "Asia/Tokyo"),
    ("Jonas Weber", "de", "Europe/Berlin"),
    ("Ольга Смирнова", "ru", "Europe/Moscow"),
    ("Priya Nair", "en", "Asia/Kolkata"),
    ("Lucía Fernández", "es", "Europe/Madrid"),
    ("Samuel Adeyemi", "en", "Europe/London"),
    ("Hanna Vogel", "de", "Europe/Vienna"),
    ("Дмитрий Волков", "ru", "Asia/Yekaterinburg"),
    ("Chloé Martin", "fr", "Europe/Paris"),
    ("Noah Fischer", "de", "Europe/Zurich"),
    ("Grace Kimani", "en", "Africa/Nairobi"),
    ("陳怡君", "zh-TW", "Asia/Taipei"),
    ("Tomás Silva", "pt-BR", "America/Sao_Paulo"),
    ("Ines Haddad", "fr", "Africa/Tunis"),
    ("Erik Lindqvist", "sv", "Europe/Stockholm"),
    ("Aisha Rahman", "en", "Asia/Dhaka"),
    ("Marek Nowak", "pl", "Europe/Warsaw"),
    ("Fatima Zahra", "fr", "Africa/Casablanca"),
    ("Lukas Brandt", "de", "Europe/Berlin"),
    ("Екатерина Орлова", "ru", "Europe/Moscow"),
    ("Daniel Cohen", "en", "Asia/Jerusalem"),
    ("Sofia Rossi", "it", "Europe/Rome"),
    ("Kenji Mori", "ja", "Asia/Tokyo"),
    ("Emma Clarke", "en", "America/Toronto"),
    ("Olivier Dubois", "fr", "Europe/Brussels"),
    ("Zanele Dlamini", "en", "Africa/Johannesburg"),
    ("Kofi Mensah", "en", "Africa/Accra"),
    ("Ruth Abrams", "en", "America/New_York"),
)
WITHOUT_EMAIL: Final = "Kofi Mensah"
OPTED_OUT: Final = "Ruth Abrams"
PLANTS: Final = (
    "Monstera deliciosa",
    "Boston fern",
    "Olive tree",
    "String of hearts",
    "Snake plant",
    "Calathea orbifolia",
)
MAIL_PROVIDERS: Final = ("Provider A", "Provider B")
CARRIERS: Final = ("DHL", "Post", "GLS")


def providers_ensure(tenant: Tenant, ports: Sequence[int]) -> None:
    """Let mails go by two providers, both of which are the demo's mailbox. Their ports are new at each start."""
    for position, (name, port) in enumerate(zip(MAIL_PROVIDERS, ports, strict=True), start=1):
        options = {"host": "127.0.0.1", "port": port, "security": "none"}
        Provider.objects.update_or_create(
            tenant=tenant,
            channel=Channel.EMAIL,
            name=name,
            defaults={"kind": "smtp", "options": options},
            create_defaults={"kind": "smtp", "options": options, "position": position},
        )


def tenant_ensure() -> Tenant:
    """Return the default tenant, with the sample shop's name unless somebody has named it."""
    tenant, _ = Tenant.objects.get_or_create(slug=settings.DEFAULT_TENANT, defaults={"name": TENANT_NAME})
    if tenant.name.lower() in ("", tenant.slug):
        Tenant.objects.filter(pk=tenant.pk).update(name=TENANT_NAME)
        tenant.refresh_from_db()
    return tenant


def user_id_of(number: int) -> UUID:
    """Return the id of the sample person with this number; Ana is 1."""
    return UUID(f"00000000-0000-4000-8000-{number:012d}")


def takes(number: int, channel: str) -> bool:
    """Say whether the sample person with this number has an address on a channel and wants messages there."""
    return channel != Channel.EMAIL or PEOPLE[number - 1][0] not in (WITHOUT_EMAIL, OPTED_OUT)


def contacts_ensure(tenant: Tenant) -> None:
    """Store the sample people that are not there."""
    known = [user_id_of(number) for number in range(1, len(PEOPLE) + 1)]
    there = set(Contact.objects.filter(tenant=tenant, user_id__in=known).values_list("user_id", flat=True))
    people = [_person(number, *row) for number, row in enumerate(PEOPLE, start=1) if user_id_of(number) not in there]
    contacts_store(tenant=tenant, people=people)


def _person(number: int, name: str, locale: str, time_zone: str) -> dict[str, Any]:
    given = name.split()[0]
    local = given.lower() if given.isascii() else f"person{number}"
    return {
        "user_id": user_id_of(number),
        "name": name,
        "email": "" if name == WITHOUT_EMAIL else f"{local}@example.com",
        "phone": f"+1202555{number:04d}",
        "locale": locale,
        "time_zone": time_zone,
        "attributes": {"plan": "plus" if number % 3 == 1 else "free"},
        "opted_out": ["email"] if name == OPTED_OUT else [],
    }


def frame_ensure(tenant: Tenant) -> None:
    """Give the sample shop its mail frame, unless somebody has made one."""
    if not Brand.objects.filter(tenant=tenant).exists():
        brand_save(brand=Brand(tenant=tenant, **FRAME))


def templates_ensure(tenant: Tenant) -> None:
    """Store and publish the sample templates that are not there. Raises: TemplateRefused for words that are not sound."""
    frame_ensure(tenant)
    there = set(Template.objects.filter(tenant=tenant).values_list("code", flat=True))
    for code, sample in SAMPLES.items():
        if code not in there:
            template = Template.objects.create(
                tenant=tenant, code=code, name=sample.name, hides_personal_data=sample.hides_personal_data
            )
            draft = template_save_draft(
                template=template, contents=sample.words, default_locale="en", variables=sample.variables
            )
            template_publish(version=draft)


def staff_ensure(username: str, password: str, *, is_superuser: bool) -> None:
    """Make a member of staff. One who is there stays as he is, password included."""
    users = get_user_model()
    if users.objects.filter(username=username).exists():
        return
    user = users.objects.create_user(
        username, f"{username}@example.com", password, is_staff=True, is_superuser=is_superuser
    )
    if not is_superuser:
        user.user_permissions.set(Permission.objects.filter(content_type__app_label__in=["deliveries", "broadcasts"]))


def api_key_ensure(tenant: Tenant, plain: str) -> str:
    """Return `plain` when it is a valid key of this database, else a new key with every scope."""
    if plain and api_key_check(plain) is not None:
        return plain
    return api_key_create(tenant=tenant, name=KEY_NAME, scopes=ApiKey.Scope.values, mode=ApiKey.Mode.LIVE).plain


def first_jobs() -> Iterator[dict[str, Any]]:
    """Yield jobs of an ordinary day, when there has been no delivery yet: most arrive, one person has no e-mail
    address and one does not want any."""
    if Delivery.objects.exists():
        return
    for number in range(1, len(PEOPLE) + 1):
        yield job(user_id_of(number), "email", template_code="welcome_email", event_type="user_registered")
    for number in range(1, 13):
        yield job(
            user_id_of(number), "email", template_code="order_shipped", data=an_order(), event_type="order_shipped"
        )
    for number in (2, 5, 9):
        code = f"{random.randrange(10**6):06d}"
        yield job(
            user_id_of(number),
            "email",
            template_code="password_code",
            data={"code": code},
            event_type="sign_in",
            priority="high",
        )
    for number in (1, 4, 9):
        yield job(
            user_id_of(number),
            "email",
            template_code="weekly_digest",
            category="digest",
            data=a_week(),
            event_type="weekly_digest",
        )
    yield job(ANA, "ws", template_code="order_shipped", data=an_order(), event_type="order_shipped")
    yield job(ANA, "ws", template_code="watering_reminder", data={"plants": list(PLANTS[:3])}, event_type="reminder")


def an_order() -> dict[str, Any]:
    """Return the data of an order that was shipped."""
    arrives = datetime.now(tz=UTC) + timedelta(days=random.choice((2, 3, 4)))
    return {
        "order": f"J-{random.randrange(10_000, 99_999)}",
        "carrier": random.choice(CARRIERS),
        "arrives": f"{arrives:%d %B}",
        "items": [{"name": name, "count": random.choice((1, 1, 2))} for name in random.sample(PLANTS, 2)],
    }


def a_week() -> dict[str, Any]:
    """Return the data of somebody's week."""
    days = ("Tuesday", "Thursday", "Saturday")
    names = random.sample(PLANTS, 3)
    return {
        "plants": [{"name": name, "next": day} for name, day in zip(names, days, strict=True)],
        "watered": random.choice((3, 5, 8)),
        "tips": [{"title": "Repot before the summer", "link": f"{SHOP}/tips/repotting"}],
    }


def job(
    user_id: UUID,
    channel: str,
    *,
    job_id: str = "",
    event_type: str = "demo",
    event_id: str = "",
    priority: str = "normal",
    data: dict[str, Any] | None = None,
    **what: Any,
) -> dict[str, Any]:
    """Return a NotificationJob (contracts, section 1). `what`: `template_code`, or `content`."""
    return {
        "job_id": job_id or str(uuid4()),
        "user_id": str(user_id),
        "channel": channel,
        "data": data or {},
        "meta": {
            "event_type": event_type,
            "event_id": event_id or str(uuid4()),
            "campaign_id": None,
            "priority": priority,
        },
        "created_at": datetime.now(tz=UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        **what,
    }
