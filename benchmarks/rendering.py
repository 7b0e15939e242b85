"""Rendering: messages a second and core of a published template of 1.5 KB, by the way that senders take: the words found in the book,
the person's names, subject, text and HTML filled in and checked.

Beside it, in the same rounds: `str.format` of the same words with ready values (the floor: no lookup, no escaping, no check), and the bare
engine (minijinja) with the same templates. Then with a loop over two items, and with 1,000 templates in the table and the book: each
message by one of them, and each by the next, which the processor's caches cannot hold. The clock is the process's own use of a core, so
other work here costs nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Callable, Sequence
from html import escape
from typing import Any
from uuid import UUID

import psycopg
from minijinja import Environment

from benchmarks.table import print_facts, print_goal, print_rounds, ratio
from benchmarks.world import World, a_world

TEMPLATES = 1000
GOAL, GOAL_OF_MANY = 60_000, 0.9
SUBJECT = "{{ contact.name }}, your order {{ order }} is on its way"
BODY = """# Your plants are on their way

Hello {{ contact.name }},

we packed order **{{ order }}** and gave it to {{ carrier }}. It should be with you on **{{ arrives }}**. Keep the box upright,
open it on the day it comes, and let the plants rest for a day before you repot them. They like a bright place without
midday sun, and a little water once the top of the soil is dry. If something arrives broken, send us a picture within
a week and we send you another: no need to return anything.

