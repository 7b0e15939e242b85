"""What a text costs as SMS. The known lengths are those of 3GPP TS 23.038 and 23.040."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deliveries.segments import GSM7_BASIC, GSM7_EXTENSION, Encoding, Segments, segments

GSM7, UCS2 = Encoding.GSM7, Encoding.UCS2
GSM7_TEXTS = st.text(st.sampled_from("aZ9 é\nΩ€[~"), max_size=700)
UCS2_TEXTS = st.text(st.sampled_from("aй漢😀👩\u200d€"), max_size=300).map(lambda text: f"й{text}")
ANY_TEXT = st.one_of(GSM7_TEXTS, UCS2_TEXTS, st.text())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", Segments(GSM7, 0, 0, 160)),
        ("a", Segments(GSM7, 1, 1, 160)),
        ("a" * 160, Segments(GSM7, 160, 1, 160)),
        ("a" * 161, Segments(GSM7, 161, 2, 153)),
        ("a" * 306, Segments(GSM7, 306, 2, 153)),
        ("a" * 307, Segments(GSM7, 307, 3, 153)),
        ("€" * 80, Segments(GSM7, 160, 1, 160)),
        ("a" * 159 + "€", Segments(GSM7, 161, 2, 153)),
        ("€" * 152, Segments(GSM7, 304, 2, 153)),
        ("€" * 153, Segments(GSM7, 306, 3, 153)),  # 76 a part: the last unit of each stays empty
        ("a" * 152 + "€" + "a" * 152, Segments(GSM7, 306, 3, 153)),
        ("a" * 151 + "€" + "a" * 153, Segments(GSM7, 306, 2, 153)),
        ("й" * 70, Segments(UCS2, 70, 1, 70)),
        ("й" * 71, Segments(UCS2, 71, 2, 67)),
        ("й" * 134, Segments(UCS2, 134, 2, 67)),
        ("й" * 135, Segments(UCS2, 135, 3, 67)),
        ("😀" * 35, Segments(UCS2, 70, 1, 70)),
        ("😀" * 66, Segments(UCS2, 132, 2, 67)),
        ("😀" * 67, Segments(UCS2, 134, 3, 67)),  # 33 a part
        ("й" * 66 + "😀" + "й" * 66, Segments(UCS2, 134, 3, 67)),
        ("a" * 69 + "“", Segments(UCS2, 70, 1, 70)),
        ("a" * 159 + "\u2019", Segments(UCS2, 160, 3, 67)),
    ],
)
def test_known_lengths(text: str, expected: Segments) -> None:
    assert segments(text) == expected


@pytest.mark.parametrize("character", ["ç", "`", "\t", "\x1b", "\u00a0", "“", "й", "á", "\U0001f600", "\ud83d"])
def test_one_character_beyond_gsm7_makes_the_whole_text_ucs2(character: str) -> None:
    assert segments("a" * 100).encoding is GSM7
    assert segments("a" * 100 + character).encoding is UCS2


def test_the_alphabet_is_whole() -> None:
    assert len(GSM7_BASIC) == 127  # and ESC
    assert set("\f^{}\\[~]|€") == GSM7_EXTENSION
    assert not GSM7_BASIC & GSM7_EXTENSION


def widths(text: str) -> list[int]:
    """Return what each character takes, looked at in another way than the product's."""
    if all(c in GSM7_BASIC or c in GSM7_EXTENSION for c in text):
        return [2 if c in "\f^{}\\[~]|€" else 1 for c in text]
    return [len(c.encode("utf-16-be", "surrogatepass")) // 2 for c in text]


def fewest_parts(text: str, room: int) -> int:
    """Return the fewest parts of `room` units that hold the text without splitting a character: by trying all cuts."""
    best, each = [0], widths(text)
    for end in range(1, len(each) + 1):
        begin, used = end, 0
        while begin > 0 and used + each[begin - 1] <= room:
            begin -= 1
            used += each[begin]
        best.append(1 + min(best[begin:end]))
    return best[-1]


@given(ANY_TEXT)
def test_parts_are_the_fewest_that_split_no_character(text: str) -> None:
    got = segments(text)
    assert got.units == sum(widths(text))
    assert got.parts == fewest_parts(text, got.per_part)


@given(ANY_TEXT)
def test_one_part_exactly_while_it_fits_without_a_header(text: str) -> None:
    got = segments(text)
    alone = 160 if got.encoding is GSM7 else 70
    assert (got.parts <= 1) == (got.units <= alone) == (got.per_part == alone)
    assert (got.parts == 0) == (text == "")


@given(ANY_TEXT, ANY_TEXT)
def test_more_text_never_costs_less(text: str, more: str) -> None:
    assert segments(text + more).parts >= segments(text).parts
