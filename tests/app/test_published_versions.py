"""What is published stays as it is, whoever writes to the tables."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.utils import Error

from deliveries.models import Template, TemplateContent, TemplateVersion
from deliveries.rendering import ContentSource
from deliveries.templating import template_publish, template_save_draft
from tests.factories import DeliveryFactory, TemplateFactory

pytestmark = pytest.mark.django_db

VERSION = "UPDATE deliveries_templateversion SET {} WHERE id = %s"
WORDS = "UPDATE deliveries_templatecontent SET {} WHERE version_id = %s"
INSERT = """INSERT INTO deliveries_templatecontent (version_id, locale, subject, text, html, action_url, markdown)
    VALUES (%s, 'de', 's', 't', '', '', '')"""


def run(sql: str, *values: Any) -> None:
    """Run a statement by hand, deferred constraints included, and leave the transaction usable."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql, values)
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")


def version_of(template: Template) -> TemplateVersion:
    return template.versions.get()


@pytest.mark.parametrize(
    "sql",
    [
        VERSION.format("default_locale = 'de'"),
        VERSION.format("variables = '[]'"),
        VERSION.format("state = 'draft', published_at = NULL"),
        VERSION.format("published_at = now() - interval '1 day'"),
        VERSION.format("number = 7"),
        WORDS.format("subject = 'Altered'"),
        WORDS.format("text = 'Altered'"),
        WORDS.format("locale = 'de'"),
        WORDS.format("version_id = version_id + 1"),
        INSERT,
        "DELETE FROM deliveries_templatecontent WHERE version_id = %s",
    ],
)
def test_a_published_version_cannot_be_changed_by_hand(sql: str) -> None:
    version = version_of(TemplateFactory())
    before = list(TemplateVersion.objects.values()), list(TemplateContent.objects.values())
    with pytest.raises(Error, match="never change"):
        run(sql, version.pk)
    assert (list(TemplateVersion.objects.values()), list(TemplateContent.objects.values())) == before


@pytest.mark.parametrize("sql", [VERSION.format("default_locale = 'de'"), WORDS.format("subject = 'New'"), INSERT])
def test_a_draft_can_be_changed(sql: str) -> None:
    run(sql, version_of(TemplateFactory(published=False)).pk)


def test_words_cannot_be_moved_into_a_published_version() -> None:
    published, draft = version_of(TemplateFactory()), version_of(TemplateFactory(published=False))
    with pytest.raises(Error, match="never change"):
        run("UPDATE deliveries_templatecontent SET version_id = %s, locale = 'de' WHERE version_id = %s",
            published.pk, draft.pk)  # fmt: skip


def test_a_version_that_a_delivery_names_is_not_deleted() -> None:
    template = TemplateFactory()
    DeliveryFactory(tenant=template.tenant, sent=True, template_version=version_of(template))
    with pytest.raises(IntegrityError, match="was sent and stays"), transaction.atomic():
        TemplateVersion.objects.filter(template=template)._raw_delete("default")  # type: ignore[attr-defined]
    assert Template.objects.filter(pk=template.pk).exists()


def test_a_published_version_that_was_never_sent_goes_with_its_template() -> None:
    template = TemplateFactory()
    with transaction.atomic():
        template.delete()
    connection.check_constraints()
    assert not TemplateContent.objects.exists()


def test_an_author_may_leave(django_user_model: Any) -> None:
    author = django_user_model.objects.create_user("leaving")
    template = TemplateFactory(published=False)
    template.versions.update(created_by=author)
    run(VERSION.format("state = 'published', published_at = now()"), version_of(template).pk)
    author.delete()
    assert version_of(template).created_by is None


def test_a_draft_may_be_rewritten_and_published_in_one_transaction() -> None:
    template = TemplateFactory(published=False)
    with transaction.atomic():
        draft = template_save_draft(
            template=template, contents={"en": ContentSource("New", "New")}, default_locale="en"
        )
        template_publish(version=draft)
    connection.check_constraints()
    assert version_of(template).state == "published"
