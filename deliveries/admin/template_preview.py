"""The editor's request for a preview → JSON for editor.js: whose eyes, which values, and the frame for the mail. Reads only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from deliveries.admin.people import find_people
from deliveries.admin.template_forms import Posted
from deliveries.drafts import Draft
from deliveries.jobs import InvalidJob
from deliveries.jobs.strict_json import decode_object
from deliveries.models import Contact, TemplateVersion, Tenant
from deliveries.previews import SAMPLE_ID, SAMPLE_PERSON, Wanted, frame, preview
from deliveries.rendering import Problem, contact_of

#: Somebody of whom nothing is known, as a job may name them.
NOBODY: Final = Contact(user_id=SAMPLE_ID)


class NotPossible(Exception):
    """Nothing can be previewed so. The message says why; `part` which control is wrong."""

    def __init__(self, part: str, message: str) -> None:
        super().__init__(message)
        self.problem = Problem(1, 1, message, part=part)


def shown(request: HttpRequest, version: TemplateVersion, posted: Posted | None) -> dict[str, Any]:
    """Return what editor.js shows: each channel, the problems with their places, the data that was used.

    `posted`: what stands in the editor; None: what is saved. Raises: PermissionDenied for a contact that staff may not see.
    """
    problems = posted.problems if posted else []
    try:
        made = preview(wanted(request, version, posted))
    except NotPossible as impossible:
        return {
            "problems": [asdict(problem) for problem in (*problems, impossible.problem)],
            "blockers": [],
            "channels": None,
        }
    answer = {name: value for name, value in asdict(made).items() if name != "content"}
    answer["problems"] = [asdict(problem) for problem in (*problems, *made.problems)]
    if made.channels and made.channels.email.html:
        answer["frame"] = frame(made.channels.email.html, pictures=bool(request.POST.get("pictures")))
    return answer


def wanted(request: HttpRequest, version: TemplateVersion, posted: Posted | None) -> Wanted:
    """Return what the editor asks to see or to send. Raises: NotPossible, PermissionDenied."""
    contact, data = _reader(request, version.template.tenant), _data(request)
    if request.POST.get("as") == "missing":
        data = {} if data is None else data
    draft = posted.draft if posted else Draft.of(version)
    return Wanted(
        sources=draft.contents,
        default_locale=draft.default_locale,
        variables=draft.variables,
        tenant=version.template.tenant,
        locale=request.POST.get("locale", ""),
        contact=contact,
        data=data,
    )


def given_names(tenant: Tenant) -> list[dict[str, str]]:
    """Return the names that are there without a job's data, each with a sample: what "Insert field" offers below the declared ones."""
    person = contact_of(SAMPLE_PERSON, user_id=SAMPLE_ID)
    people = [
        {"name": f"contact.{name}", "sample": str(value)} for name, value in person.items() if name != "attributes"
    ]
    return [*people, {"name": "tenant.name", "sample": tenant.name}, {"name": "tenant.slug", "sample": tenant.slug}]


def _reader(request: HttpRequest, tenant: Tenant) -> Contact:
    match request.POST.get("as"):
        case "missing":
            return NOBODY
        case "person":
            return find_reader(request, request.POST.get("person", ""), tenant)
    return SAMPLE_PERSON


def find_reader(request: HttpRequest, typed: str, tenant: Tenant) -> Contact:
    """Return the one contact of the tenant that was typed. Raises: NotPossible, PermissionDenied."""
    if not request.user.has_perm("deliveries.view_contact"):
        raise PermissionDenied
    found = find_people(typed, limit=2, tenant=tenant)
    if not found:
        what = f"Nobody is known as {typed!r}." if typed.strip() else "Choose a contact."
        raise NotPossible("person", f"{what} Type a name, an address or a user id.")
    if len(found) > 1:
        raise NotPossible("person", f"Several people are known as {typed!r}. Type the address or the user id.")
    return found[0]


def _data(request: HttpRequest) -> Mapping[str, Any] | None:
    text = request.POST.get("data", "").strip()
    if not text:
        return None
    try:
        return decode_object(text.encode())
    except InvalidJob as invalid:
        raise NotPossible("data", f"The data is not one JSON object: {invalid.message}") from None
