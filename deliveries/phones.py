"""Phone numbers: what a person wrote becomes E.164, or a reason why it cannot. Pure; asks no provider."""

from __future__ import annotations

from typing import Final

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberFormat, ValidationResult

BAD_ADDRESS: Final = "bad_address"

_PARSE_REASONS: Final = {
    NumberParseException.INVALID_COUNTRY_CODE: "it begins with no country code that exists; write it as +49 30 123456",
    NumberParseException.NOT_A_NUMBER: "it is no phone number",
    NumberParseException.TOO_SHORT_AFTER_IDD: "it ends after the prefix for calls abroad",
    NumberParseException.TOO_SHORT_NSN: "it is too short",
    NumberParseException.TOO_LONG: "it is too long",
}
_LENGTH_REASONS: Final = {
    ValidationResult.TOO_SHORT: "it is too short for its country",
    ValidationResult.TOO_LONG: "it is too long for its country",
    ValidationResult.INVALID_LENGTH: "no number of its country has that many digits",
    ValidationResult.IS_POSSIBLE_LOCAL_ONLY: "its area code is missing",
    ValidationResult.INVALID_COUNTRY_CODE: "it begins with no country code that exists",
}


class BadPhoneNumber(ValueError):
    """Not a number that a text can go to. `code` is the reason's word, the same for every cause; the message says the cause."""

    code = BAD_ADDRESS

    def __init__(self, number: str, cause: str) -> None:
        super().__init__(f"{number[:40]!r} is not a phone number we can send to: {cause}. Correct the contact.")


def e164(number: str, *, region: str = "") -> str:
    """Return a number as E.164 (`+4930123456`).

    `region` (ISO 3166, `DE`) says whose national numbers are meant when the country code is missing; without it such a
    number is refused. Judged by length and country code only: which ranges are in use changes faster than any list, and
    a provider's refusal costs less than a person who is never reached. Raises: BadPhoneNumber.
    """
    if any(character.isalpha() for character in number):  # the library would drop a stray letter, and reach a stranger
        raise BadPhoneNumber(number, "it has letters in it")
    if "+" not in number and "\uff0b" not in number and not region:
        raise BadPhoneNumber(number, "its country code is missing; write it as +49 30 123456")
    try:
        parsed = phonenumbers.parse(number, region or None)
    except NumberParseException as error:
        raise BadPhoneNumber(number, _PARSE_REASONS.get(error.error_type, "it is no phone number")) from error
    if parsed.extension:
        raise BadPhoneNumber(number, "a text cannot reach an extension")
    verdict = phonenumbers.is_possible_number_with_reason(parsed)
    if verdict != ValidationResult.IS_POSSIBLE:
        raise BadPhoneNumber(number, _LENGTH_REASONS[verdict])
    return phonenumbers.format_number(parsed, PhoneNumberFormat.E164)


def known_region(region: str) -> str:
    """Return a region that `e164` takes, "" for none. Raises: ValueError for one that does not exist."""
    if region and region not in phonenumbers.SUPPORTED_REGIONS:
        raise ValueError(f"{region!r} is no region; give two capital letters of ISO 3166, such as DE.")
    return region
