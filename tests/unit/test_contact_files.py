"""Files of contacts: encodings, delimiters, quotation marks, columns and cells; each line that is wrong is named and harms no other."""

from __future__ import annotations

from io import BytesIO
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deliveries.contacts.columns import Target, row_read, targets_guess, targets_problem
from deliveries.contacts.csv_lines import CsvFile, FileRefused, Record
from deliveries.csv_cells import safe_cell

ID = "11111111-1111-4111-8111-111111111111"


def read(data: bytes) -> tuple[list[str], list[Record]]:
    file = CsvFile(BytesIO(data))
    return file.header, list(file)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_delimiters_line_ends_and_a_byte_order_mark_are_known(delimiter: str, end: str, mark: bytes) -> None:
    rows = [["user_id", "name"], ["1", "Zoë"], ["2", 'x "y"']]
    text = end.join(delimiter.join(f'"{cell.replace(chr(34), chr(34) * 2)}"' for cell in row) for row in rows)
    header, records = read(mark + text.encode())
    assert header == rows[0]
    assert records == [Record(2, rows[1]), Record(3, rows[2])]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "The file is empty."),
        (b"\n\n ", "The file is empty."),
        ("user_id,name\n".encode("utf-16"), "The file is in UTF-16. Save it as “CSV UTF-8”"),
        ("user_id,name\n".encode("utf-16-le"), "not text in UTF-8"),
        ("user_id,größe\n".encode("latin-1"), "The file is not in UTF-8."),
        (b"PK\x03\x04rest", "This is a spreadsheet, not a CSV file."),
        (b",,\n1,2,3", "The file has no header."),
        (b'"user_id\n' + b"x\n" * 30, "The file has no header."),
        (b",".join(b"c%d" % n for n in range(201)), "201 columns, and 200 are read"),
    ],
)  # fmt: skip
def test_files_that_cannot_be_read_are_refused_in_words(data: bytes, said: str) -> None:
    with pytest.raises(FileRefused, match=said):
        read(data)


def test_a_line_that_cannot_be_read_is_named_and_its_neighbours_are_read() -> None:
    lines = [
        b"user_id,name", b"1,a", b'2,"never closed', b"3,c", b"", b'4,"two', b'lines"', b'5,"x"y', b"6," + b"x" * 100_001, b"7,g",
    ]  # fmt: skip
    _header, records = read(b"\n".join(lines))
    assert [(record.line, record.cells[:1]) for record in records if not record.problem] == [
        (2, ["1"]), (4, ["3"]), (6, ["4"]), (10, ["7"]),
    ]  # fmt: skip
    assert [record.line for record in records if record.problem] == [3, 8, 9]
    assert records[3].cells[1] == "two\nlines"


@given(st.binary(max_size=300))
def test_whatever_bytes_come_are_read_or_refused(data: bytes) -> None:
    try:
        header, records = read(b"user_id,name\n" + data)
    except FileRefused:
        return
    for record in records:
        row_read(record.cells, line=record.line, header=header, targets=[Target("user_id"), Target("name")])


def test_columns_are_guessed_from_their_names_and_attributes_from_their_cells() -> None:
    header = [
        "User ID",
        "E-Mail",
        "Full name",
        "Mobile",
        "Language",
        "Timezone",
        "id",
        "Visits",
        "Paid",
        "ZIP",
        "attributes.plan",
        "",
    ]
    rows = [
        [ID, "", "", "", "", "", "", "3", "yes", "0123", "gold", ""],
        ["", "", "", "", "", "", "", "-2.5", "no", "4567", "", ""],
        [],
    ]
    assert list(map(str, targets_guess(header, rows))) == [
        "user_id", "email", "name", "phone", "locale", "time_zone", "", "attributes:number:Visits", "attributes:boolean:Paid",
        "attributes:text:ZIP", "attributes:text:plan", "",
    ]  # fmt: skip


@pytest.mark.parametrize(("wrong", "kind"), [(1, "number"), (2, "text")])
def test_one_odd_cell_in_ten_does_not_change_the_guess(wrong: int, kind: str) -> None:
    rows = [["x"] if number < wrong else [str(number)] for number in range(10)]
    assert [target.kind for target in targets_guess(["visits"], rows)] == [kind]


