"""The command palette: a job id leads to its delivery, an address, name or user id to the person."""

from __future__ import annotations

from django.http import HttpRequest
from django.urls import reverse
from unfold.dataclasses import SearchResult

from deliveries.admin import words
from deliveries.admin.people import every_tenant, find_people, parse_uuid
from deliveries.models import Delivery

LIMIT = 10


def command_search(request: HttpRequest, term: str) -> list[SearchResult]:
    """Return what `term` may mean among what this person may see. Two queries at most, both by an index."""
    results: list[SearchResult] = []
    if request.user.has_perm("deliveries.view_delivery") and (job_id := parse_uuid(term)) is not None:
        for row in Delivery.objects.filter(tenant__in=every_tenant(), job_id=job_id)[:LIMIT]:
            text = f"{words.channel(row.channel)}, {words.status(row).text}"
            link = reverse("admin:deliveries_delivery_change", args=[row.pk])
            results.append(SearchResult(title=f"Job {row.job_id}", description=text, link=link, icon="outgoing_mail"))
    if request.user.has_perm("deliveries.view_contact"):
        for person in find_people(term, limit=LIMIT):
            link = reverse("admin:deliveries_contact_change", args=[person.pk])
            text = person.email or person.phone or str(person.user_id)
            results.append(SearchResult(title=str(person), description=text, link=link, icon="person"))
    return results
