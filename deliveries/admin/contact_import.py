"""Import contacts: a file is looked at and judged, then imported. Nothing of it is kept here between two requests: the page keeps the file.

The form is the same each time; its button says what to do: `_check`, `_report` (all problems as CSV) or `_import`.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import TextIOWrapper
from json import dumps
from tempfile import TemporaryFile
from typing import IO, Any, cast

import structlog
from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.core.files.uploadedfile import UploadedFile
from django.db import InterfaceError, OperationalError
from django.http import FileResponse, HttpRequest, HttpResponseBase

from deliveries.admin.base import StaffAdmin, audit, many_tenants
from deliveries.contacts.columns import FIELDS, KINDS, Target, targets_problem
from deliveries.contacts.csv_lines import FileRefused
from deliveries.contacts.importing import Looked, Report, file_check, file_import, file_look, problems_write
from deliveries.models import Tenant

log = structlog.get_logger(__name__)
PAGE = "admin/deliveries/contact_import.html"
RESULT = "admin/deliveries/_contact_import_result.html"


def import_page(admin: StaffAdmin, request: HttpRequest) -> HttpResponseBase:
    """Show the form, or do what its button says. A GET changes nothing. Raises: PermissionDenied."""
    if not (admin.has_add_permission(request) and admin.has_change_permission(request)):
        raise PermissionDenied
    answer = _result(request) if request.method == "POST" else {}
    if isinstance(answer, HttpResponseBase):
        return answer
    template = RESULT if request.headers.get("X-Requested-With") == "fetch" else PAGE
    tenants = Tenant.objects.order_by("name") if many_tenants() else None
    most = f"{settings.CONTACT_IMPORT_MAX_MB:g} MB"
    return admin.page(request, template, title="Import contacts", tenants=tenants, most=most, **answer)


def _result(request: HttpRequest) -> dict[str, Any] | HttpResponseBase:
    tenant, file = _tenant(request), request.FILES.get("file")
    if tenant is None:
        return {"problem": "Choose the tenant whose people these are."}
    if not isinstance(file, UploadedFile):
        return {"problem": "Choose a CSV file."}
    if (file.size or 0) > settings.CONTACT_IMPORT_MAX_MB * 1_000_000:
        most = f"{settings.CONTACT_IMPORT_MAX_MB:g} MB"
        return {"problem": f"The file is larger than {most}. Split it, or raise CONTACT_IMPORT_MAX_MB."}
    data = cast("IO[bytes]", file.file)
    try:
        looked = file_look(data)
        targets = _targets(request, looked)
        shown = {"columns": _columns(looked, targets), "file_name": file.name}
        if wrong := targets_problem(targets):
            return {**shown, "column_problem": wrong}
        if "_report" in request.POST:
            return _report(data, targets)
        if "_import" in request.POST:
            return {"file_name": file.name, **_import(request, data, tenant, targets, str(file.name))}
        return {**shown, "report": file_check(data, targets=targets)}
    except FileRefused as refused:
        return {"problem": str(refused)}


def _import(
    request: HttpRequest, data: IO[bytes], tenant: Tenant, targets: Sequence[Target], name: str
) -> dict[str, Any]:
    report, problem = Report(), ""
    try:
        file_import(data, tenant=tenant, targets=targets, report=report)
    except (OperationalError, InterfaceError) as error:
        log.warning("contact import interrupted", line=report.last_line, error=str(error))
        problem = (
            f"The database went away near line {report.last_line:,}. {report.new + report.changed:,} people are stored. "
            "Import the file again: nobody is stored twice."
        )
    else:
        audit(request, [tenant], _words(report, name))
    return {"done": report, "problem": problem}


def _words(report: Report, name: str) -> str:
    return f"Imported contacts from “{name[:100]}”: {report.new:,} new, {report.changed:,} changed, {report.bad:,} rows left out."


def _report(data: IO[bytes], targets: Sequence[Target]) -> HttpResponseBase:
    """Answer every problem as a file, by way of the disk: there may be a million."""
    out = TemporaryFile()  # noqa: SIM115  (the answer closes it)
    text = TextIOWrapper(out, encoding="utf-8-sig", newline="")
    problems_write(data, text, targets=targets)
    text.detach()
    out.seek(0)
    return FileResponse(out, as_attachment=True, filename="problems.csv", content_type="text/csv; charset=utf-8")


def _targets(request: HttpRequest, looked: Looked) -> list[Target]:
    """Return what staff took the columns for, the guess where they said nothing of this file's columns."""
    if request.POST.get("header") != dumps(looked.header):
        return looked.targets
    chosen = []
    for index, guess in enumerate(looked.targets):
        try:
            chosen.append(Target.of(request.POST[f"column-{index}"]))
        except (KeyError, ValueError):
            chosen.append(guess)
    return chosen


def _columns(looked: Looked, targets: Sequence[Target]) -> dict[str, Any]:
    """Return the table of columns: name, some cells, what it may be taken for and is."""
    rows = []
    for index, (name, target) in enumerate(zip(looked.header, targets, strict=True)):
        key = target.key or (name if name.isprintable() else "")
        kinds = [(str(Target("attributes", key, kind)), f"Attribute “{key}”: {words}") for kind, words in KINDS.items()]
        options = [("", "Leave out"), *FIELDS.items(), *(kinds if 0 < len(key) <= 100 else [])]
        rows.append(
            {"index": index, "name": name, "cells": looked.samples[index], "options": options, "chosen": str(target)}
        )
    return {"header": dumps(looked.header), "rows": rows}


def _tenant(request: HttpRequest) -> Tenant | None:
    if not many_tenants():
        return Tenant.objects.get()
    named = request.POST.get("tenant", "")
    return Tenant.objects.filter(pk=named).first() if named.isdecimal() and len(named) < 19 else None