@pytest.mark.parametrize(
    ("targets", "said"),
    [
        (["email"], "No column is the user id."),
        (["user_id", "user_id"], "Two columns are taken for User id."),
        (["user_id", "attributes:text:a", "attributes:number:a"], "Two columns are taken for a."),
        (["user_id", "", ""], ""),
    ],
)
def test_a_choice_of_columns_is_judged(targets: list[str], said: str) -> None:
    problem = targets_problem([Target.of(text) for text in targets])
    assert problem.startswith(said) and bool(problem) == bool(said)


@pytest.mark.parametrize("text", ["nothing", "attributes", "attributes:x:y", "attributes:text:", "attributes:text:a\n"])
def test_a_target_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=text.strip()):
        Target.of(text)


CELLS = [
    ("user_id", ID.upper(), UUID(ID)),
    ("user_id", f"{{{ID}}}", UUID(ID)),
    ("email", " ana@example.com ", "ana@example.com"),
    ("phone", "+49 30 123456", "+4930123456"),
    ("locale", "pt-BR", "pt-BR"),
    ("time_zone", "Europe/Berlin", "Europe/Berlin"),
    ("attributes:text:x", "0123", "0123"),
    ("attributes:number:x", "-1.5", -1.5),
    ("attributes:number:x", "12", 12),
    ("attributes:boolean:x", "Yes", True),
    ("attributes:boolean:x", "0", False),
    ("attributes:list:x", "a | b||", ["a", "b"]),
    ("", "anything\0", None),
]


def judged(target: str, cell: str) -> tuple[dict[str, Any], list[Any]]:
    targets = [Target.of(target), Target("" if target == "user_id" else "user_id")]
    return row_read([cell, ID], line=7, header=["it", "user_id"], targets=targets)


@pytest.mark.parametrize(("target", "cell", "value"), CELLS)
def test_cells_become_values(target: str, cell: str, value: Any) -> None:
    person, problems = judged(target, cell)
    assert not problems
    assert (person["attributes"].get("x") if target.startswith("attributes") else person.get(target)) == value


@pytest.mark.parametrize(
    ("target", "cell", "said"),
    [
        ("user_id", "17", "This is no UUID."),
        ("user_id", "0" * 32, "The nil UUID names nobody."),
        ("email", "ana@", "This is no e-mail address."),
        ("name", "x" * 201, "It has 201 characters, and 200 are allowed."),
        ("name", "a\nb", "It has a line break"),
        ("phone", "030 123456", "its country code is missing"),
        ("locale", "german!", "This is no language tag."),
        ("time_zone", "Berlin", "There is no such time zone."),
        ("attributes:number:x", "1,5", "This is no number."),
        ("attributes:number:x", "9" * 18 + "0", "This is no number."),
        ("attributes:boolean:x", "maybe", "This is neither yes nor no."),
        ("attributes:text:x", "x" * 1001, "It has 1,001 characters"),
        ("attributes:text:x", "a\0", "It has a NUL character."),
        ("attributes:text:x", "a\udcff", "It has bytes that are not UTF-8."),
    ],
)
def test_what_is_wrong_with_a_cell_is_said(target: str, cell: str, said: str) -> None:
    _person, [problem] = judged(target, cell)
    assert (problem.line, problem.column) == (7, "it")
    assert said in problem.message


def test_every_problem_of_a_row_is_named_and_a_missing_id_is_one() -> None:
    header, targets = ["user_id", "email", "phone"], [Target("user_id"), Target("email"), Target("phone")]
    _person, problems = row_read(["", "x", "y"], line=2, header=header, targets=targets)
    assert {problem.column for problem in problems} == {"user_id", "email", "phone"}
    _person, [problem] = row_read([ID, "", "", "more"], line=2, header=header, targets=targets)
    assert "4 cells and the header 3" in problem.message
    assert row_read([ID], line=2, header=header, targets=targets)[1] == []


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("=HYPERLINK(1)", "'=HYPERLINK(1)"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@x", "'@x"),
        ("\t=1", "'\t=1"),
        ("a=1", "a=1"),
        ("", ""),
    ],
)
def test_no_cell_is_a_formula(text: str, safe: str) -> None:
    assert safe_cell(text) == safe
