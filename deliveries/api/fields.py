"""Serializer fields that are as strict as the Kafka side. DRF's own read numbers as text and hex as UUIDs, which hides mistakes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID
from zoneinfo import available_timezones

from django.core.validators import EmailValidator, RegexValidator
from rest_framework import serializers

from deliveries.jobs import InvalidJob, fields

Value = TypeVar("Value")


def _checked(take: Callable[[dict[str, Any], str, str], Value], value: Any) -> Value:
    """Judge one value by a rule of the wire format. Raises: ValidationError with that rule's words."""
    try:
        return take({"value": value}, "value", "")
    except InvalidJob as invalid:
        raise serializers.ValidationError(invalid.problem, code=invalid.reason) from None


class TextField(serializers.CharField):
    """Text and only text: a number or a boolean is refused. Kept as it came, blanks at its ends included."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"trim_whitespace": False, **options})

    def to_internal_value(self, data: Any) -> str:
        """Return the text. Raises: ValidationError."""
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class CanonicalUUIDField(serializers.UUIDField):
    """A canonical lower-case UUID other than the nil UUID, as in a job."""

    def to_internal_value(self, data: Any) -> UUID:
        """Return the UUID. Raises: ValidationError."""
        return _checked(fields.take_uuid, data)


class TimestampField(serializers.DateTimeField):
    """An RFC 3339 time with a zone, as in a job."""

    def to_internal_value(self, value: Any) -> datetime:
        """Return the time in UTC. Raises: ValidationError."""
        moment = _checked(fields.take_timestamp, value)
        if moment is None:
            self.fail("invalid", format="RFC 3339")
        return moment


def _whole(pattern: str, field: TextField) -> str:
    """Return a pattern for the whole text; OpenAPI shows it, so it also says that a field may be empty."""
    return rf"\A({pattern})?\Z" if field.allow_blank else rf"\A{pattern}\Z"


class LocaleField(TextField):
    """A language tag such as `ru` or `pt-BR`; empty where `allow_blank`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"max_length": fields.MAX_LOCALE, **options})
        self.validators.append(
            RegexValidator(_whole(fields.LOCALE_PATTERN, self), "This is no language tag. Write it like ru or pt-BR.")
        )


class TimeZoneField(TextField):
    """A name of the IANA time zone database, such as `Europe/Berlin`; empty where `allow_blank`."""

    def to_internal_value(self, data: Any) -> str:
        """Return the name. Raises: ValidationError."""
        text = super().to_internal_value(data)
        if text and text not in available_timezones():
            raise serializers.ValidationError("There is no such time zone. Write it like Europe/Berlin.", "time_zone")
        return text


class EmailField(TextField):
    """An e-mail address; empty where `allow_blank`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"max_length": 320, **options})
        self.validators.append(EmailValidator("This is no e-mail address. Write it like ana@example.com."))


class PhoneField(TextField):
    """A telephone number in the international form (E.164); empty where `allow_blank`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"max_length": 16, **options})
        international = "Write the number in the international form, like +4915112345678."
        self.validators.append(RegexValidator(_whole(r"\+[1-9][0-9]{5,14}", self), international))


class SlugField(TextField):
    """A short name of letters, digits, hyphens and underscores."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"max_length": 100, **options})
        self.validators.append(RegexValidator(r"\A[-a-zA-Z0-9_]+\Z", "Use only letters, digits, - and _."))
