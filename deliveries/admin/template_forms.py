"""What the editor's page posts, read and judged: rows of words by language, rows of declared fields, the settings beside them.

Whatever is wrong, the rows keep what was typed, so that the page can show it again. Saving is `deliveries/drafts.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from django import forms
from django.core.validators import RegexValidator
from django.http import QueryDict

from deliveries.drafts import PART_NAMES, Draft, parts_of
from deliveries.jobs.fields import LOCALE_PATTERN, MAX_LOCALE
from deliveries.models import TemplateContent
from deliveries.rendering import TYPES, ContentSource, Problem, Variable, normal_locale
from deliveries.rendering.variables import NAME

WORDS: Final = "contents"
FIELDS: Final = "fields"
#: There where it is declared that no field may be used; without rows and without it, nothing is declared.
NONE_ALLOWED: Final = "fields-NONE"
#: What problems of declared fields name as their part.
VARIABLES: Final = "variables"
#: Twice what the API takes: rows that were removed still count.
MOST_ROWS: Final = 200
MORE: Final = ("text", "action_url", "from_address", "reply_to")
#: Typed in as they are; values of other types as JSON.
TYPED_AS_TEXT: Final = frozenset({"text", "date", "url"})
WRITTEN: Final = tuple(PART_NAMES)


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a form as it was typed: `value` by field; `name` is what each field is called in the page."""

    prefix: str
    index: int | str
    value: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> dict[str, str]:
        """The name of each field in the page."""
        names = [*WordsForm.base_fields, *FieldForm.base_fields]
        return {each: f"{self.prefix}-{self.index}-{each}" for each in names}

    @property
    def has_more(self) -> bool:
        """Whether something stands in the part of the words that is folded away."""
        return any(self.value.get(part) for part in MORE)


@dataclass(frozen=True, slots=True)
class Posted:
    """What stood in the page. `problems` empty: `draft` may be saved as far as the form can tell."""

    words: list[Row]
    fields: list[Row]
    draft: Draft
    problems: list[Problem]


def _written(length: int | None = None) -> forms.CharField:
    return forms.CharField(max_length=length, required=False, strip=False)


class WordsForm(forms.Form):
    """One language's words, as far as a form can judge them. What they mean is checked when they are saved."""

    locale = forms.CharField(
        max_length=MAX_LOCALE,
        validators=[RegexValidator(rf"\A{LOCALE_PATTERN}\Z", "This is no language tag. Write it like ru or pt-BR.")],
    )
    subject = _written(500)
    preheader = _written(500)
    body_format = forms.ChoiceField(choices=TemplateContent.BodyFormat.choices, required=False)
    markdown = _written()
    html = _written()
    text = _written()
    action_url = _written(2000)
    from_address = _written(320)
    reply_to = _written(320)
    DELETE = forms.BooleanField(required=False)


class FieldForm(forms.Form):
    """One declared field."""

    name = forms.RegexField(
        rf"\A{NAME.pattern}\Z",
        error_messages={"invalid": "A name begins with a letter and has at most 63 letters, digits and _."},
    )
    type = forms.ChoiceField(choices=[(each, each) for each in TYPES])
    required = forms.BooleanField(required=False)
    fallback = forms.CharField(required=False, max_length=2000)
    sample = forms.CharField(required=False, max_length=2000)
    help = forms.CharField(required=False, max_length=300)
    DELETE = forms.BooleanField(required=False)


