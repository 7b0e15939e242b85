"""What staff enter for any kind of provider, before its sender is made."""

from __future__ import annotations

import pytest

from deliveries.providers.kinds import KINDS, OptionError, complete

SECRETS = [
    (kind.name, option.name)
    for kind in KINDS.values()
    for option in kind.options
    if option.is_secret and not option.is_multiline
]


def given(kind: str, **values: str) -> dict[str, object]:
    """Return the least that a kind asks for."""
    least = {option.name: {} if option.type is dict else "x" for option in KINDS[kind].options if option.is_required}
    return {**least, **values}


@pytest.mark.parametrize(("kind", "name"), SECRETS)
def test_no_secret_of_one_line_has_a_line_break_and_none_is_told(kind: str, name: str) -> None:
    with pytest.raises(OptionError) as caught:
        complete(KINDS[kind], given(kind, **{name: "hush\nhush"}))
    assert caught.value.field == name and "hush" not in caught.value.message


@pytest.mark.parametrize("secret", ["hush\r\n", "hu\x00sh", "hu\x7fsh", "hu\x85sh", "\thush"])
def test_nor_another_control_character(secret: str) -> None:
    with pytest.raises(OptionError):
        complete(KINDS["smtp"], given("smtp", password=secret))


def test_a_secret_of_several_lines_and_one_of_any_other_characters_are_taken() -> None:
    key = "-----BEGIN PRIVATE KEY-----\r\nMII\n-----END PRIVATE KEY-----\n"
    assert complete(KINDS["push"], given("push", apns_key=key))["apns_key"] == key
    assert complete(KINDS["smtp"], given("smtp", password="пароль ß"))["password"] == "пароль ß"
