"""Which of a template's locales somebody gets. Pure: the senders' book, the previews and publishing all ask here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

T = TypeVar("T")


def normal_locale(locale: str) -> str:
    """Return a locale as it is compared: `pt_BR` and `pt-br` are one."""
    return locale.strip().replace("_", "-").lower()


def in_first_locale(by_locale: Mapping[str, T], locales: Iterable[str]) -> T | None:
    """Return what `by_locale` (its keys are normal) has for the first of `locales`: each itself, then its language
    (pt-BR, pt). None: it has none of them."""
    for locale in locales:
        if locale in by_locale:
            return by_locale[locale]
        wanted = normal_locale(locale)
        for candidate in (wanted, wanted.partition("-")[0]):
            if candidate in by_locale:
                return by_locale[candidate]
    return None
