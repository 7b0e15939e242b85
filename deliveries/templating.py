"""Saving and publishing templates: the services that the admin and the API call. No rendering of messages, no HTTP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models.functions import Now

from deliveries.models import Template, TemplateContent, TemplateVersion
from deliveries.rendering import ContentSource, Problem, in_first_locale, normal_locale, template_check

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser

PARTS = ("subject", "text", "html", "action_url")


class TemplateRefused(Exception):
    """The words were not saved or published. `problems` say where and why."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = list(problems)


@transaction.atomic
def template_save_draft(
    *,
    template: Template,
    contents: Mapping[str, ContentSource],
    default_locale: str,
    by: AbstractBaseUser | None = None,
) -> TemplateVersion:
    """Replace the words of the template's draft, making the draft if its newest version is published.

    Published versions stay as they are. One transaction; the template's row is locked, so two editors cannot make two
    drafts.
    Raises: TemplateRefused for a source that is not sound.
    """
    _refuse(content_problems(contents))
    Template.objects.select_for_update().get(pk=template.pk)
    newest = template.versions.order_by("-number").first()
    if newest is None or newest.state != TemplateVersion.State.DRAFT:
        newest = TemplateVersion(template=template, number=newest.number + 1 if newest else 1)
    newest.default_locale = default_locale
    newest.created_by = by  # type: ignore[assignment]  # settings.AUTH_USER_MODEL, whichever it is
    newest.save()
    newest.contents.all().delete()
    TemplateContent.objects.bulk_create(
        TemplateContent(version=newest, locale=locale, **{part: getattr(source, part) for part in PARTS})
        for locale, source in contents.items()
    )
    return newest


@transaction.atomic
def template_publish(*, version: TemplateVersion) -> bool:
    """Make a draft what goes out from now on. False: it was published already, and nothing changed.

    Raises: TemplateRefused when it has no text for its default locale, an empty subject or text, or a source that is
    not sound.
    """
    Template.objects.select_for_update().get(pk=version.template_id)
    contents = {
        content.locale: ContentSource(content.subject, content.text, content.html, content.action_url, content.locale)
        for content in version.contents.all()
    }
    _refuse([*_gaps(version.default_locale, contents), *content_problems(contents)])
    drafts = TemplateVersion.objects.filter(pk=version.pk, state=TemplateVersion.State.DRAFT)
    changed = drafts.update(state=TemplateVersion.State.PUBLISHED, published_at=Now())
    version.refresh_from_db()
    return bool(changed)


def content_problems(contents: Mapping[str, ContentSource]) -> list[Problem]:
    """Return every problem of every part of every locale, each with its place."""
    return [
        replace(problem, locale=locale, part=part)
        for locale, source in contents.items()
        for part in PARTS
        for problem in template_check(getattr(source, part), html=part == "html")
    ]


def _gaps(default_locale: str, contents: Mapping[str, ContentSource]) -> list[Problem]:
    gaps = []
    if in_first_locale({normal_locale(locale): locale for locale in contents}, [default_locale]) is None:
        gaps.append(Problem(1, 1, f"There is no text for the default locale {default_locale}."))
    for locale, source in contents.items():
        for part in ("subject", "text"):
            if not getattr(source, part).strip():
                gaps.append(Problem(1, 1, "It is empty.", locale=locale, part=part))
    return gaps


def _refuse(problems: Sequence[Problem]) -> None:
    if problems:
        raise TemplateRefused(problems)
