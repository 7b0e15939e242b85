"""The demo's folder and mailbox: small files, read by other processes while they are written."""

from __future__ import annotations

import json
import shlex
import stat
import subprocess
from pathlib import Path

import pytest

from notifyproj.demo import mailbox
from notifyproj.demo.folder import Folder, FolderInUseError, Running, State
from notifyproj.demo.mailbox_server import Mailbox

PLAIN = b"Message-ID: <1@x>\r\nFrom: a@x\r\nSubject: Plain <b>\r\n\r\nOne <script>alert(1)</script> two\r\n"
HTML = (
    b"Message-ID: <2@x>\r\nFrom: Shop <a@x>\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nMIME-Version: 1.0\r\n"
    b'Content-Type: multipart/alternative; boundary="b"\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\ntext\r\n'
    b"--b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<h1>Hello</h1>\r\n--b--\r\n"
)


def test_what_is_kept_stays_the_same_and_is_for_the_owner_only(tmp_path: Path) -> None:
    first = Folder(tmp_path / "run").kept()
    assert Folder(tmp_path / "run").kept() == first
    assert stat.S_IMODE((tmp_path / "run" / "kept.json").stat().st_mode) == 0o600
    assert len(first.jwt_key) >= 32


def test_two_folders_have_secrets_of_their_own(tmp_path: Path) -> None:
    assert Folder(tmp_path / "a").kept().admin_password != Folder(tmp_path / "b").kept().admin_password


def test_a_second_demo_in_the_folder_is_told_of_the_first(tmp_path: Path) -> None:
    first, second = Folder(tmp_path), Folder(tmp_path)
    with first.lock():
        first.write_state(State(123, "http://127.0.0.1:8000", True, [Running("web", "Web", 124, 1, 0.0, True)]))
        with pytest.raises(FolderInUseError, match=r"process 123, at http://127\.0\.0\.1:8000"), second.lock():
            pass
    with second.lock():
        pass


def test_a_shell_reads_the_environment_file_back(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    value = 'it\'s "quoted" $HOME `id`'
    folder.write_environment({"SECRET_KEY": value})
    script = f'. {shlex.quote(str(folder.environment))}; printf %s "$SECRET_KEY"'
    assert subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout == value


def test_the_mailbox_shows_what_the_server_took_newest_first(tmp_path: Path) -> None:
    server = Mailbox(tmp_path / "mail", with_message=True)
    for number, data in enumerate((PLAIN, HTML)):
        server.add(sender="a@x", recipient=f"{number}@example.com", data=data)
    newest, older = mailbox.newest(tmp_path / "mail")
    server.close()
    assert (newest.subject, newest.sender, newest.to) == ("Grüße", "Shop <a@x>", "1@example.com")
    assert older.subject == "Plain <b>"
    found = mailbox.find(tmp_path / "mail", newest.key)
    assert found is not None
    assert found.subject == newest.subject
    assert mailbox.find(tmp_path / "mail", "nobody") is None


def test_a_load_of_mails_alike_leaves_the_others_in_sight(tmp_path: Path) -> None:
    server = Mailbox(tmp_path / "mail", with_message=True)
    server.add(sender="a@x", recipient="b@x", data=HTML)
    for number in range(200):
        server.add(sender="a@x", recipient=f"{number}@x", data=PLAIN)
    server.close()
    shown = mailbox.newest(tmp_path / "mail")
    assert [mail.subject for mail in shown] == ["Plain <b>"] * mailbox.SHOWN_ALIKE + ["Grüße"]
    assert mailbox.find(tmp_path / "mail", shown[-1].key) is not None


def test_a_mails_unsubscribe_link_is_offered_as_a_path_of_ours(tmp_path: Path) -> None:
    server = Mailbox(tmp_path / "mail", with_message=True)
    server.add(sender="a@x", recipient="b@x", data=b"List-Unsubscribe: <http://127.0.0.1:8000/u/AbC-_9>\r\n" + PLAIN)
    server.add(sender="a@x", recipient="b@x", data=b"List-Unsubscribe: <javascript:alert(1)>\r\n" + PLAIN)
    server.close()
    assert [mail.as_json()["unsubscribe"] for mail in mailbox.newest(tmp_path / "mail")] == ["", "/u/AbC-_9"]


def test_a_mails_html_part_is_shown_and_plain_text_is_escaped(tmp_path: Path) -> None:
    server = Mailbox(tmp_path / "mail", with_message=True)
    for data in (PLAIN, HTML):
        server.add(sender="a@x", recipient="b@x", data=data)
    html, plain = map(mailbox.document, mailbox.newest(tmp_path / "mail"))
    server.close()
    assert "<h1>Hello</h1>" in html
    assert "<script>" not in plain
    assert "&lt;script&gt;" in plain


def test_a_line_that_is_still_being_written_is_left_for_later(tmp_path: Path) -> None:
    record = {"message_id": "<1@x>", "to": "b@x", "from": "a@x", "at": 0, "message": PLAIN.decode()}
    (tmp_path / "mail").write_text(json.dumps(record) + "\n" + json.dumps(record)[:40])
    assert len(mailbox.newest(tmp_path / "mail")) == 1


def test_no_mail_is_an_empty_list(tmp_path: Path) -> None:
    assert mailbox.newest(tmp_path / "nothing") == []


def test_mails_may_run_nothing_and_load_nothing() -> None:
    policy = mailbox.FRAME_CSP.split("; ")
    assert "default-src 'none'" in policy
    assert "sandbox" in policy
