"""The words of a broadcast: a published template's or its own, with the values and fallbacks that are the same for everybody.

Here they are read, checked, fingerprinted, and pinned when sending begins: from then on no edit of a template reaches the broadcast,
and no row carries a copy. Rendering and previews are those of deliveries.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from broadcasts.models import Broadcast
from deliveries.models import Contact, Template, TemplateVersion
from deliveries.previews import SAMPLE_PERSON, Preview, Wanted, preview
from deliveries.rendering import (
    SAMPLE_CONTACT,
    ContentSource,
    Frame,
    Problem,
    RenderError,
    Variable,
    asked_contact,
    contact_filled,
    context_of,
    example_contact,
    publish_problems,
    render,
    source_problems,
    variables_check,
    variables_of,
)
from deliveries.rendering.variables import VariableError, filled
from deliveries.templating import frame_of, template_pin, version_sources

#: Fields that every contact has, if perhaps empty: a lack of them leaves a gap and stops nothing.
ALWAYS_THERE: Final = frozenset({"user_id", "email", "phone", "name", "locale", "time_zone"})


class NoWords(Exception):
    """There is nothing to send. The message says what is missing and what to do."""


@dataclass(frozen=True, slots=True)
class Words:
    """What goes out. `label` names them for staff; `version_id` is the template's, None for words of the broadcast's own.

    `frame`: the tenant's own mail frame as it stands now, None for the plain one.
    """

    contents: Mapping[str, ContentSource]
    default_locale: str
    variables: tuple[Variable, ...] | None
    contact_fallbacks: Mapping[str, Any]
    label: str
    version_id: int | None = None
    hides_personal_data: bool = False
    frame: Frame | None = None

    def fingerprint(self) -> dict[str, Any]:
        """Return everything that what people read depends on, as plain values."""
        skipped = {"frame", "variables", "contact_fallbacks"}
        return {
            "version": self.version_id,
            "words": {
                locale: {part: value for part, value in _plain(source).items() if part not in skipped}
                for locale, source in sorted(self.contents.items())
            },
            "default_locale": self.default_locale,
            "variables": None if self.variables is None else [each.as_json() for each in self.variables],
            "contact_fallbacks": dict(self.contact_fallbacks),
            "hides_personal_data": self.hides_personal_data,
            "frame": asdict(self.frame or Frame()),
        }


def words_of(broadcast: Broadcast) -> Words:
    """Return the words as they stand now. At most four queries. Raises: NoWords."""
    if broadcast.template_code:
        return _template_words(broadcast)
    if not (broadcast.title.strip() and broadcast.body.strip()):
        raise NoWords("There is no message yet. Choose a template, or write a title and a body.")
    locale = broadcast.tenant.default_locale
    source = ContentSource(
        subject=broadcast.title,
        body_format="markdown",
        markdown=broadcast.body,
        action_url=broadcast.action_url,
        locale=locale,
    )
    return Words(
        contents={locale: source},
        default_locale=locale,
        variables=_given(broadcast.data),
        contact_fallbacks=broadcast.contact_fallbacks,
        label="Own words",
        frame=frame_of(broadcast.tenant),
    )


def _template_words(broadcast: Broadcast) -> Words:
    versions = TemplateVersion.objects.filter(
        template__tenant=broadcast.tenant_id,
        template__code=broadcast.template_code,
        template__pinned_for="",
        state=TemplateVersion.State.PUBLISHED,
    )
    version = versions.select_related("template").prefetch_related("contents").order_by("-number").first()
    if version is None:
        raise NoWords(
            f"The template {broadcast.template_code} is not published. Publish it, or choose another one for this broadcast."
        )
    declared = variables_of(version.variables)
    return Words(
        contents=version_sources(version),
        default_locale=version.default_locale,
        variables=_given(broadcast.data) if declared is None else _with_data(declared, broadcast.data),
        contact_fallbacks=broadcast.contact_fallbacks,
        label=f"{version.template.name} {version}",
        version_id=version.pk,
        hides_personal_data=version.template.hides_personal_data,
        frame=frame_of(broadcast.tenant),
    )


def words_problems(broadcast: Broadcast, words: Words) -> list[Problem]:
    """Return what keeps the words from going out, by locale, part and line. Empty: they may."""
    try:
        variables_check(words.variables or ())
        filled(words.variables or (), {})
    except VariableError as error:
        return [Problem(1, 1, str(error), part="data")]
    except RenderError as error:
        return [Problem(1, 1, _of_broadcast(error.message), part="data")]
    sources = {
        locale: replace(source, frame=words.frame, variables=words.variables)
        for locale, source in words.contents.items()
    }
    return publish_problems(sources, default_locale=words.default_locale)


def fields_that_may_lack(words: Words) -> list[tuple[str, bool]]:
    """Return the fields of a person that the words name and nothing stands in for, each with whether the words fail without it.

    Found by rendering without each of them. Only meaningful for words without problems.
    """
    found = []
    for field in asked_contact(getattr(each, part) for each in words.contents.values() for part in each.written):
        if field not in words.contact_fallbacks and field != "user_id":
            found.append((field, field not in ALWAYS_THERE and _fails_without(field, words)))
    return [(field, fails) for field, fails in found if fails or field in ALWAYS_THERE]


def words_preview(broadcast: Broadcast, *, contact: Contact | None = None, locale: str = "") -> Preview:
    """Return what a person would get, over every channel; without `contact` a made-up person. Raises: NoWords."""
    words = words_of(broadcast)
    person = _made_up(words) if contact is None else contact
    shown = contact_filled(_fields_of(person), words.contact_fallbacks)
    filled_person = Contact(
        user_id=person.user_id,
        **{key: value for key, value in shown.items() if key in {*ALWAYS_THERE, "attributes"} - {"user_id"}},
    )
    made = preview(
        Wanted(
            tenant=broadcast.tenant,
            sources=words.contents,
            default_locale=words.default_locale,
            variables=words.variables,
            locale=locale,
            contact=filled_person,
            data={each.name: each.fallback for each in words.variables or () if not each.required},
        )
    )
    return replace(made, problems=[replace(each, message=_of_broadcast(each.message)) for each in made.problems])


def words_pin(broadcast: Broadcast, words: Words) -> Template:
    """Keep the words for the rows of this broadcast. Idempotent: the first words that were pinned stay."""
    return template_pin(
        tenant=broadcast.tenant,
        pinned_for=broadcast.source,
        name=broadcast.name,
        contents=words.contents,
        default_locale=words.default_locale,
        variables=words.variables,
        contact_fallbacks=words.contact_fallbacks,
        hides_personal_data=words.hides_personal_data,
    )


def _of_broadcast(told: str) -> str:
    """Say of a broadcast's values what rendering says of a job's."""
    told = told.replace("The job's data has", "The values of this broadcast have").replace("The job's", "The value of")
    told = told.replace(
        "Hand it in with the job, or use default", "Give it a value or, of a person's field, a fallback"
    )
    return told.replace("Hand it in, or declare a fallback", "Give it a value")


def _made_up(words: Words) -> Contact:
    """Return a made-up person who has whatever the words ask of a person."""
    person = copy(SAMPLE_PERSON)
    if not source_problems(words.contents):
        parts = (getattr(each, part) for each in words.contents.values() for part in each.written)
        person.attributes = example_contact(parts)["attributes"]
    return person


def _given(data: Mapping[str, Any]) -> tuple[Variable, ...]:
    """Return the broadcast's values as declared variables: each stands in, since no row brings any."""
    return tuple(Variable(name, _type_of(value), required=False, fallback=value) for name, value in data.items())


