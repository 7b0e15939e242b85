"""The example of docs/adding-a-channel.md works as it is printed: its sender holds the contract, its kind makes it."""

from __future__ import annotations

import re
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from deliveries.providers import kinds
from deliveries.reasons import REASONS
from deliveries.senders.base import Message, SendError
from deliveries.senders.refusals import Kind, Meaning
from tests.unit import test_sender_contract
from tests.unit.sender_cases import SenderCase, make_message
from tests.unit.test_house import IMPURE, imported_names, is_in

PAGE = Path(__file__).resolve().parents[2] / "docs/adding-a-channel.md"
SENDER, CASE, KIND = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
NAME = "deliveries.senders.postbox"
MOST_LINES = 120
CONTRACT = [rule for name, rule in vars(test_sender_contract).items() if name.startswith("test_")]


def imported(code: str, name: str, **names: Any) -> ModuleType:
    """Return a module made of a block of the page; its errors name the page."""
    module = ModuleType(name)
    sys.modules[name] = module  # before it runs, as an import would, so that the next block finds it
    vars(module).update(names)
    exec(compile(code, f"{PAGE.name}: {name}", "exec"), vars(module))  # noqa: S102  (the page's own example)
    return module


@pytest.fixture(scope="module")
def sender() -> Iterator[ModuleType]:
    """The page's sender, as if its file were there."""
    yield imported(SENDER, NAME)
    del sys.modules[NAME]


@pytest.fixture(scope="module")
def case(sender: ModuleType) -> Iterator[SenderCase]:
    """The page's case for the contract suite."""
    name = "tests.unit.postbox_case"
    found = imported(CASE, name).POSTBOX
    assert isinstance(found, SenderCase)
    yield found
    del sys.modules[name]


def test_docs_example_has_a_rule_of_the_contract_to_hold() -> None:
    assert len(CONTRACT) > 7


@pytest.mark.parametrize("rule", CONTRACT, ids=lambda rule: rule.__name__)
async def test_docs_example_sender_holds_the_contract(
    rule: Callable[[SenderCase, Path], Awaitable[None]], case: SenderCase, tmp_path: Path
) -> None:
    assert None not in (case.temporary, case.permanent, case.silent)
    await rule(case, tmp_path)


async def test_docs_example_sender_carries_the_job_s_id_and_the_provider_s_words(
    case: SenderCase, tmp_path: Path
) -> None:
    message: Message = make_message(case.good)
    async with case.make(tmp_path, 60.0) as rig:
        first, second = [await rig.sender.send(message) for _ in range(2)]
        with pytest.raises(SendError, match=r"It said: No such mailbox\."):
            await rig.sender.send(make_message(case.permanent or ""))

        assert (first.provider, first.message_id, second.message_id) == ("postbox", "m-1", "m-1")


def test_docs_example_sender_keeps_the_rules_of_the_house(sender: ModuleType) -> None:
    meanings = [*sender.CODES.values(), sender.REFUSED, sender.BROKEN, sender.UNREADABLE]

    assert not [name for name in imported_names(SENDER) if is_in(name, IMPURE)]
    assert len(SENDER.splitlines()) < MOST_LINES
    assert all(isinstance(meaning, Meaning) for meaning in meanings)
    assert {meaning.kind for meaning in meanings} == set(Kind)
    assert not {meaning.code for meaning in meanings} - REASONS.keys()


def test_docs_example_kind_makes_the_sender(sender: ModuleType) -> None:
    module = imported(KIND, "deliveries.providers.postbox_kind", **vars(kinds))
    made = module.POSTBOX.make(kinds.complete(module.POSTBOX, {"key": "k", "from_address": "news@example.org"}), 10.0)

    assert isinstance(made, sender.PostboxSender)
    assert made.channel == module.POSTBOX.channel
    with pytest.raises(kinds.OptionError, match="from_address"):
        module.POSTBOX.make(kinds.complete(module.POSTBOX, {"key": "k", "from_address": "nobody"}), 10.0)


def test_docs_name_files_that_exist() -> None:
    named = set(re.findall(r"`((?:deliveries|tests|notifyproj)/[\w/]+(?:\.py|/))`", PAGE.read_text()))
    made_up = {"deliveries/senders/postbox.py", "tests/unit/test_postbox_sender.py"}
    assert made_up < named
    assert not [name for name in named - made_up if not (PAGE.parents[1] / name).exists()]
