# ruff: noqa: RUF001 - Cyrillic letters are meant
"""The words of the sample templates, and the frame that their e-mails share. Text only: what stores them is `sample.py`."""

from __future__ import annotations

from typing import Final, NamedTuple

from deliveries.rendering import ContentSource, Variable

SHOP: Final = "https://juniper.example"

#: The sample shop's frame, as the columns of models.Brand.
FRAME: Final = {
    "accent_colour": "#1f5c40",
    "background_colour": "#f1f3f0",
    "text_colour": "#1f2a24",
    "footer": (
        "{% if locale == 'de' %}Juniper, Pflanzen per Post. Sie erhalten diese E-Mail, weil Sie ein Konto bei uns haben."
        "{% elif locale == 'ru' %}Juniper, растения по почте. Вы получили это письмо, потому что у вас есть учётная запись."
        "{% else %}Juniper, plants by post. You get this mail because you have an account with us.{% endif %}"
    ),
    "legal": f"Juniper Ltd, 4 Fern Lane, Lisbon · [juniper.example]({SHOP})",
}


class Sample(NamedTuple):
    """One template: the name staff read, its words by locale, what it declares, and whether its data goes once it was sent."""

    name: str
    words: dict[str, ContentSource]
    variables: tuple[Variable, ...] = ()
    hides_personal_data: bool = False


def _mail(subject: str, preheader: str, markdown: str, action_url: str = "") -> ContentSource:
    return ContentSource(subject, preheader=preheader, markdown=markdown, action_url=action_url, body_format="markdown")


WELCOME = Sample(
    "Welcome",
    {
        "en": _mail(
            "Welcome to Juniper, {{ contact.name|default('friend') }}",
            "Your first plant ships free of charge.",
            f"""# Welcome, {{{{ contact.name|default('friend') }}}}

Your account is ready. Tell us how much light your windows get, and we suggest plants that live long there.

Your first plant ships free of charge: use the code **FIRSTLEAF** within 30 days.

**[Find your first plant]({SHOP}/start)**
""",
            f"{SHOP}/start",
        ),
        "de": _mail(
            "Willkommen bei Juniper, {{ contact.name|default('liebe Pflanzenfreundin') }}",
            "Die erste Pflanze kommt versandkostenfrei.",
            f"""# Willkommen, {{{{ contact.name|default('') }}}}

Ihr Konto ist bereit. Sagen Sie uns, wie hell Ihre Fenster sind, und wir schlagen passende Pflanzen vor.

Die erste Pflanze kommt versandkostenfrei: Code **FIRSTLEAF**, 30 Tage gültig.

**[Erste Pflanze finden]({SHOP}/start)**
""",
            f"{SHOP}/start",
        ),
        "ru": _mail(
            "Добро пожаловать в Juniper, {{ contact.name|default('друг') }}",
            "Первое растение доставим бесплатно.",
            f"""# Добро пожаловать, {{{{ contact.name|default('друг') }}}}

Ваша учётная запись готова. Расскажите, сколько света в ваших окнах, и мы подберём растения.

Первое растение доставим бесплатно: код **FIRSTLEAF**, действует 30 дней.

**[Выбрать первое растение]({SHOP}/start)**
""",
            f"{SHOP}/start",
        ),
    },
)

ORDER = Variable("order", sample="J-10442", help="The order's number.")
ITEMS = Variable(
    "items",
    "list",
    sample=[{"name": "Boston fern", "count": 1}, {"name": "Olive tree", "count": 2}],
    help="What was packed: name and count of each.",
)

ORDER_SHIPPED = Sample(
    "Order shipped",
    {
        "en": _mail(
            "Your order {{ order }} is on its way",
            "It should be with you on {{ arrives }}.",
            f"""# Your plants are on their way

Hello {{{{ contact.name|default('there') }}}},

we packed order **{{{{ order }}}}** and gave it to {{{{ carrier }}}}. It should be with you on **{{{{ arrives }}}}**.

| Plant | Count |
|---|---|
{{% for item in items %}}
| {{{{ item.name }}}} | {{{{ item.count }}}} |
{{% endfor %}}

**[Follow the parcel]({SHOP}/orders/{{{{ order }}}})**
""",
            f"{SHOP}/orders/{{{{ order }}}}",
        ),
        "de": _mail(
            "Ihre Bestellung {{ order }} ist unterwegs",
            "Sie kommt voraussichtlich am {{ arrives }}.",
            f"""# Ihre Pflanzen sind unterwegs

Guten Tag {{{{ contact.name|default('') }}}},

Bestellung **{{{{ order }}}}** ist bei {{{{ carrier }}}} und kommt voraussichtlich am **{{{{ arrives }}}}**.

| Pflanze | Anzahl |
|---|---|
{{% for item in items %}}
| {{{{ item.name }}}} | {{{{ item.count }}}} |
{{% endfor %}}

**[Paket verfolgen]({SHOP}/orders/{{{{ order }}}})**
""",
            f"{SHOP}/orders/{{{{ order }}}}",
        ),
    },
    (
        ORDER,
        Variable("carrier", sample="DHL", help="Who brings the parcel."),
        Variable("arrives", sample="3 March", help="The day it should be there, as it is shown."),
        ITEMS,
    ),
)

