"""Saving and publishing templates and frames: the services that the admin and the API call. No rendering of messages, no
HTTP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now
from django.forms.models import model_to_dict

from deliveries.models import Brand, Template, TemplateContent, TemplateVersion, Tenant
from deliveries.rendering import (
    PARTS,
    ContentSource,
    Frame,
    Problem,
    RenderError,
    Variable,
    VariableError,
    framed_sample,
    publish_problems,
    source_problems,
    variables_check,
    variables_of,
)

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser

STORED: Final = (*PARTS, "body_format")


class Keep(Enum):
    """Leave what is there."""

    KEEP = "keep"


class TemplateRefused(Exception):
    """The words were not saved or published. `problems` say where and why."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = list(problems)


def frame_of(tenant: Tenant) -> Frame | None:
    """Return a tenant's frame as it stands now. One query. None: the plain one."""
    brand = Brand.objects.filter(tenant=tenant).first()
    return Frame.of(model_to_dict(brand)) if brand else None


def version_sources(version: TemplateVersion, frame: Frame | None = None) -> dict[str, ContentSource]:
    """Return a version's words by locale, as they are rendered in `frame`."""
    variables = variables_of(version.variables)
    return {
        row.locale: ContentSource(
            **{part: getattr(row, part) for part in STORED},
            locale=row.locale,
            frame=frame,
            variables=variables,
            contact_fallbacks=version.contact_fallbacks,
        )
        for row in version.contents.all()
    }


@transaction.atomic
def template_save_draft(
    *,
    template: Template,
    contents: Mapping[str, ContentSource],
    default_locale: str,
    variables: Sequence[Variable] | Keep | None = Keep.KEEP,
    by: AbstractBaseUser | None = None,
) -> TemplateVersion:
    """Replace the words of the template's draft, making the draft if its newest version is published.

    `variables`: its declarations; None takes them away; where nothing is said, those of the newest version stay.
    Published versions stay as they are. One transaction; the template's row is locked, so two editors cannot make two
    drafts.
    Raises: TemplateRefused for a source or a declaration that is not sound.
    """
    _refuse(source_problems(contents))
    if not isinstance(variables, Keep) and variables is not None:
        try:
            variables_check(variables)
        except VariableError as error:
            raise TemplateRefused([Problem(1, 1, str(error), part="variables")]) from None
    Template.objects.select_for_update().get(pk=template.pk)
    newest = template.versions.order_by("-number").first()
    if newest is None or newest.state != TemplateVersion.State.DRAFT:
        stays = newest.variables if newest else None
        newest = TemplateVersion(template=template, number=newest.number + 1 if newest else 1, variables=stays)
    newest.default_locale = default_locale
    newest.created_by = by  # type: ignore[assignment]  # settings.AUTH_USER_MODEL, whichever it is
    if not isinstance(variables, Keep):
        newest.variables = None if variables is None else [each.as_json() for each in variables]
    newest.save()
    newest.contents.all().delete()
    _store_words(newest, contents)
    return newest


@transaction.atomic
def template_publish(*, version: TemplateVersion) -> bool:
    """Make a draft what goes out from now on. False: it was published already, and nothing changed.

    Raises: TemplateRefused when it has no text for its default locale, an empty subject or body, a source that is not
    sound, a name that is not declared, or when its samples, or long lists of them, cannot be rendered.
    """
    template = Template.objects.select_for_update().select_related("tenant").get(pk=version.template_id)
    version.refresh_from_db()
    sources = version_sources(version, frame_of(template.tenant))
    _refuse(publish_problems(sources, default_locale=version.default_locale))
    drafts = TemplateVersion.objects.filter(pk=version.pk, state=TemplateVersion.State.DRAFT)
    changed = drafts.update(state=TemplateVersion.State.PUBLISHED, published_at=Now())
    version.refresh_from_db()
    return bool(changed)


@transaction.atomic
def template_pin(
    *,
    tenant: Tenant,
    pinned_for: str,
    name: str,
    contents: Mapping[str, ContentSource],
    default_locale: str,
    variables: Sequence[Variable] | None = None,
    contact_fallbacks: Mapping[str, Any] | None = None,
    hides_personal_data: bool = False,
) -> Template:
    """Keep words as they are now, under the code `pinned_for`, and return them as a published template that no list shows.

    Idempotent: what was pinned for the same thing stays as it is. One transaction. Checks nothing: the words were checked
    when they were approved. Rows name the code, so that none of them carries a copy of the words.
    """
    template, is_new = Template.with_pinned.get_or_create(
        tenant=tenant,
        code=pinned_for,
        defaults={"name": name[:200], "pinned_for": pinned_for, "hides_personal_data": hides_personal_data},
    )
    if is_new:
        version = TemplateVersion.objects.create(
            template=template,
            number=1,
            default_locale=default_locale,
            variables=None if variables is None else [each.as_json() for each in variables],
            contact_fallbacks=dict(contact_fallbacks) if contact_fallbacks else None,
        )
        _store_words(version, contents)
        drafts = TemplateVersion.objects.filter(pk=version.pk)
        drafts.update(state=TemplateVersion.State.PUBLISHED, published_at=Now())
    return template


@transaction.atomic
def brand_save(*, brand: Brand) -> None:
    """Store a tenant's frame; every mail that is rendered from now on is put into it, within the book's refresh.

    Raises: TemplateRefused for a frame that is not sound or has no place for the words.
    """
    _refuse(frame_problems(Frame.of(model_to_dict(brand)), tenant=brand.tenant))
    if brand.pk is not None:
        brand.revision = F("revision") + 1
    brand.save()
    brand.refresh_from_db()


def frame_problems(frame: Frame, *, tenant: Tenant) -> list[Problem]:
    """Return what is wrong with a frame: it is rendered around a sample in each language that the tenant's templates have.

    One query.
    """
    contents = TemplateContent.objects.filter(version__template__tenant=tenant)
    written = contents.order_by("locale").values_list("locale", flat=True).distinct()
    for locale in dict.fromkeys([tenant.default_locale, *written]):
        try:
            framed_sample(frame, locale=locale)
        except RenderError as error:
            return [Problem(error.line or 1, error.column or 1, error.message, locale=locale, part=error.part)]
    return []


def _store_words(version: TemplateVersion, contents: Mapping[str, ContentSource]) -> None:
    TemplateContent.objects.bulk_create(
        TemplateContent(version=version, locale=locale, **{part: getattr(source, part) for part in STORED})
        for locale, source in contents.items()
    )


def _refuse(problems: Sequence[Problem]) -> None:
    if problems:
        raise TemplateRefused(problems)
