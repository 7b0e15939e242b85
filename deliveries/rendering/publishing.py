"""What has to hold before words go out: complete, sound, declared, and rendered with samples and with long lists. Pure.

Every problem names locale, part, line and column of what a person wrote.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from email.utils import parseaddr
from typing import Any, Final

from deliveries.rendering.asked import asked_names, example_contact, example_data
from deliveries.rendering.bounds import html_check
from deliveries.rendering.compiling import compile_source
from deliveries.rendering.engine import template_check
from deliveries.rendering.errors import Problem, RenderError
from deliveries.rendering.frames import Frame
from deliveries.rendering.language import place
from deliveries.rendering.locales import in_first_locale, normal_locale
from deliveries.rendering.marks import Marks
from deliveries.rendering.messages import render
from deliveries.rendering.names import context_of
from deliveries.rendering.places import unsafe_of
from deliveries.rendering.source import PARTS, ContentSource
from deliveries.rendering.variables import Variable

#: The longest list that a template must bear, and the longest inside an item of it.
PLAUSIBLE_ITEMS: Final = 200
PLAUSIBLE_INNER_ITEMS: Final = 10
SAMPLE_CONTACT: Final = {
    "user_id": "00000000-0000-4000-8000-000000000000",
    "name": "Ana Example",
    "email": "ana@example.com",
    "phone": "+12025550100",
    "locale": "en",
    "time_zone": "UTC",
}
SAMPLE_TENANT: Final = {"name": "Example", "slug": "example"}
SAMPLE_WORDS: Final = """# A heading

Hello Ana,

this is how your mails look, with **bold** words and [a link](https://example.com/).

- One thing
- Another

**[A button](https://example.com/)**
"""


def framed_sample(frame: Frame, *, locale: str = "en", tenant: Mapping[str, str] = SAMPLE_TENANT) -> str:
    """Return a frame around a few words, as it is sent. Raises: RenderError for a frame that is not sound."""
    source = ContentSource("A sample", body_format="markdown", markdown=SAMPLE_WORDS, frame=frame, locale=locale)
    return render(source, context_of({}, contact=SAMPLE_CONTACT, tenant=tenant)).html


def source_problems(sources: Mapping[str, ContentSource]) -> list[Problem]:
    """Return what is no template language, in any part of any locale."""
    return [
        replace(problem, locale=locale, part=part)
        for locale, source in sources.items()
        for part in PARTS
        for problem in template_check(getattr(source, part), html=part in ("html", "markdown"))
    ]


def publish_problems(sources: Mapping[str, ContentSource], *, default_locale: str) -> list[Problem]:
    """Return everything that keeps words from going out. Empty: they may."""
    problems = [*_gaps(sources, default_locale), *source_problems(sources)]
    if problems:
        return problems
    for locale, source in sources.items():
        found = [*_undeclared(source), *_unsafe(source)] or list(_rendered(source))
        problems += [replace(problem, locale=locale) for problem in found]
    return problems


def sample_data(sources: Mapping[str, ContentSource]) -> dict[str, Any]:
    """Return a job's data that the words can be rendered with: the declared samples, and a guess for the rest."""
    guess = example_data(getattr(source, part) for source in sources.values() for part in source.written)
    declared = next((source.variables for source in sources.values()), None)
    if declared is None:
        return guess
    return {each.name: _sample(each, guess.get(each.name)) for each in declared}


def offered_variables(sources: Mapping[str, ContentSource]) -> list[Variable]:
    """Return a declaration for each name that the words ask for, its type guessed by how it is used."""
    guess = example_data(getattr(source, part) for source in sources.values() for part in source.written)
    return [Variable(name, _type_of(value), sample=value) for name, value in guess.items()]


def _type_of(value: Any) -> Any:
    if isinstance(value, str):
        return "url" if value.startswith("https://") else "text"
    return {bool: "boolean", int: "number", float: "number", list: "list", dict: "object"}[type(value)]


def _sample(variable: Variable, guess: Any) -> Any:
    sample = variable.example()
    is_bare = variable.sample is None and variable.type in ("list", "object", "text")
    return guess if is_bare and guess is not None and _type_of(guess) == variable.type else sample


def _gaps(sources: Mapping[str, ContentSource], default_locale: str) -> Iterator[Problem]:
    if in_first_locale({normal_locale(locale): locale for locale in sources}, [default_locale]) is None:
        yield Problem(1, 1, f"There is no text for the default locale {default_locale}.")
    for locale, source in sources.items():
        if not source.subject.strip():
            yield Problem(1, 1, "It is empty.", locale=locale, part="subject")
        body = source.markdown if source.body_format == "markdown" else source.html
        if not source.text.strip() and not body.strip():
            part = "markdown" if source.body_format == "markdown" else "text"
            yield Problem(1, 1, "It is empty.", locale=locale, part=part)


def _undeclared(source: ContentSource) -> Iterator[Problem]:
    if source.variables is None:
        return
    declared = {each.name for each in source.variables}
    for part in source.written:
        text = getattr(source, part)
        for name, position in asked_names(text).items():
            if name not in declared:
                message = f"{name} is not declared. Declare it with its type, or mend its name."
                yield Problem(*place(text, position), message, part=part)


def _unsafe(source: ContentSource) -> Iterator[Problem]:
    if source.body_format == "markdown" or not source.html:
        return
    try:
        html_check(source.html)
    except RenderError as error:
        yield _problem(error)
        return
    marks = Marks([source.html])
    for word, message in unsafe_of(marks.take(source.html, "html"), marks):
        yield Problem(*place(source.html, marks.origin(word).position), message, part="html")


def _rendered(source: ContentSource) -> Iterator[Problem]:
    """Render with samples, with what may be missing missing, and with long lists; stop at the first problem."""
    try:
        compile_source(source)
    except RenderError as error:
        yield _problem(error)
        return
    sources = {source.locale: source}
    sample = sample_data(sources)
    contact = {**SAMPLE_CONTACT, **example_contact(getattr(source, part) for part in source.written)}
    trials = [(_long(sample), True)]
    if source.variables is not None:
        least = {each.name: sample[each.name] for each in source.variables if each.required}
        trials = [(sample, False), (least, False), *trials]
    for data, only_bounds in trials:
        try:
            content = render(source, context_of(data, contact=contact, tenant=SAMPLE_TENANT))
        except RenderError as error:
            is_bound = error.code == "too_large" or "too many steps" in error.message
            if only_bounds and not is_bound and source.variables is None:
                return  # a guess, and no proof
            where = f" With lists of {PLAUSIBLE_ITEMS} items." if only_bounds and is_bound else ""
            yield replace(_problem(error), message=f"{error.message}{where}")
            return
        for part in ("from_address", "reply_to"):
            address = getattr(content, part)
            if address and "@" not in parseaddr(address)[1]:
                yield Problem(1, 1, f"{address!r} is no e-mail address.", part=part)
                return


def _long(value: Any, depth: int = 0) -> Any:
    """Return data with every list as long as a template must bear."""
    if isinstance(value, dict):
        return {name: _long(each, depth) for name, each in value.items()}
    if isinstance(value, list) and value:
        items = [_long(each, depth + 1) for each in value]
        wanted = PLAUSIBLE_INNER_ITEMS if depth else PLAUSIBLE_ITEMS
        return [items[index % len(items)] for index in range(max(wanted, len(items)))]
    return value


def _problem(error: RenderError) -> Problem:
    return Problem(error.line or 1, error.column or 1, error.message, part=error.part)
