"""Importing contacts: what is stored and what stays, the page from the check to the import, a million lines' worth of behaviour."""

from __future__ import annotations

import csv
from collections.abc import Callable
from io import BytesIO, StringIO
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.contrib.admin.models import LogEntry
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import OperationalError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from deliveries.contacts import importing
from deliveries.contacts.importing import Report, file_check, file_import, file_look
from deliveries.models import Contact, Tenant
from tests.factories import ContactFactory, TenantFactory

pytestmark = pytest.mark.django_db

PAGE = "admin:deliveries_contact_import"
ANA = UUID("11111111-1111-4111-8111-111111111111")


def text(*lines: str) -> bytes:
    return "\n".join(lines).encode()


def store(tenant: Tenant, data: bytes) -> Report:
    file, report = BytesIO(data), Report()
    file_import(file, tenant=tenant, targets=file_look(file).targets, report=report)
    assert not file.closed
    return report


def send(client: Client, action: str, data: bytes | None, **more: Any) -> Any:
    file = {} if data is None else {"file": SimpleUploadedFile("people.csv", data)}
    return client.post(reverse(PAGE), {action: "", **file, **more}, headers={"X-Requested-With": "fetch"})


def shown(answer: Any) -> str:
    assert answer.status_code == 200
    return str(answer.content.decode())


def test_people_are_made_and_those_who_are_known_keep_what_the_file_leaves_out(tenant: Tenant) -> None:
    ContactFactory(
        tenant=tenant, user_id=ANA, name="Ana", email="old@example.com", phone="+4930123456", opted_out=["sms"],
        attributes={"plan": "gold", "visits": 1},
    )  # fmt: skip
    theirs = ContactFactory(user_id=ANA, name="Theirs")
    report = store(
        tenant,
        text("user_id;email;name;visits;paid", f"{ANA};ana@example.com;;2;yes", f"{uuid4()};ben@example.com;Ben;3;no"),
    )
    assert (report.new, report.changed, report.bad) == (1, 1, 0)
    ana = Contact.objects.get(tenant=tenant, user_id=ANA)
    assert (ana.name, ana.email, ana.phone, ana.opted_out) == ("Ana", "ana@example.com", "+4930123456", ["sms"])
    assert ana.attributes == {"plan": "gold", "visits": 2, "paid": True}
    assert Contact.objects.get(name="Ben").attributes == {"visits": 3, "paid": False}
    theirs.refresh_from_db()
    assert theirs.name == "Theirs"


def test_a_file_imported_again_stores_nobody_twice(tenant: Tenant) -> None:
    data = text("user_id,name", *(f"{uuid4()},N{n}" for n in range(5)))
    assert (store(tenant, data).new, store(tenant, data).new) == (5, 0)
    assert Contact.objects.filter(tenant=tenant).count() == 5


def test_one_bad_line_harms_no_other_and_is_named(tenant: Tenant) -> None:
    lines = ["user_id,name", *(f"{uuid4()},N{n}" for n in range(2500))]
    lines[1700] = '17,"never closed'
    report = store(tenant, text(*lines))
    assert (report.rows, report.new, report.bad) == (2500, 2499, 1)
    assert [problem.line for problem in report.problems] == [1701]


def test_a_user_id_that_comes_twice_counts_where_it_came_first_across_batches(tenant: Tenant) -> None:
    lines = ["user_id,name", *(f"{uuid4()},N{n}" for n in range(1500))]
    lines[1] = f"{ANA},first"
    lines[5] = f"{str(ANA).upper()},second"
    lines[1400] = f"{ANA},third"
    report = store(tenant, text(*lines))
    assert Contact.objects.get(user_id=ANA).name == "first"
    assert [problem.line for problem in report.problems] == [6, 1401]
    assert "on line 2 already" in report.problems[0].message


def test_a_thousand_rows_take_one_statement_and_little_is_held(tenant: Tenant) -> None:
    data = text("user_id,email,plan", *(f"{uuid4()},n{n}@example.com,gold" for n in range(3000)))
    with CaptureQueriesContext(connection) as queries:
        report = store(tenant, data)
    assert len(queries) == 3
    assert report.new == 3000


def test_only_some_problems_are_kept_and_all_are_counted(tenant: Tenant) -> None:
    file = BytesIO(text("user_id", *("x" for _ in range(150))))
    told: list[int] = []
    report = file_check(file, targets=file_look(file).targets, tell=lambda problem: told.append(problem.line))
    assert (len(report.problems), report.more_problems, len(told)) == (100, 50, 150)
    assert not Contact.objects.exists()


def test_the_page_checks_then_imports_and_it_is_logged(admin_client: Client, tenant: Tenant) -> None:
    data = text("user_id,E-Mail,visits", f"{ANA},ana@example.com,3", f"{uuid4()},wrong,4")
    assert "Import contacts" in shown(admin_client.get(reverse("admin:deliveries_contact_changelist")))
    assert "Nothing is stored yet." in shown(admin_client.get(reverse(PAGE)))

    checked = shown(send(admin_client, "_check", data))

    assert not Contact.objects.exists()
    for words in ("1 of 2 rows can be imported", "1 will be left out", "This is no e-mail address.", "Import 1 person"):
        assert words in checked
    assert '<option value="attributes:number:visits" selected>' in checked
    done = shown(send(admin_client, "_import", data))
    assert "1 added, 0 updated, 1 left out." in done and "_import" not in done
    assert Contact.objects.get().email == "ana@example.com"
    assert "1 new, 0 changed, 1 rows left out" in LogEntry.objects.get().change_message


