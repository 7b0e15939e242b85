"""Every code that a sender's tables can give has a row of its own, so that staff never read "it ended with the code"."""

from __future__ import annotations

import ast
import importlib
import pkgutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from deliveries import senders
from deliveries.phones import BAD_ADDRESS
from deliveries.reasons import REASONS, describe
from deliveries.reasons.row import OTHER
from deliveries.senders import codes_webhook, http
from deliveries.senders.refusals import Kind, Meaning

FOLDERS = [Path(path) for path in senders.__path__]
PROVIDERS = FOLDERS[0].parent / "providers"
# Whoever makes an error in place: the name of the call, and which argument is the code.
MAKERS = {"SendError": 0, "Meaning": 1, "refused": 0, "Cut": 0, "_broken": 0}


def meanings_in(value: Any) -> Iterator[Meaning]:
    """Yield what a module's value holds of meanings, in whatever tables."""
    if isinstance(value, Meaning):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from meanings_in(each)


@cache
def table_codes() -> frozenset[str]:
    """Return the codes of every table in the senders' package; a new file is looked through without being named here."""
    modules = [
        importlib.import_module(f"{senders.__name__}.{found.name}") for found in pkgutil.iter_modules(senders.__path__)
    ]
    tables = {meaning.code for module in modules for value in vars(module).values() for meaning in meanings_in(value)}
    statuses = {codes_webhook.meaning_of(status).code for status in range(100, 1000)}
    return frozenset({*tables, *statuses, *(code for _kinds, code, _what in http._FAULTS), BAD_ADDRESS})


@cache
def written_codes() -> frozenset[str]:
    """Return the codes that senders and the chain write in place."""
    found = set()
    for path in [path for folder in (*FOLDERS, PROVIDERS) for path in folder.glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            name = getattr(getattr(node, "func", None), "id", getattr(getattr(node, "func", None), "attr", ""))
            if isinstance(node, ast.Call) and name in MAKERS and len(node.args) > MAKERS[name]:
                argument = node.args[MAKERS[name]]
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    found.add(argument.value)
    return frozenset(found)


def test_the_tables_are_looked_through() -> None:
    assert {"recipient_opted_out", "apns_wrong_topic", "fcm_unknown_project", "webpush_wrong_key"} <= table_codes()
    assert {"endpoint_gone", "http_404", "http_503", "tls_error", "account_refused"} <= table_codes()
    assert {"no_device", "no_live_device", "bad_secret", "bad_url", "timeout", "connection_lost"} <= written_codes()


@pytest.mark.parametrize("code", sorted(table_codes() | written_codes()))
def test_each_code_of_a_sender_has_its_row(code: str) -> None:
    reason = describe(code)

    assert reason.anchor != OTHER
    assert code in REASONS or code.startswith("http_")


@pytest.mark.parametrize("status", [400, 404, 408, 410, 422, 425, 429, 500, 503, 599])
def test_a_webhook_s_status_is_told_as_its_table_means_it(status: int) -> None:
    meaning, reason = codes_webhook.meaning_of(status), describe(codes_webhook.meaning_of(status).code)

    assert ("tried again" in meaning.sentence) is (meaning.kind is Kind.TEMPORARY)
    assert ("tried again" in reason.fix) is (meaning.kind is Kind.TEMPORARY)


def test_an_empty_message_is_not_only_the_inbox_s() -> None:
    assert "inbox" not in REASONS["empty_message"].sentence.lower()
