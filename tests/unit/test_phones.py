"""Phone numbers as people write them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deliveries.phones import BadPhoneNumber, e164, known_region


@pytest.mark.parametrize(
    ("written", "region", "expected"),
    [
        ("+49 30 123456", "", "+4930123456"),
        ("+4930123456", "US", "+4930123456"),
        ("\uff0b49 30 123456", "", "+4930123456"),
        (" +49 (0)30 / 123-456\n", "", "+4930123456"),
        ("030 123456", "DE", "+4930123456"),
        ("0049 30 123456", "DE", "+4930123456"),
        ("(415) 555-2671", "US", "+14155552671"),
        ("+39 06 6981 2345", "", "+390669812345"),  # Italy keeps its zero
        ("+\u0664\u0669\u0663\u0660\u0661\u0662\u0663\u0664\u0665\u0666", "", "+4930123456"),
        ("+15005550006", "", "+15005550006"),
    ],
)
def test_numbers_become_e164(written: str, region: str, expected: str) -> None:
    assert e164(written, region=region) == expected


@pytest.mark.parametrize(
    ("written", "region", "cause"),
    [
        ("", "DE", "no phone number"),
        (" ", "DE", "no phone number"),
        ("anna@example.org", "DE", "letters"),
        ("+1-800-FLOWERS", "", "letters"),
        ("O30 123456", "DE", "letters"),
        ("030 123456 x12", "DE", "letters"),
        ("030 123456 #12", "DE", "extension"),
        ("030 123456", "", "country code is missing"),
        ("0049 30 123456", "", "country code is missing"),
        ("+999 30 123456", "", "no country code that exists"),
        ("+49", "", "no phone number"),
        ("+1 415 555", "", "too short"),
        ("+1 415 555 2671 999", "", "too long"),
        ("+49 30 " + "1" * 300, "", "too long"),
        ("555-2671", "US", "area code is missing"),
    ],
)
def test_what_no_text_can_go_to_is_refused_with_its_cause(written: str, region: str, cause: str) -> None:
    with pytest.raises(BadPhoneNumber, match=cause) as caught:
        e164(written, region=region)

    assert caught.value.code == "bad_address"
    assert str(caught.value).endswith("Correct the contact.")
    assert len(str(caught.value)) < 200


@given(st.text() | st.from_regex(r"[+ ()0-9/.#-]{0,30}"), st.sampled_from(["", "DE", "US"]))
def test_any_text_is_a_number_or_refused(written: str, region: str) -> None:
    try:
        number = e164(written, region=region)
    except BadPhoneNumber:
        return
    assert re.fullmatch(r"\+[1-9][0-9]{3,16}", number)
    assert e164(number) == number


def test_regions() -> None:
    assert known_region("DE") == "DE"
    assert known_region("") == ""
    with pytest.raises(ValueError, match="ISO 3166"):
        known_region("Germany")