def read(posted: QueryDict) -> Posted:
    """Read what the page posted. Rows without a single word are left out, as are those marked for removal from the draft."""
    words = [row for row in _rows(posted, WORDS, WordsForm) if _says(row, ("locale", *WRITTEN))]
    declared = [row for row in _rows(posted, FIELDS, FieldForm) if _says(row, ("name", "fallback", "sample"))]
    problems = _missing_rows(posted, WORDS) + _missing_rows(posted, FIELDS)
    contents: dict[str, ContentSource] = {}
    for row in words:
        if row.value["DELETE"]:
            continue
        problems += _form_problems(WordsForm(_unprefixed(row)), row)
        locale = row.value["locale"]
        if normal_locale(locale) in {normal_locale(each) for each in contents}:
            problems.append(Problem(1, 1, f"The language {locale} is there twice.", locale=locale, part="locale"))
        contents[locale] = _source(row)
    variables: list[Variable] = []
    for row in declared:
        if not row.value["DELETE"]:
            problems += _form_problems(FieldForm(_unprefixed(row)), row)
            variables.append(_variable(row, problems))
    default_locale = posted.get("default_locale", "").strip()
    if not default_locale:
        problems.append(Problem(1, 1, "Name the default language.", part="default_locale"))
    draft = Draft(
        contents,
        default_locale,
        tuple(variables) if variables or NONE_ALLOWED in posted else None,
        "hides_personal_data" in posted,
    )
    return Posted(words, declared, draft, problems)


def rows_of(draft: Draft) -> tuple[list[Row], list[Row]]:
    """Return the rows that show a stored draft: words, and declared fields."""
    words = [
        Row(WORDS, index, {"locale": locale, **parts_of(source)})
        for index, (locale, source) in enumerate(draft.contents.items())
    ]
    declared = [
        Row(FIELDS, index, {**each.as_json(), "fallback": _typed(each.fallback), "sample": _typed(each.sample)})
        for index, each in enumerate(draft.variables or ())
    ]
    return words, declared


def blank(prefix: str, index: int | str, **value: Any) -> Row:
    """Return a row to be filled in."""
    return Row(prefix, index, value)


def _rows(posted: QueryDict, prefix: str, form: type[WordsForm] | type[FieldForm]) -> Iterable[Row]:
    for index in range(min(_total(posted, prefix), MOST_ROWS)):
        value = {name: posted.get(f"{prefix}-{index}-{name}", "").replace("\r\n", "\n") for name in form.base_fields}
        yield Row(prefix, index, value)


def _missing_rows(posted: QueryDict, prefix: str) -> list[Problem]:
    if _total(posted, prefix) <= MOST_ROWS:
        return []
    told = f"More than {MOST_ROWS} rows were sent; a template has at most 100 languages and 100 fields."
    return [Problem(1, 1, told, part=VARIABLES if prefix == FIELDS else "")]


def _total(posted: QueryDict, prefix: str) -> int:
    total = posted.get(f"{prefix}-TOTAL", "")
    return int(total) if total.isdecimal() and len(total) < 6 else 0


def _says(row: Row, names: Iterable[str]) -> bool:
    return any(row.value[name].strip() for name in names if name != "body_format")


def _unprefixed(row: Row) -> dict[str, Any]:
    return {name: value for name, value in row.value.items() if value != ""}


def _form_problems(form: forms.BaseForm, row: Row) -> list[Problem]:
    place = row.value.get("locale") or ""
    named = f"{row.value['name']}: " if row.prefix == FIELDS and row.value.get("name") else ""
    return [
        Problem(1, 1, f"{named}{error}", locale=place, part=part if row.prefix == WORDS else VARIABLES)
        for part, errors in form.errors.items()
        for error in errors
    ]


def _source(row: Row) -> ContentSource:
    parts = {part: row.value[part] for part in WRITTEN}
    parts["body_format"] = parts["body_format"] or TemplateContent.BodyFormat.MARKDOWN.value
    return ContentSource(**parts, locale=row.value["locale"])


def _variable(row: Row, problems: list[Problem]) -> Variable:
    name, kind, required = row.value["name"].strip(), row.value["type"] or TYPES[0], bool(row.value["required"])
    # What is not required stays empty where nothing else stands in.
    values: dict[str, Any] = {
        "fallback": None if required else row.value["fallback"],
        "sample": row.value["sample"] or None,
    }
    for what, text in values.items():
        if text and kind not in TYPED_AS_TEXT:
            try:
                values[what] = json.loads(text)
            except ValueError:
                problems.append(Problem(1, 1, f"{name}: its {what} must be a {kind}, written as JSON.", part=VARIABLES))
    return Variable(name, kind, required, values["fallback"], values["sample"], row.value["help"])


def _typed(value: Any) -> str:
    """Return a stored value as it is typed."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
