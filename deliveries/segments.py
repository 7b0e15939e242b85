"""How many messages a text costs as SMS: encoding, length and parts (3GPP TS 23.038 and 23.040). Pure; sends and stores nothing."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

#: The default alphabet (3GPP TS 23.038, 6.2.1) without ESC, which only introduces the extension table.
GSM7_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
#: The extension table (6.2.1.1): each of these takes ESC and a second septet.
GSM7_EXTENSION = frozenset("\f^{}\\[~]|€")
_GSM7 = GSM7_BASIC | GSM7_EXTENSION
_FIRST_BEYOND_UCS2 = "\U00010000"


class Encoding(StrEnum):
    """How a text travels. One character beyond GSM-7 makes the whole text UCS-2."""

    GSM7 = "GSM-7"
    UCS2 = "UCS-2"


#: Units (septets, UTF-16 code units) of a text that is one message, and of each part of one that is several: a part
#: gives six octets to the header that joins it to the others (TS 23.040, 9.2.3.24.1).
_ROOM = {Encoding.GSM7: (160, 153), Encoding.UCS2: (70, 67)}


@dataclass(frozen=True, slots=True)
class Segments:
    """What a text costs. `units`: septets or UTF-16 code units. `per_part`: how many of them each of its parts holds."""

    encoding: Encoding
    units: int
    parts: int
    per_part: int


def segments(text: str) -> Segments:
    """Count the parts of a text. An empty one has none.

    Neither an extension character (two septets) nor a surrogate pair (an emoji, two code units) is split over two
    parts: where only one unit is left, the pair starts the next part, so a text may need a part more than its units say.
    """
    encoding = Encoding.GSM7 if _GSM7.issuperset(text) else Encoding.UCS2
    if encoding is Encoding.GSM7:
        is_pair = [character in GSM7_EXTENSION for character in text]
    else:
        is_pair = [character >= _FIRST_BEYOND_UCS2 for character in text]
    units = len(text) + sum(is_pair)
    alone, joined = _ROOM[encoding]
    if units <= alone:
        return Segments(encoding, units, parts=min(units, 1), per_part=alone)
    return Segments(encoding, units, parts=_parts(is_pair, joined), per_part=joined)


def _parts(is_pair: list[bool], room: int) -> int:
    parts, left = 1, room
    for pair in is_pair:
        width = 2 if pair else 1
        if width > left:
            parts, left = parts + 1, room
        left -= width
    return parts
