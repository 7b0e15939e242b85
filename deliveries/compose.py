"""A started row and its person become the Message that a sender takes. Chooses address, locale and template; sends nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec.structs import replace

from deliveries.addresses import Address
from deliveries.channels import Channel
from deliveries.lifecycle import ClaimedRow, Person
from deliveries.rendering import TemplateBook, contact_filled, contact_of, context_of, render, render_inline
from deliveries.senders.base import Content, Message, SendError
from deliveries.unsubscribe import Wish, headers_for, link_of

NO_ADDRESS = {
    Channel.EMAIL: "User has no email",
    Channel.SMS: "User has no phone number",
    Channel.PUSH: "User has no device",
    Channel.WEBHOOK: "User has no webhook endpoint that is enabled",
}
#: What only a test's content has, beside the title and body that a job's may have.
RENDERED_PARTS: Final = ("html", "action_url", "preheader", "from_address", "reply_to")


def compose(row: ClaimedRow, person: Person, book: TemplateBook, address: Address) -> tuple[Message, int | None]:
    """Return the rendered message and the id of the template version it came from (None for a job with its own content).

    Raises: SendError (permanent) `no_contact`, and what rendering raises: deliveries.rendering.RenderError.
    """
    link = link_of(Wish(row.tenant_id, row.user_id, row.channel, row.category))
    content, version_id = _content(row, person, book, link)
    message = Message(
        delivery_id=row.id,
        job_id=row.job_id,
        tenant_id=row.tenant_id,
        user_id=row.user_id,
        to=address_of(row, person, address),
        devices=address.devices,
        secrets=address.secrets,
        content=_from_tenant(content, person) if row.channel == Channel.EMAIL else content,
        attempt=row.attempts + 1,
        accepted_at=row.accepted_at,
        priority=row.priority,
        data=row.data,
        headers=headers_for(row.channel, link),
        refused_by=row.refused_by,
        expires_at=row.expires_at,
    )
    return message, version_id


def address_of(row: ClaimedRow, person: Person, address: Address) -> str:
    """Return where this channel reaches the person. Raises: SendError `no_contact` where it cannot."""
    if row.content and (only := row.content.get("to")):  # a test of staff's; jobs cannot say so
        return only
    match row.channel:
        case Channel.EMAIL:
            to = person.email
        case Channel.SMS:
            to = person.phone
        case Channel.PUSH | Channel.WEBHOOK:
            to = address.to
        case _:
            return str(row.user_id)
    if not to:
        message = NO_ADDRESS[Channel(row.channel)]
        raise SendError(
            "no_contact", message if person.is_known else f"{message}: there is no such contact", permanent=True
        )
    return to


def inline(content: Mapping[str, str]) -> Content:
    """Return words that came in place of a template: title and body of a job, or what a test had rendered (`test_sends.py`).

    Raises: deliveries.rendering.RenderError.
    """
    words = render_inline(content.get("title", ""), content.get("body", ""))
    rendered = {part: content[part] for part in RENDERED_PARTS if content.get(part)}
    return replace(words, **rendered) if rendered else words


def _content(row: ClaimedRow, person: Person, book: TemplateBook, link: str) -> tuple[Content, int | None]:
    if row.content is not None:
        return inline(row.content), None
    locales = [locale for locale in (row.locale, person.locale) if locale]
    version_id, source = book.find(row.tenant_id, row.template_code, locales)
    tenant = {"name": person.tenant_name, "slug": person.tenant_slug}
    contact = contact_of(person, user_id=row.user_id)
    if source.contact_fallbacks:
        contact = contact_filled(contact, source.contact_fallbacks)
    context = context_of(row.data, contact=contact, tenant=tenant, unsubscribe_url=link)
    return render(source, context), version_id


def _from_tenant(content: Content, person: Person) -> Content:
    """Return an e-mail's content with the tenant's From and Reply-To where its template names none."""
    sender, reply_to = content.from_address or person.from_address, content.reply_to or person.reply_to
    if (sender, reply_to) == (content.from_address, content.reply_to):
        return content
    return replace(content, from_address=sender, reply_to=reply_to)
