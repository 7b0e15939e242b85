"""Templates on a real database: saved, published, and found by the worker's book."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest
from asgiref.sync import sync_to_async
from django.db import connection, connections

from deliveries.models import Template, TemplateContent, TemplateVersion
from deliveries.rendering import ContentSource, RenderError, TemplateBook
from deliveries.templating import TemplateRefused, template_publish, template_save_draft
from tests.factories import TemplateFactory, TenantFactory

HELLO = ContentSource("Hello {{ contact.name }}", "Dear {{ contact.name }}")


def draft_of(template: Template, **contents: ContentSource) -> TemplateVersion:
    return template_save_draft(template=template, contents=contents or {"en": HELLO}, default_locale="en")


@pytest.fixture
def template(db: None) -> Template:
    tenant = TenantFactory()
    return Template.objects.create(tenant=tenant, code="welcome", name="Welcome")


def test_saving_twice_keeps_one_draft_with_the_last_words(template: Template) -> None:
    first = draft_of(template)
    second = draft_of(template, en=HELLO, pt=ContentSource("Olá", "Olá"))
    assert first.pk == second.pk
    assert sorted(second.contents.values_list("locale", flat=True)) == ["en", "pt"]


def test_a_published_version_stays_as_it_is_and_the_next_draft_has_the_next_number(template: Template) -> None:
    published = draft_of(template)
    assert template_publish(version=published)
    draft = draft_of(template, en=ContentSource("New", "New"))
    assert (published.number, draft.number, draft.state) == (1, 2, "draft")
    assert published.contents.get().subject == HELLO.subject


def test_publishing_twice_changes_nothing(template: Template) -> None:
    version = draft_of(template)
    assert template_publish(version=version)
    at = version.published_at
    assert not template_publish(version=version)
    assert version.published_at == at


def test_a_syntax_error_is_refused_with_its_place_and_nothing_is_saved(template: Template) -> None:
    with pytest.raises(TemplateRefused) as caught:
        draft_of(template, en=HELLO, pt=ContentSource("ok", "one\n{{ oops", "<p>{% nope %}"))
    assert [(p.locale, p.part, p.line) for p in caught.value.problems] == [("pt", "text", 2), ("pt", "html", 1)]
    assert not template.versions.exists()


def test_a_version_without_words_is_not_published(template: Template) -> None:
    version = TemplateVersion.objects.create(template=template, number=1, default_locale="en")
    with pytest.raises(TemplateRefused, match="no text for the default locale en"):
        template_publish(version=version)
    TemplateContent.objects.create(version=version, locale="en", subject=" ", text="x")
    with pytest.raises(TemplateRefused, match="en subject, line 1, column 1: It is empty"):
        template_publish(version=version)
    version.refresh_from_db()
    assert version.state == "draft"


def test_words_that_became_unsound_in_the_table_are_not_published(template: Template) -> None:
    version = TemplateVersion.objects.create(template=template, number=1, default_locale="en")
    TemplateContent.objects.create(version=version, locale="en", subject="x", text="{{ x|safe }}")
    with pytest.raises(TemplateRefused, match="no filter safe"):
        template_publish(version=version)


@pytest.fixture
async def reader(transactional_db: None) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    parameters = await sync_to_async(connection.get_connection_params)()
    parameters = {key: parameters[key] for key in ("dbname", "user", "password", "host", "port") if key in parameters}
    async with await psycopg.AsyncConnection.connect(**parameters, autocommit=True) as opened:
        yield opened
    # The factories ran in asgiref's thread, whose own connection would keep the test database from being dropped.
    await sync_to_async(connections.close_all)()


make = sync_to_async(TemplateFactory)
publish = sync_to_async(template_publish)
save = sync_to_async(draft_of)


class Counted:
    """A connection that counts its queries."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self.connection = connection
        self.queries = 0

    def cursor(self, **options: Any) -> Any:
        self.queries += 1
        return self.connection.cursor(**options)


async def test_the_book_finds_exact_locale_then_language_then_default(reader: Any) -> None:
    also = {locale: {"text": locale} for locale in ("pt", "fr-CA")}
    template = await make(text="english", locale="en", also=also)
    version = await sync_to_async(template.versions.get)()
    book = TemplateBook()
    await book.load(reader, {(template.tenant_id, template.code)})

    def text(*locales: str) -> str:
        version_id, source = book.find(template.tenant_id, template.code, locales)
        assert version_id == version.pk
        return source.text

    assert [text("pt-BR"), text("pt_br"), text("PT"), text("fr-ca")] == ["pt", "pt", "pt", "fr-CA"]
    assert [text("fr"), text("de", "pt"), text("", "de"), text()] == ["english", "pt", "english", "english"]


async def test_the_book_keeps_tenants_and_unknown_codes_apart(reader: Any) -> None:
    one, two = await make(code="same", text="one"), await make(code="same", text="two")
    draft = await make(published=False)
    book = TemplateBook()
    keys = {(one.tenant_id, "same"), (two.tenant_id, "same"), (one.tenant_id, "nope"), (draft.tenant_id, draft.code)}
    await book.load(reader, keys)
    assert book.find(one.tenant_id, "same", [])[1].text == "one"
    assert book.find(two.tenant_id, "same", [])[1].text == "two"
    for tenant_id, code in ((one.tenant_id, "nope"), (draft.tenant_id, draft.code), (one.tenant_id, "never-loaded")):
        with pytest.raises(RenderError) as caught:
            book.find(tenant_id, code, ["en"])
        assert caught.value.code == "unknown_template"


async def test_the_book_asks_once_for_a_batch_and_not_at_all_while_it_is_fresh(reader: Any) -> None:
    keys = {(template.tenant_id, template.code) for template in [await make() for _ in range(5)]} | {(1, "nope")}
    book, counted = TemplateBook(refresh_seconds=3600), Counted(reader)
    await book.load(counted, keys)  # type: ignore[arg-type]
    await book.load(counted, keys)  # type: ignore[arg-type]
    await book.load(counted, set())  # type: ignore[arg-type]
    assert counted.queries == 1


async def test_a_stale_book_sees_the_next_publication_and_keeps_unchanged_words(reader: Any) -> None:
    template, other = await make(text="old"), await make(text="same")
    keys = {(template.tenant_id, template.code), (other.tenant_id, other.code)}
    book = TemplateBook(refresh_seconds=0)
    await book.load(reader, keys)
    kept = book.find(other.tenant_id, other.code, [])[1]
    await publish(version=await save(template, en=ContentSource("s", "new")))
    await book.load(reader, keys)
    assert book.find(template.tenant_id, template.code, [])[1].text == "new"
    assert book.find(other.tenant_id, other.code, [])[1] is kept


async def test_the_book_is_bounded(reader: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deliveries.rendering.book.MAX_ENTRIES", 10)
    book = TemplateBook(refresh_seconds=3600)
    template = await make()
    for start in range(0, 100, 5):
        await book.load(
            reader, {(1, f"code-{start + number}") for number in range(4)} | {(template.tenant_id, template.code)}
        )
    assert len(book._entries) <= 10