PASSWORD_CODE = Sample(
    "Sign-in code",
    {
        "en": _mail(
            "{{ code }} is your Juniper code",
            "Valid for {{ minutes }} minutes.",
            """# Your sign-in code

    {{ code }}

It is valid for {{ minutes }} minutes. If you did not ask for it, nobody got in: ignore this mail.

We never ask for it by phone.
""",
        ),
        "ru": _mail(
            "{{ code }} — ваш код для входа в Juniper",
            "Действует {{ minutes }} минут.",
            """# Код для входа

    {{ code }}

Он действует {{ minutes }} минут. Если вы его не запрашивали, просто удалите это письмо.

Мы никогда не спрашиваем его по телефону.
""",
        ),
    },
    (
        Variable("code", sample="731904", help="The one-time code."),
        Variable("minutes", "number", required=False, fallback=10, sample=10, help="How long it is valid."),
    ),
    hides_personal_data=True,
)

PAYMENT_FAILED = Sample(
    "Payment failed",
    {
        "en": _mail(
            "We could not charge your card for order {{ order }}",
            "Nothing is lost: we keep your plants for {{ days }} days.",
            f"""# Your bank refused the payment

Hello {{{{ contact.name|default('there') }}}},

we could not charge **{{{{ amount|money }}}} {{{{ currency }}}}** for order {{{{ order }}}}.

> Nothing is lost: we keep your plants for {{{{ days }}}} days.

**[Choose another card]({SHOP}/orders/{{{{ order }}}}/pay)**
""",
            f"{SHOP}/orders/{{{{ order }}}}/pay",
        ),
    },
    (
        ORDER,
        Variable("amount", "number", sample=48.5, help="What was to be charged."),
        Variable("currency", sample="EUR"),
        Variable("days", "number", required=False, fallback=3, sample=3, help="How long the order is kept."),
    ),
)

PLANTS = Variable("plants", "list", sample=["Boston fern", "Olive tree"], help="The plants' names.")

WATERING_REMINDER = Sample(
    "Watering reminder",
    {
        "en": _mail(
            "Time to water {{ plants|length }} of your plants",
            "{{ plants|join(', ') }}",
            f"""# Thirsty today

{{% for plant in plants %}}
- {{{{ plant }}}}
{{% endfor %}}

{{% if heat %}}
It is hot this week, so give them a little more.
{{% endif %}}

**[Mark them as watered]({SHOP}/plants)**
""",
            f"{SHOP}/plants",
        ),
    },
    (PLANTS, Variable("heat", "boolean", required=False, fallback=False, sample=True, help="Whether it is hot.")),
)

WEEKLY_DIGEST = Sample(
    "Weekly digest",
    {
        "en": _mail(
            "Your week with {{ plants|length }} plants",
            "{{ watered }} waterings done, {{ tips|length }} tips for the next days.",
            f"""# Your week

Hello {{{{ contact.name|default('there') }}}}, you watered **{{{{ watered }}}}** times.

## How they are

| Plant | Next watering |
|---|---|
{{% for plant in plants %}}
| {{{{ plant.name }}}} | {{{{ plant.next }}}} |
{{% endfor %}}

{{% if tips %}}
## Worth doing

{{% for tip in tips %}}
1. [{{{{ tip.title }}}}]({{{{ tip.link }}}})
{{% endfor %}}
{{% else %}}
Nothing else to do. Enjoy them.
{{% endif %}}

---

You get this each Monday. [Change how often we write]({SHOP}/account/mail).
""",
            f"{SHOP}/plants",
        ),
        "de": _mail(
            "Ihre Woche mit {{ plants|length }} Pflanzen",
            "{{ watered }}-mal gegossen, {{ tips|length }} Tipps für die nächsten Tage.",
            f"""# Ihre Woche

Guten Tag {{{{ contact.name|default('') }}}}, Sie haben **{{{{ watered }}}}**-mal gegossen.

## Wie es ihnen geht

| Pflanze | Nächstes Gießen |
|---|---|
{{% for plant in plants %}}
| {{{{ plant.name }}}} | {{{{ plant.next }}}} |
{{% endfor %}}

{{% if tips %}}
## Was sich lohnt

{{% for tip in tips %}}
1. [{{{{ tip.title }}}}]({{{{ tip.link }}}})
{{% endfor %}}
{{% endif %}}

---

Diese Übersicht kommt jeden Montag. [Ändern, wie oft wir schreiben]({SHOP}/account/mail).
""",
            f"{SHOP}/plants",
        ),
    },
    (
        Variable(
            "plants",
            "list",
            sample=[{"name": "Boston fern", "next": "Tuesday"}, {"name": "Olive tree", "next": "Friday"}],
            help="Each plant's name and when it wants water next.",
        ),
        Variable("watered", "number", required=False, fallback=0, sample=5, help="Waterings of the week."),
        Variable(
            "tips",
            "list",
            required=False,
            fallback=[],
            sample=[{"title": "Repot the olive tree", "link": f"{SHOP}/tips/repotting"}],
            help="Title and link of each tip.",
        ),
    ),
)

SAMPLES: Final = {
    "welcome_email": WELCOME,
    "order_shipped": ORDER_SHIPPED,
    "password_code": PASSWORD_CODE,
    "payment_failed": PAYMENT_FAILED,
    "watering_reminder": WATERING_REMINDER,
    "weekly_digest": WEEKLY_DIGEST,
}