def _with_data(declared: tuple[Variable, ...], data: Mapping[str, Any]) -> tuple[Variable, ...]:
    known = {each.name for each in declared}
    filled_in = [
        replace(each, required=False, fallback=data[each.name]) if data.get(each.name) is not None else each
        for each in declared
    ]
    return (*filled_in, *_given({name: value for name, value in data.items() if name not in known}))


def _type_of(value: Any) -> Any:
    return {bool: "boolean", int: "number", float: "number", list: "list", dict: "object"}.get(type(value), "text")


def _fails_without(field: str, words: Words) -> bool:
    data = {each.name: each.fallback for each in words.variables or ()}
    for source in words.contents.values():
        contact = {**SAMPLE_CONTACT, **example_contact(getattr(source, part) for part in source.written)}
        contact["attributes"].pop(field.removeprefix("attributes."), None)
        try:
            render(replace(source, variables=None), context_of(data, contact=contact, tenant={"name": "", "slug": ""}))
        except RenderError:
            return True
    return False


def _fields_of(person: Contact) -> dict[str, Any]:
    return {**{field: getattr(person, field) for field in ALWAYS_THERE}, "attributes": person.attributes}


def _plain(source: ContentSource) -> dict[str, Any]:
    return asdict(replace(source, frame=None, variables=None, contact_fallbacks=None))
