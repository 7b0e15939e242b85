"""What each channel would show of a template's words, before anything is sent: the service behind the editor and
`templates/{id}/preview/`.

Words are rendered by the very code that sends them, within the same bounds; what a channel makes of them comes from its
sender's own functions. Stores nothing, sends nothing, asks no database.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final
from uuid import UUID

import orjson
from django.conf import settings
from django.core.cache import cache
from django.utils import timezone

from deliveries.models import Contact, Tenant
from deliveries.rendering import (
    ContentSource,
    Problem,
    RenderError,
    Variable,
    VariableError,
    contact_of,
    context_of,
    in_first_locale,
    normal_locale,
    offered_variables,
    publish_problems,
    render,
    sample_data,
    source_problems,
    variables_check,
)
from deliveries.segments import GSM7_BASIC, GSM7_EXTENSION, segments
from deliveries.senders import devices, webhook
from deliveries.senders.base import Content, Message, SendError
from deliveries.senders.sms import text_of
from deliveries.templating import frame_of

#: What a frame with a mail in it may do: show inline styles and embedded pictures. No scripts, no network.
FRAME_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:"
#: The same with pictures from the web, for whoever asks for them: their servers then see that somebody looks.
PICTURES_POLICY: Final = FRAME_POLICY.replace("img-src data:", "img-src data: https:")
#: Nobody's secret: it signs the webhook of a preview and nothing else.
SAMPLE_SECRET: Final = "whsec_c2FtcGxlLXNlY3JldC1vZi10aGUtcHJldmlldw=="  # noqa: S105
SAMPLE_ID: Final = UUID("00000000-0000-4000-8000-000000000000")
SAMPLE_PERSON: Final = Contact(
    user_id=SAMPLE_ID, name="Ana Example", email="ana@example.com", phone="+15550100", locale="", time_zone="UTC"
)
#: What stands in for somebody's unsubscribe link: it leads nowhere, and nobody is unsubscribed by a preview or a test.
INERT_LINK: Final = "#this-is-a-test"
#: As many previews a person or key may ask one process for within so many seconds. An editor that is typed in asks for three a second.
MOST: Final = 60
WINDOW_SECONDS: Final = 10

_REMOTE: Final = re.compile(
    r"""(?:\b(?:src|srcset|background)\s*=\s*["']?\s*|url\(\s*["']?\s*)(?:https?:)?//""", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class MailShown:
    """A mail. `remote_pictures`: how many its HTML fetches from elsewhere, which a preview does not."""

    subject: str
    preheader: str
    from_address: str
    reply_to: str
    html: str
    text: str
    remote_pictures: int
    problem: str = ""


@dataclass(frozen=True, slots=True)
class PushShown:
    """A push. `size` of `most` bytes are used."""

    title: str
    body: str
    action_url: str
    size: int
    most: int = devices.MAX_SHOWN_BYTES
    problem: str = ""


@dataclass(frozen=True, slots=True)
class TextShown:
    """A text message and what it costs. `costly`: the characters for which all of it travels as UCS-2."""

    text: str
    encoding: str
    units: int
    parts: int
    per_part: int
    costly: list[str]
    problem: str = ""


@dataclass(frozen=True, slots=True)
class CardShown:
    """An inbox card."""

    title: str
    body: str
    action_url: str
    problem: str = ""


@dataclass(frozen=True, slots=True)
class HookShown:
    """A webhook's request, signed with `SAMPLE_SECRET`."""

    headers: dict[str, str]
    body: str
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Channels:
    """What each channel would show, by the channel's name."""

    email: MailShown
    push: PushShown
    sms: TextShown
    ws: CardShown
    webhook: HookShown


@dataclass(frozen=True, slots=True)
class Wanted:
    """Whose words for whom. `variables` None: nothing is declared. `data` None: a sample of what the words ask for. `contact`: who
    reads it, SAMPLE_PERSON or a contact of the tenant; somebody without any values is `Contact(user_id=SAMPLE_ID)`."""

    sources: Mapping[str, ContentSource]
    default_locale: str
    tenant: Tenant
    variables: Sequence[Variable] | None = None
    locale: str = ""
    contact: Contact = SAMPLE_PERSON
    data: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Preview:
    """`locale`: whose words were taken. `data`: what they were given. `channels` is None when they cannot be rendered; `problems` then
    say why, and where. `blockers`: what keeps this locale's words, though they render, from being published. `undeclared`: a
    declaration for each field that the words ask for and nobody declared."""

    locale: str = ""
    problems: list[Problem] = field(default_factory=list)
    blockers: list[Problem] = field(default_factory=list)
    undeclared: list[Variable] = field(default_factory=list)
    data: Mapping[str, Any] = field(default_factory=dict)
    channels: Channels | None = None
    content: Content = field(default_factory=Content)


def preview(wanted: Wanted) -> Preview:
    """Render the words that this reader would get, for every channel: the wanted locale's, the person's, the default's.

    Never raises for what stands in the words or the data: that is a problem, with its locale, part, line and column. One query, of
    the tenant's frame.
    """
    problems = [*source_problems(wanted.sources), *_declared_wrongly(wanted)]
    locales = [each for each in (wanted.locale, wanted.contact.locale, wanted.default_locale) if each]
    found = in_first_locale({normal_locale(each): each for each in wanted.sources}, locales)
    if found is None:
        missing = Problem(1, 1, f"There are no words for the default language {wanted.default_locale}.")
        return Preview(problems=[*problems, missing])
    variables = None if wanted.variables is None else tuple(wanted.variables)
    source = replace(wanted.sources[found], frame=frame_of(wanted.tenant), variables=variables, locale=found)
    # Whatever language it is that is looked at, a job hands in the same data.
    every = {each: replace(words, variables=variables) for each, words in wanted.sources.items()}
    if problems:
        return Preview(found, problems, data=wanted.data or {})
    data = sample_data(every) if wanted.data is None else wanted.data
    known = {each.name for each in variables or ()}
    undeclared = [each for each in offered_variables(every) if each.name not in known]
    blockers = publish_problems({found: source}, default_locale=found)
    try:
        content = render(source, _context(wanted, data))
    except RenderError as error:
        told = Problem(error.line or 1, error.column or 1, error.message, locale=found, part=error.part)
        elsewhere = [each for each in blockers if (each.part, each.line) != (told.part, told.line)]
        return Preview(found, [told], elsewhere, undeclared, data)
    return Preview(found, [], blockers, undeclared, data, _channels(content, wanted, data), content)


def _declared_wrongly(wanted: Wanted) -> list[Problem]:
    try:
        variables_check(wanted.variables or ())
    except VariableError as error:
        return [Problem(1, 1, str(error), part="variables")]
    return []


def _context(wanted: Wanted, data: Mapping[str, Any]) -> dict[str, Any]:
    tenant = {"name": wanted.tenant.name, "slug": wanted.tenant.slug}
    contact = contact_of(wanted.contact, user_id=wanted.contact.user_id)
    return context_of(data, contact=contact, tenant=tenant, unsubscribe_url=INERT_LINK)


def _channels(content: Content, wanted: Wanted, data: Mapping[str, Any]) -> Channels:
    """Return what each channel shows of rendered content. A channel that would refuse it says so in its `problem`."""
    message = Message(
        delivery_id=0,
        job_id=SAMPLE_ID,
        tenant_id=wanted.tenant.pk,
        user_id=wanted.contact.user_id,
        to=wanted.contact.email,
        content=content,
        attempt=1,
        accepted_at=timezone.now(),
        data=data,
        secrets=(SAMPLE_SECRET,),
    )
    empty = "" if (content.subject.strip() or content.text.strip()) else "It would have neither title nor text."
    return Channels(
        email=_mail(content, wanted.tenant),
        push=_push(message),
        sms=_text(content),
        ws=CardShown(content.subject, content.text, content.action_url, problem=empty),
        webhook=_hook(message),
    )


def frame(html: str, *, pictures: bool = False) -> str:
    """Return a document for a sandboxed frame: the mail's HTML under a policy that lets nothing out or in but, if asked, pictures."""
    policy = PICTURES_POLICY if pictures else FRAME_POLICY
    return f'<!doctype html><meta http-equiv="Content-Security-Policy" content="{policy}">{html}'


def may_preview(who: str) -> bool:
    """Count one more preview of `who` (a session, a key); False when it is one too many for now. Each process counts for itself."""
    return is_within(f"previews:{who}", most=MOST, seconds=WINDOW_SECONDS)


def is_within(key: str, *, most: int, seconds: int) -> bool:
    """Count one more of `key`; False when there were `most` within `seconds` already."""
    cache.add(key, 0, seconds)
    try:
        return bool(cache.incr(key) <= most)
    except ValueError:  # it ended between the two
        return True


def _mail(content: Content, tenant: Tenant) -> MailShown:
    return MailShown(
        subject=content.subject,
        preheader=content.preheader,
        from_address=content.from_address or tenant.from_address or settings.EMAIL_FROM,
        reply_to=content.reply_to or tenant.reply_to,
        html=content.html,
        text=content.text,
        remote_pictures=len(_REMOTE.findall(content.html)),
        problem="" if content.subject.strip() else "It has no subject.",
    )


def _push(message: Message) -> PushShown:
    content, problem, size = message.content, "", 0
    try:
        size = len(orjson.dumps(devices.shown(message)))
    except SendError as error:
        problem = error.message
    return PushShown(content.subject.strip(), content.text.strip(), content.action_url, size, problem=problem)


def _text(content: Content) -> TextShown:
    text = text_of(content)
    cost = segments(text)
    costly = sorted(set(text) - GSM7_BASIC - GSM7_EXTENSION, key=text.index)
    problem = "" if text else "The text would be empty."
    return TextShown(text, cost.encoding.value, cost.units, cost.parts, cost.per_part, costly, problem=problem)


def _hook(message: Message) -> HookShown:
    body = webhook.body_of(message)
    return HookShown(webhook.headers_of(message, body), body.decode())
