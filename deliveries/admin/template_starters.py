"""What an empty template may begin with. Words only; the editor offers them and saves the one that is chosen as a draft."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

from deliveries.drafts import Draft
from deliveries.rendering import ContentSource, Variable
from deliveries.rendering.variables import Type


@dataclass(frozen=True, slots=True)
class Starter:
    """A beginning: what it is for, its words, and the fields that they ask a job for."""

    key: str
    name: str
    about: str
    words: dict[str, Any]
    variables: tuple[Variable, ...] = ()
    hides_personal_data: bool = False

    def draft(self, locale: str) -> Draft:
        """Return it as a draft in one language."""
        source = replace(ContentSource("", body_format="markdown", locale=locale), **self.words)
        return Draft({locale: source}, locale, self.variables, self.hides_personal_data)


def _field(name: str, sample: object, *, type: Type = "text", fallback: object = None) -> Variable:
    return Variable(name, type, required=fallback is None, fallback=fallback, sample=sample)


_ALL: Final = (
    Starter(
        "welcome",
        "Welcome",
        "A first mail after somebody signed up",
        {
            "subject": "Welcome to {{ tenant.name }}",
            "preheader": "Your account is ready. Here is how to begin.",
            "markdown": "# Hello {{ contact.name|default('there') }},\n\nyour account is ready. Begin here:\n\n"
            "**[Open your account]({{ start_url }})**\n\nIf anything is unclear, just answer this mail.\n",
            "text": "Welcome to {{ tenant.name }}! Your account is ready: {{ start_url }}",
            "action_url": "{{ start_url }}",
        },
        (_field("start_url", "https://example.com/start", type="url"),),
    ),
    Starter(
        "code",
        "One-time code",
        "A code to sign in with; its personal data is hidden once it is sent",
        {
            "subject": "{{ code }} is your code",
            "preheader": "It is good for {{ minutes }} minutes.",
            "markdown": "Your code is\n\n    {{ code }}\n\nIt is good for {{ minutes }} minutes. If you did not ask for it, "
            "ignore this message; nobody can sign in without it.\n",
            "text": "{{ code }} is your {{ tenant.name }} code, good for {{ minutes }} minutes.",
        },
        (_field("code", "407 118"), _field("minutes", 10, type="number", fallback=10)),
        hides_personal_data=True,
    ),
    Starter(
        "receipt",
        "Receipt",
        "What was ordered and what it cost, line by line",
        {
            "subject": "Your order {{ order }}",
            "preheader": "Thank you. Here is what you ordered.",
            "markdown": "# Thank you, {{ contact.name|default('and welcome back') }}\n\nThis is your order {{ order }}:\n\n"
            "| Item | Price |\n|---|---|\n{% for item in items %}\n| {{ item.name }} | {{ item.price|money }} |\n{% endfor %}\n\n"
            "**Total: {{ total|money }}**\n\n**[See your order]({{ order_url }})**\n",
            "text": "Thank you! Your order {{ order }} over {{ total|money }}: {{ order_url }}",
            "action_url": "{{ order_url }}",
        },
        (
            _field("order", "A-1042"),
            _field("items", [{"name": "Fern", "price": 12.5}, {"name": "Pot", "price": 7}], type="list"),
            _field("total", 19.5, type="number"),
            _field("order_url", "https://example.com/orders/A-1042", type="url"),
        ),
    ),
    Starter(
        "news",
        "Announcement",
        "One piece of news with one thing to do",
        {
            "subject": "{{ headline }}",
            "preheader": "News from {{ tenant.name }}",
            "markdown": "# {{ headline }}\n\nHello {{ contact.name|default('there') }},\n\nsay here in two or three sentences "
            "what is new, and what it means for the reader.\n\n**[Read more]({{ more_url }})**\n",
            "text": "{{ headline }}: {{ more_url }}",
            "action_url": "{{ more_url }}",
        },
        (_field("headline", "We open on Sundays"), _field("more_url", "https://example.com/news", type="url")),
    ),
)
STARTERS: Final = {starter.key: starter for starter in _ALL}
