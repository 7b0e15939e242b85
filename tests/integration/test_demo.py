"""The demo as a whole: started by its command, looked at over HTTP, broken on purpose, ended by Ctrl+C."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from django.test import Client

from notifyproj.demo import mailbox, terminal
from notifyproj.embedded.process import free_port
from tests.demo import RunningDemo, Visitor
from tests.waiting import GENEROUS_SECONDS, eventually

SERVERS = ("DATABASE_URL", "REDIS_URL", "KAFKA_BOOTSTRAP_SERVERS")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDemo]:
    """Run one demo with servers of its own for the tests of this module."""
    with RunningDemo(tmp_path_factory.mktemp("demo") / "run") as running:
        yield running


@pytest.fixture
def visitor(demo: RunningDemo) -> Iterator[Visitor]:
    """Give somebody who has opened the tour."""
    with demo.visitor() as visitor:
        yield visitor


def test_it_serves_what_it_printed(demo: RunningDemo, visitor: Visitor) -> None:
    for path in ("/", "/health/live", "/health/ready", "/admin/login/", "/api/docs/"):
        eventually(lambda path=path: visitor.get(path).status_code == 200, what=path)  # type: ignore[misc]
    kept = demo.folder.kept()
    for secret in (kept.admin_password, kept.ben_password, kept.api_key):
        assert secret in demo.said
    assert kept.jwt_key not in demo.said


@pytest.mark.parametrize(("channel", "word"), [("ws", "In inbox"), ("email", "Handed to provider")])
def test_a_job_of_the_page_is_delivered(visitor: Visitor, channel: str, word: str) -> None:
    job_id = visitor.post("/demo/send/", channel=channel)["job_id"]
    assert visitor.delivered(job_id)["word"] == word


def test_the_printed_commands_deliver(demo: RunningDemo, visitor: Visitor) -> None:
    kafka = demo.manage("send_job", "--user", "ana@example.com", "--body", "From another terminal").strip()
    assert visitor.delivered(kafka)["word"] == "In inbox"
    curl = terminal.first_curl(demo.url, demo.folder.kept().api_key)
    assert curl in demo.said.replace("\n    ", "\n")
    answer = json.loads(subprocess.run(["sh", "-c", curl], capture_output=True, text=True, check=True).stdout)
    assert visitor.delivered(answer["results"][0]["job_id"])["word"] == "In inbox"


def test_mail_is_caught_and_shown_where_nothing_can_run(visitor: Visitor) -> None:
    mails = eventually(lambda: visitor.json("/demo/mailbox/")["mails"])
    answer = visitor.get(f"/demo/mailbox/{mails[0]['key']}/")
    assert answer.headers["Content-Security-Policy"] == mailbox.FRAME_CSP
    assert answer.headers["X-Frame-Options"] == "SAMEORIGIN"
    assert visitor.get("/demo/mailbox/nobody/").status_code == 404


def test_a_bad_job_is_refused_between_two_that_arrive(visitor: Visitor) -> None:
    put = visitor.post("/demo/bad/", job="{not json")
    path = f"/demo/records/{put['bad']['partition']}/{put['bad']['offset']}/"
    refused = eventually(lambda: (found := visitor.json(path))["is_refused"] and found)
    assert "JSON" in refused["sentence"]
    for neighbour in (put["before"], put["after"]):
        assert visitor.delivered(neighbour)["word"] == "In inbox"


@pytest.mark.parametrize("button", ["stop-a-sender", "wipe-redis"])
def test_what_the_page_breaks_loses_nothing(demo: RunningDemo, visitor: Visitor, button: str) -> None:
    before = visitor.json("/demo/status/")["balance"]["accepted"]
    starts = sender_starts(demo)
    answer = visitor.post(f"/demo/{button}/")
    jobs, load = answer["jobs"], answer["load"]

    def all_sent() -> bool:
        standing = visitor.json(f"/demo/loads/{load}/")
        assert standing["unaccounted"] == 0
        return bool(standing["arrived"] == standing["over"] == jobs)

    eventually(all_sent)  # others wait beside them: a broadcast goes on for an hour and more
    assert visitor.json("/demo/status/")["balance"]["accepted"] >= before + jobs
    eventually(
        lambda: sender_starts(demo) == starts + (button == "stop-a-sender"), what="a dead sender has a successor"
    )
    eventually(lambda: visitor.get("/health/workers").status_code == 200, what="the dead sender's successor buried it")


def test_provider_b_takes_over_while_a_is_broken(demo: RunningDemo, visitor: Visitor) -> None:
    answer = visitor.post("/demo/break-provider/")
    assert answer["is_broken"]
    well = {"arrived": answer["jobs"], "over": answer["jobs"], "unaccounted": 0}
    eventually(lambda: visitor.json(f"/demo/loads/{answer['load']}/") == well)
    assert visitor.post("/demo/break-provider/") == {"is_broken": False}


@pytest.mark.parametrize("path", ["send/", "bad/", "stop-a-sender/", "wipe-redis/", "break-provider/", "staff/"])
def test_no_change_without_post_and_token(demo: RunningDemo, visitor: Visitor, path: str) -> None:
    assert visitor.get(f"/demo/{path}").status_code == 405
    assert httpx.post(f"{demo.url}/demo/{path}", timeout=GENEROUS_SECONDS).status_code == 403


def test_only_the_demos_staff_are_logged_in_and_only_led_to_our_pages(visitor: Visitor) -> None:
    assert visitor.send("/demo/staff/", **{"as": "root"}).status_code == 404
    answer = visitor.send("/demo/staff/", **{"as": "ben", "next": "https://evil.example/"})
    assert (answer.status_code, answer.headers["Location"]) == (302, "/admin/")
    assert visitor.get("/admin/").status_code == 200


def test_a_second_demo_in_the_same_folder_says_where_the_first_is(demo: RunningDemo) -> None:
    second = RunningDemo(demo.folder.root, output=demo.folder.root / "second.out").launch()
    assert second.wait() == 1
    assert demo.url in second.said
    assert "Traceback" not in second.said


def test_it_uses_the_servers_it_is_given_and_ctrl_c_leaves_nothing(
    service_environment: dict[str, str], tmp_path: Path
) -> None:
    names = ("DATABASE_URL", "REDIS_URL", "REDIS_PREFIX", "KAFKA_BOOTSTRAP_SERVERS")
    given = {name: service_environment[name] for name in names}
    given |= {name: value for name, value in service_environment.items() if name.startswith("KAFKA_")}
    with RunningDemo(tmp_path / "run", **given) as running:
        assert all(f"Using {name} from the environment" in running.said for name in SERVERS)
        assert not running.state.owns_redis
        with running.visitor() as visitor:
            assert visitor.send("/demo/wipe-redis/").status_code == 404, "a Redis of somebody else is not wiped"
        running.interrupt()
        assert running.wait() == 0
        eventually(lambda: not running.left_running(), what="no process is left")
        assert "Traceback" not in running.said
        assert running.folder.state() is None


def test_a_database_that_is_away_is_said_in_words(tmp_path: Path) -> None:
    address = f"postgres://nobody@127.0.0.1:{free_port()}/nothing"
    given = {name: os.environ[name] for name in ("REDIS_URL", "KAFKA_BOOTSTRAP_SERVERS")}
    topics = {f"KAFKA_{kind}_TOPIC": f"t{uuid4().hex}" for kind in ("OUTBOX", "SIMPLE", "DLQ", "CONTROL")}
    running = RunningDemo(tmp_path / "run", DATABASE_URL=address, **given, **topics).launch()
    assert running.wait() == 1
    assert "DATABASE_URL" in running.said
    assert "Traceback" not in running.said
    assert not running.left_running()


def test_without_demo_the_front_page_leads_to_the_staff_pages() -> None:
    answer = Client().get("/")
    assert (answer.status_code, answer["Location"]) == (302, "/admin/")


def sender_starts(demo: RunningDemo) -> int:
    """Return how often the demo has started its senders."""
    return sum(process.starts for process in demo.state.processes if process.name.startswith("sender"))
