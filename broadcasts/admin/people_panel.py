"""People who are named one by one, in a list or as subscribers of a topic: the panel that adds, removes and shows them.

The pages around it are the lists' and the topics' own; what `people.js` asks is answered here for both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import TextIOWrapper
from typing import IO, TYPE_CHECKING, Any, Final, cast
from urllib.parse import urlencode
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from broadcasts.audience import AudienceTooSlowError, at_most
from broadcasts.members import MOST_SHOWN, people_read
from deliveries.admin.base import audit, say
from deliveries.models import Contact

if TYPE_CHECKING:
    from deliveries.admin.base import StaffAdmin

#: What is read of a file of people; more of them come by REST.
MAX_FILE_BYTES: Final = 20 * 1024 * 1024
#: Where on its page the panel shows who is in it.
ANCHOR: Final = "people"


@dataclass(frozen=True, slots=True, kw_only=True)
class Circle:
    """Some named people. `url`: of their page; `people_url`: where the panel is sent; `logged`: whose log tells of changes.

    `rows` have a `user_id`, each once. `add` and `remove` take `user_ids` and return how many that changed; `changed` runs after either.
    Words: `added` as in "Added 3 people.", `inside` as in "2 people were in the list already."
    """

    name: str
    tenant_id: int
    url: str
    people_url: str
    logged: Model
    rows: QuerySet[Any]
    add: Callable[..., int]
    remove: Callable[..., int]
    changed: Callable[[], object] = lambda: None
    add_word: str
    added: str
    inside: str
    remove_word: str
    removed: str
    outside: str
    of_what: str = ""


def panel(pages: StaffAdmin, request: HttpRequest, circle: Circle) -> dict[str, Any]:
    """Return what the panel shows: how many there are, and a hundred people after the one that `after` names. Three queries."""
    rows = circle.rows.order_by("user_id")
    after = _user_id(request.GET.get("after", ""))
    if after:
        rows = rows.filter(user_id__gt=after)
    ids = list(rows.values_list("user_id", flat=True)[: MOST_SHOWN + 1])
    known: dict[Any, Contact] = {}
    if request.user.has_perm("deliveries.view_contact"):
        known = {c.user_id: c for c in Contact.objects.filter(tenant=circle.tenant_id, user_id__in=ids)}
    shown = ids[:MOST_SHOWN]
    return {
        "circle": circle,
        "after": after,
        "may_change_people": pages.has_change_permission(request),
        "count": _count(circle),
        "members": [(user_id, known.get(user_id)) for user_id in shown],
        "first_url": _people_url(circle) if request.GET.get("after") else "",
        "next_url": _people_url(circle, after=shown[-1]) if len(ids) > MOST_SHOWN else "",
    }


def _count(circle: Circle) -> int | None:
    """Return how many there are; None where that takes too long."""
    with suppress(AudienceTooSlowError), at_most(settings.AUDIENCE_COUNT_TIMEOUT_SECONDS):
        return circle.rows.count()
    return None


def people_change(pages: StaffAdmin, request: HttpRequest, circle: Circle) -> HttpResponse:
    """Read pasted or uploaded people and say who is known; on `_add` and `_remove` change who is in it. `_check` stores nothing.

    `_remove_one` takes out the user that it names, who need not be a contact.
    """
    if one := _user_id(request.POST.get("_remove_one", "")):
        back = _people_url(circle, after=_user_id(request.POST.get("after", "")))
        return _change(request, circle, [one], is_added=False, back=back)
    if problem := _file_problem(request):
        return _answer(pages, request, circle, problem=problem)
    try:
        read = people_read(_lines(request), tenant_id=circle.tenant_id)
    except UnicodeDecodeError:
        problem = "This file is not text in UTF-8. Save it as CSV in UTF-8."
        return _answer(pages, request, circle, problem=problem)
    is_added = "_add" in request.POST
    if not read.known or not (is_added or "_remove" in request.POST):
        return _answer(pages, request, circle, read=read)
    return _change(request, circle, list(read.known), is_added=is_added)


def _user_id(text: str) -> UUID | None:
    with suppress(ValueError):
        return UUID(text)
    return None


def _people_url(circle: Circle, after: UUID | None = None) -> str:
    """Return where who is in it stands on its page, from the first person on or from the one that comes after another."""
    joint = "&" if "?" in circle.url else "?"
    asked = f"{joint}{urlencode({'after': after})}" if after else ""
    return f"{circle.url}{asked}#{ANCHOR}"


def _change(
    request: HttpRequest, circle: Circle, user_ids: Sequence[UUID], *, is_added: bool, back: str = ""
) -> HttpResponse:
    """Add or remove people, say and log how many that changed, and lead `back`, or to the circle's page."""
    done = circle.added if is_added else circle.removed
    with transaction.atomic():
        changed = (circle.add if is_added else circle.remove)(user_ids=user_ids)
        audit(request, [circle.logged], f"{done} {_people(changed)}{circle.of_what}.")
    circle.changed()
    same = len(user_ids) - changed
    already = circle.inside if is_added else circle.outside
    rest = f" {_people(same)} {'was' if same == 1 else 'were'} {already}." if same else ""
    say(request, f"{done} {_people(changed)}.{rest}")
    return HttpResponseRedirect(back or circle.url)


def _answer(pages: StaffAdmin, request: HttpRequest, circle: Circle, **result: Any) -> HttpResponse:
    """Answer a check: to people.js with the result only, without JavaScript with the whole page."""
    values = {"circle": circle, "known_count": len(result["read"].known) if "read" in result else 0, **result}
    if request.headers.get("X-Requested-With") == "fetch":
        return pages.page(request, "admin/broadcasts/_people_result.html", title="", **values)
    values |= panel(pages, request, circle) | {"pasted": request.POST.get("people", "")}
    return pages.page(request, "admin/broadcasts/people_page.html", title=circle.name, **values)


def _people(count: int) -> str:
    return "1 person" if count == 1 else f"{count:,} people"


def _file_problem(request: HttpRequest) -> str:
    """Return what is wrong with what was sent, before it is read."""
    file = request.FILES.get("file")
    if file is None and not request.POST.get("people", "").strip():
        return "Paste user ids or e-mail addresses, one a line, or choose a CSV file."
    if file is not None and (file.size or 0) > MAX_FILE_BYTES:
        return f"The file is larger than {MAX_FILE_BYTES // 1024 // 1024} MB. Split it, or use the REST API."
    return ""


def _lines(request: HttpRequest) -> Iterator[str]:
    yield from request.POST.get("people", "").splitlines()
    if (file := request.FILES.get("file")) is not None:
        yield from TextIOWrapper(cast("IO[bytes]", file.file), encoding="utf-8-sig", newline=None)