def test_staff_choose_what_columns_are(admin_client: Client, tenant: Tenant) -> None:
    data = text("person,visits", f"{ANA},3")
    assert "No column is the user id." in shown(send(admin_client, "_import", data))
    chosen = {"header": '["person", "visits"]', "column-0": "user_id", "column-1": "attributes:text:visits"}
    send(admin_client, "_import", data, **chosen)
    assert Contact.objects.get().attributes == {"visits": "3"}
    other = {**chosen, "header": '["other"]'}  # what was chosen for another file means nothing for this one
    assert "No column is the user id." in shown(send(admin_client, "_import", data, **other))


def test_the_report_has_every_problem_and_no_formula(admin_client: Client, tenant: Tenant) -> None:
    data = text("user_id,name", *("=HYPERLINK(1),x" for _ in range(150)))
    answer = send(admin_client, "_report", data)
    rows = list(csv.reader(StringIO(b"".join(answer.streaming_content).decode("utf-8-sig"))))
    answer.close()
    assert "attachment" in answer["Content-Disposition"]
    assert len(rows) == 151
    assert rows[1][:3] == ["2", "user_id", "'=HYPERLINK(1)"]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (None, "Choose a CSV file."),
        (b"", "The file is empty."),
        ("user_id".encode("utf-16"), "The file is in UTF-16."),
        (text("user_id,name"), "The file has no rows below its header."),
        (text("user_id,<script>", f"{ANA},x"), "&lt;script&gt;"),
        (b"user_id,name\n1,\xff", "not UTF-8"),
    ],
    ids=["none", "empty", "utf-16", "no rows", "html", "one bad byte"],
)
def test_what_is_wrong_with_a_file_is_said(admin_client: Client, tenant: Tenant, data: bytes | None, said: str) -> None:
    assert said in shown(send(admin_client, "_check", data))


def test_a_file_beyond_the_limit_is_refused(admin_client: Client, tenant: Tenant, settings: Any) -> None:
    settings.CONTACT_IMPORT_MAX_MB = 0.00001
    assert "The file is larger than 1e-05 MB." in shown(send(admin_client, "_import", text("user_id", str(ANA))))
    assert not Contact.objects.exists()


def test_a_database_that_goes_away_is_told_with_how_far_it_came(
    admin_client: Client, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    merge, calls = importing.contacts_merge, iter(range(9))

    def until_the_second(**given: Any) -> Any:
        if next(calls):
            raise OperationalError("gone")
        return merge(**given)

    monkeypatch.setattr(importing, "contacts_merge", until_the_second)
    data = text("user_id", *(str(uuid4()) for _ in range(1500)))
    told = shown(send(admin_client, "_import", data))
    assert "The database went away near line 1,501. 1,000 people are stored." in told
    assert Contact.objects.count() == 1000


def test_without_javascript_the_same_form_answers_with_a_page(admin_client: Client, tenant: Tenant) -> None:
    file = SimpleUploadedFile("people.csv", text("user_id", str(ANA)))
    page = shown(admin_client.post(reverse(PAGE), {"_check": "", "file": file}))
    assert "<html" in page and "Import 1 person" in page


def test_with_several_tenants_staff_say_whose_people_these_are(admin_client: Client, tenant: Tenant) -> None:
    second, data = TenantFactory(), text("user_id", str(ANA))
    assert "Choose the tenant" in shown(send(admin_client, "_import", data))
    assert "Choose the tenant" in shown(send(admin_client, "_import", data, tenant="9" * 30))
    send(admin_client, "_import", data, tenant=second.pk)
    assert Contact.objects.get().tenant == second


@pytest.mark.parametrize(
    "permissions", [["view_contact"], ["view_contact", "add_contact"], ["view_contact", "change_contact"]]
)
def test_importing_needs_adding_and_changing(
    staff_with: Callable[..., Client], tenant: Tenant, permissions: list[str]
) -> None:
    client = staff_with(*permissions)
    assert client.get(reverse(PAGE)).status_code == 403
    assert send(client, "_import", text("user_id", str(ANA))).status_code == 403
    assert "Import contacts" not in shown(client.get(reverse("admin:deliveries_contact_changelist")))
    assert not Contact.objects.exists()


def test_a_file_is_read_as_a_stream(tenant: Tenant) -> None:
    """Nothing is held of the lines that were stored: when a batch is stored, the file was read only a little further."""

    class Lines(BytesIO):
        most = 0

        def read1(self, size: int | None = -1, /) -> bytes:
            self.most = max(self.most, self.tell())
            return super().read1(size)

    file = Lines(text("user_id,name", *(f"{uuid4()},{'x' * 100}" for _ in range(5000))))
    targets, places = file_look(file).targets, list[int]()
    report = Report()
    for _people in importing._judged(file, targets, report, None):
        places.append(file.most)
    assert places == sorted(places)
    assert places[0] < len(file.getvalue()) / 4