{loop}**[Follow the parcel](https://juniper.example/orders/{{ order }})**

Paid with {{ card }}, sent to {{ city }}. You can change how often we write to you on your account's page at any time.
"""
LOOP = "{% for item in items %}\n- {{ item.count }} of {{ item.name }}\n{% endfor %}\n\n"
DATA = {"order": "J-10442", "carrier": "DHL", "arrives": "3 March", "card": "Visa <1234>", "city": "São Paulo"}
ITEMS = [{"name": "Boston fern", "count": 1}, {"name": "Olive tree", "count": 2}]


class Person:
    """Whoever starts: what lifecycle.start brings along."""

    name = "Ana Ribeiro"
    email = "ana@example.com"
    phone = "+12025550100"
    locale = "en"
    time_zone = "Europe/Lisbon"
    attributes: dict[str, Any] = {"plan": "plus"}


def publish(world: World, count: int, loop: str = "", prefix: str = "bench") -> list[str]:
    """Publish templates that differ in a word, and return their codes."""
    from deliveries.models import Template, Tenant
    from deliveries.rendering import ContentSource
    from deliveries.templating import template_publish, template_save_draft

    tenant = Tenant.objects.get(slug="default")
    codes = [f"{prefix}-{number}" for number in range(count)]
    for code in codes:
        template = Template.objects.create(tenant=tenant, code=code, name=code)
        body = BODY.replace("{loop}", loop) + f"\n{code}\n"
        words = {"en": ContentSource(SUBJECT, body_format="markdown", markdown=body)}
        template_publish(version=template_save_draft(template=template, contents=words, default_locale="en"))
    return codes


def book_of(world: World, codes: Sequence[str]) -> Any:
    """Return a book that knows the codes, as a sender's does."""
    from deliveries.rendering import TemplateBook

    book = TemplateBook(refresh_seconds=3600)

    async def load() -> None:
        async with await psycopg.AsyncConnection.connect(world.database_url, autocommit=True) as connection:
            await book.load(connection, [(int(str(world.tenant_id)), code) for code in codes])

    asyncio.run(load())
    return book


def ours(
    world: World, codes: Sequence[str], data: dict[str, Any], *, known: Sequence[str] = ()
) -> Callable[[int], None]:
    """Return what renders one message after another, each by the next code, while the book knows those and `known`."""
    from deliveries.rendering import contact_of, context_of, render

    book, tenant_id, user_id = book_of(world, [*codes, *known]), int(str(world.tenant_id)), UUID(int=1)

    def run(count: int) -> None:
        person, tenant = Person(), {"name": "Juniper", "slug": "juniper"}
        for number in range(count):
            _, source = book.find(tenant_id, codes[number % len(codes)], ("en",))
            render(source, context_of(data, contact=contact_of(person, user_id=user_id), tenant=tenant))

    run(len(codes))
    return run


def parts_of(world: World, code: str) -> list[str]:
    """Return the compiled subject, text and HTML of a template."""
    from deliveries.rendering.compiling import compile_source

    _, source = book_of(world, [code]).find(int(str(world.tenant_id)), code, ("en",))
    parts = compile_source(source).parts
    return [parts[part].source for part in ("subject", "text", "html")]


def floor(parts: Sequence[str]) -> Callable[[int], None]:
    """Return str.format with values that are escaped and looked up already."""
    names = {"contact.name": "name", "tenant.name": "tenant", **{name: name for name in DATA}}
    shapes = [part.replace("{", "{{").replace("}", "}}") for part in parts]
    for tag, name in names.items():
        shapes = [shape.replace(f"{{{{{{{{ {tag} }}}}}}}}", f"{{{name}}}") for shape in shapes]
    values = {"name": Person.name, "tenant": "Juniper", **{name: escape(value) for name, value in DATA.items()}}
    assert not any("{{{{" in shape for shape in shapes), shapes

    def run(count: int) -> None:
        for _ in range(count):
            [shape.format(**values) for shape in shapes]

    return run


def bare(parts: Sequence[str]) -> Callable[[int], None]:
    """Return the engine alone, with the names that it needs."""
    environment = Environment(undefined_behavior="strict", auto_escape_callback=lambda name: name == "html")
    for name, part in zip(("subject", "text", "html"), parts, strict=True):
        environment.add_template(name, part)
    values = {**DATA, "contact": {"name": Person.name}, "tenant": {"name": "Juniper"}}

    def run(count: int) -> None:
        for _ in range(count):
            for name in ("subject", "text", "html"):
                environment.render_template(name, **values)

    return run


def rate(run: Callable[[int], None], count: int) -> float:
    """Return messages a second of this process's own time on a core."""
    begun = time.process_time()
    run(count)
    return count / (time.process_time() - begun)


def main() -> None:
    """Run the rounds and print the table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--messages", type=int, default=20_000)
    options.add_argument("--templates", type=int, default=TEMPLATES)
    asked = options.parse_args()
    import minijinja

    print_facts(minijinja=getattr(minijinja, "__version__", "3"))
    with a_world() as world:
        code, looped = publish(world, 1)[0], publish(world, 1, LOOP, "loop")[0]
        parts = parts_of(world, code)
        print(f"subject, text and HTML: {sum(map(len, parts)):,} characters, of which written {len(SUBJECT + BODY):,}")
        many = publish(world, asked.templates, prefix="many")
        runs = {
            "ours": ours(world, [code], DATA),
            "ours, a loop in it": ours(world, [looped], {**DATA, "items": ITEMS}),
            f"ours, one of {asked.templates:,} templates": ours(world, [code], DATA, known=many),
            f"ours, {asked.templates:,} templates in turn": ours(world, many, DATA),
            "(a) str.format, ready values": floor(parts),
            "(b) minijinja alone": bare(parts),
        }
        found: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(asked.rounds):
            for name, run in runs.items():
                found[name].append(rate(run, asked.messages))
    print_rounds("Rendering", "messages a second and core", found)
    first, _, one_of_many, in_turn, a, b = found.values()
    print()
    print_goal("ours, a second and core", sorted(first)[len(first) // 2], GOAL, digits=0)
    print_goal("one of many templates / the only one", ratio(one_of_many, first), GOAL_OF_MANY)
    print(f"  many templates in turn / the only one: {ratio(in_turn, first):,.2f}")
    print_goal("ours / (b)", ratio(first, b), 1.0)
    print(f"  ours / (a): {ratio(first, a):,.2f}")


if __name__ == "__main__":
    main()
