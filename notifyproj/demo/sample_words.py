# ruff: noqa: RUF001 - Cyrillic letters are meant
"""The words of the sample templates, and the frame that their e-mails share. Text only: what stores them is `sample.py`."""

from __future__ import annotations

from typing import Final, NamedTuple

from deliveries.rendering import ContentSource

SHOP: Final = "https://juniper.example"

FRAME: Final = """\
<!doctype html>
<html lang="{locale}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Juniper</title>
</head>
<body style="margin:0;background:#f1f3f0;color:#1f2a24;font:16px/1.55 -apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif">
<table role="presentation" width="100%" cellpadding="0" cellspacing="0"><tr><td align="center" style="padding:28px 12px">
<table role="presentation" width="100%" cellpadding="0" cellspacing="0" style="max-width:560px;background:#ffffff;border-radius:14px">
<tr><td style="padding:26px 32px 0">
<span style="font-size:20px;font-weight:700;letter-spacing:-.02em;color:#1f5c40">&#10047; Juniper</span>
</td></tr>
<tr><td style="padding:18px 32px 32px">
{inner}
</td></tr>
</table>
<p style="max-width:520px;margin:18px auto 0;font-size:13px;color:#68756d">{foot}</p>
</td></tr></table>
</body>
</html>
"""
FOOT: Final = {
    "en": "Juniper, plants by post. You get this mail because you have an account with us.",
    "de": "Juniper, Pflanzen per Post. Sie erhalten diese E-Mail, weil Sie ein Konto bei uns haben.",
    "ru": "Juniper, растения по почте. Вы получили это письмо, потому что у вас есть учётная запись.",
}


class Sample(NamedTuple):
    """One template: the name staff read, and its words by locale."""

    name: str
    words: dict[str, ContentSource]


def _mail(locale: str, inner: str) -> str:
    return FRAME.format(locale=locale, inner=inner, foot=FOOT[locale])


def _title(text: str) -> str:
    return f'<h1 style="margin:0 0 12px;font-size:24px;line-height:1.25;letter-spacing:-.02em">{text}</h1>'


def _line(text: str) -> str:
    return f'<p style="margin:0 0 14px">{text}</p>'


def _button(label: str, address: str) -> str:
    style = "display:inline-block;padding:12px 22px;border-radius:9px;background:#1f6b47;color:#ffffff;font-weight:600;text-decoration:none"
    return f'<p style="margin:22px 0 0"><a href="{address}" style="{style}">{label}</a></p>'


WELCOME = Sample(
    "Welcome",
    {
        "en": ContentSource(
            subject="Welcome to Juniper, {{ contact.name|default('friend') }}",
            text=(
                "Hello {{ contact.name|default('friend') }},\n\nyour account is ready. Your first plant ships free of "
                "charge: use the code FIRSTLEAF within 30 days.\n\nThe Juniper people"
            ),
            html=_mail(
                "en",
                _title("Welcome, {{ contact.name|default('friend') }}")
                + _line(
                    "Your account is ready. Tell us how much light your windows get, and we suggest plants that live long there."
                )
                + _line("Your first plant ships free of charge: use the code <b>FIRSTLEAF</b> within 30 days.")
                + _button("Find your first plant", f"{SHOP}/start"),
            ),
            action_url=f"{SHOP}/start",
        ),
        "de": ContentSource(
            subject="Willkommen bei Juniper, {{ contact.name|default('liebe Pflanzenfreundin') }}",
            text=(
                "Guten Tag {{ contact.name|default('') }},\n\nIhr Konto ist bereit. Die erste Pflanze kommt versandkostenfrei: "
                "Code FIRSTLEAF, 30 Tage gültig.\n\nIhr Juniper-Team"
            ),
            html=_mail(
                "de",
                _title("Willkommen, {{ contact.name|default('') }}")
                + _line(
                    "Ihr Konto ist bereit. Sagen Sie uns, wie hell Ihre Fenster sind, und wir schlagen passende Pflanzen vor."
                )
                + _line("Die erste Pflanze kommt versandkostenfrei: Code <b>FIRSTLEAF</b>, 30 Tage gültig.")
                + _button("Erste Pflanze finden", f"{SHOP}/start"),
            ),
            action_url=f"{SHOP}/start",
        ),
        "ru": ContentSource(
            subject="Добро пожаловать в Juniper, {{ contact.name|default('друг') }}",
            text=(
                "Здравствуйте, {{ contact.name|default('друг') }}!\n\nВаша учётная запись готова. Первое растение доставим бесплатно: "
                "код FIRSTLEAF, действует 30 дней.\n\nКоманда Juniper"
            ),
            html=_mail(
                "ru",
                _title("Добро пожаловать, {{ contact.name|default('друг') }}")
                + _line("Ваша учётная запись готова. Расскажите, сколько света в ваших окнах, и мы подберём растения.")
                + _line("Первое растение доставим бесплатно: код <b>FIRSTLEAF</b>, действует 30 дней.")
                + _button("Выбрать первое растение", f"{SHOP}/start"),
            ),
            action_url=f"{SHOP}/start",
        ),
    },
)

_ROWS = """\
<table role="presentation" width="100%" cellpadding="0" cellspacing="0" style="margin:4px 0 14px;border-top:1px solid #e3e8e4">
{% for item in items %}
<tr>
<td style="padding:10px 0;border-bottom:1px solid #e3e8e4">{{ item.name }}</td>
<td align="right" style="padding:10px 0;border-bottom:1px solid #e3e8e4;color:#68756d">&times; {{ item.count }}</td>
</tr>
{% endfor %}
</table>"""

ORDER_SHIPPED = Sample(
    "Order shipped",
    {
        "en": ContentSource(
            subject="Your order {{ order }} is on its way",
            text=(
                "Hello {{ contact.name|default('there') }},\n\nwe packed your order {{ order }} and gave it to {{ carrier }}:\n"
                "{% for item in items %}- {{ item.count }} x {{ item.name }}\n{% endfor %}\nIt should be with you on {{ arrives }}."
            ),
            html=_mail(
                "en",
                _title("Your plants are on their way")
                + _line(
                    "We packed order <b>{{ order }}</b> and gave it to {{ carrier }}. It should be with you on <b>{{ arrives }}</b>."
                )
                + _ROWS
                + _button("Follow the parcel", f"{SHOP}/orders/{{{{ order }}}}"),
            ),
            action_url=f"{SHOP}/orders/{{{{ order }}}}",
        ),
        "de": ContentSource(
            subject="Ihre Bestellung {{ order }} ist unterwegs",
            text=(
                "Guten Tag {{ contact.name|default('') }},\n\nIhre Bestellung {{ order }} ist bei {{ carrier }}:\n"
                "{% for item in items %}- {{ item.count }} x {{ item.name }}\n{% endfor %}\nSie kommt voraussichtlich am {{ arrives }}."
            ),
            html=_mail(
                "de",
                _title("Ihre Pflanzen sind unterwegs")
                + _line(
                    "Bestellung <b>{{ order }}</b> ist bei {{ carrier }} und kommt voraussichtlich am <b>{{ arrives }}</b>."
                )
                + _ROWS
                + _button("Paket verfolgen", f"{SHOP}/orders/{{{{ order }}}}"),
            ),
            action_url=f"{SHOP}/orders/{{{{ order }}}}",
        ),
    },
)

_CODE = (
    '<p style="margin:6px 0 18px;padding:16px;border-radius:10px;background:#eef4f0;text-align:center;'
    'font:700 30px/1.2 ui-monospace,Menlo,Consolas,monospace;letter-spacing:.25em">{{ code }}</p>'
)

PASSWORD_CODE = Sample(
    "Sign-in code",
    {
        "en": ContentSource(
            subject="{{ code }} is your Juniper code",
            text="Your code is {{ code }}. It is valid for {{ minutes|default(10) }} minutes. We never ask for it by phone.",
            html=_mail(
                "en",
                _title("Your sign-in code")
                + _CODE
                + _line(
                    "It is valid for {{ minutes|default(10) }} minutes. If you did not ask for it, nobody got in: ignore this mail."
                )
                + _line("We never ask for it by phone."),
            ),
        ),
        "ru": ContentSource(
            subject="{{ code }} — ваш код для входа в Juniper",
            text="Ваш код: {{ code }}. Он действует {{ minutes|default(10) }} минут. Мы никогда не спрашиваем его по телефону.",
            html=_mail(
                "ru",
                _title("Код для входа")
                + _CODE
                + _line(
                    "Он действует {{ minutes|default(10) }} минут. Если вы его не запрашивали, просто удалите это письмо."
                ),
            ),
        ),
    },
)

PAYMENT_FAILED = Sample(
    "Payment failed",
    {
        "en": ContentSource(
            subject="We could not charge your card for order {{ order }}",
            text=(
                "Hello {{ contact.name|default('there') }},\n\nyour bank refused {{ amount|money }} {{ currency }} for order {{ order }}. "
                "We keep your plants for {{ days|default(3) }} days. Please choose another card."
            ),
            html=_mail(
                "en",
                _title("Your bank refused the payment")
                + _line("We could not charge <b>{{ amount|money }} {{ currency }}</b> for order {{ order }}.")
                + _line("Nothing is lost: we keep your plants for {{ days|default(3) }} days.")
                + _button("Choose another card", f"{SHOP}/orders/{{{{ order }}}}/pay"),
            ),
            action_url=f"{SHOP}/orders/{{{{ order }}}}/pay",
        ),
    },
)

WATERING_REMINDER = Sample(
    "Watering reminder",
    {
        "en": ContentSource(
            subject="Time to water {{ plants|length }} of your plants",
            text=(
                "Thirsty today: {{ plants|join(', ') }}."
                "{% if heat|default(false) %} It is hot this week, so give them a little more.{% endif %}"
            ),
            html=_mail(
                "en",
                _title("Thirsty today")
                + _line("{{ plants|join(', ') }}")
                + "{% if heat|default(false) %}"
                + _line("It is hot this week, so give them a little more.")
                + "{% endif %}"
                + _button("Mark them as watered", f"{SHOP}/plants"),
            ),
            action_url=f"{SHOP}/plants",
        ),
    },
)

SAMPLES: Final = {
    "welcome_email": WELCOME,
    "order_shipped": ORDER_SHIPPED,
    "password_code": PASSWORD_CODE,
    "payment_failed": PAYMENT_FAILED,
    "watering_reminder": WATERING_REMINDER,
}
