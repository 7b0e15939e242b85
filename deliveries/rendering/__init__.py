"""Templates and plain data become Content: strict, sandboxed, compiled once. Nothing here sends, and nothing here knows a
delivery.

`language.py` says what a template may contain, `filters.py` what it may do with a value, `names.py` what it can name,
`variables.py` what it declares, `asked.py` what it asks for. Once for a version: `marks.py` takes the tags out,
`markdown.py` and `frames.py` make HTML, `plain.py` the text, `places.py` says where a tag stands, `compiling.py` puts
them together. For each message: `messages.py` renders, by `quick.py` where it can, else by `engine.py`. `book.py` finds
the words for a tenant's template code, `locales.py` chooses among their locales. Saving and publishing are in
`deliveries/templating.py`.

What a template can name: each key of the job's `data` by itself; `data` (all of it); `contact` with `user_id`,
`name`, `email`, `phone`, `locale`, `time_zone` and `attributes`; `tenant` with `name` and `slug`; `unsubscribe_url`,
empty where nobody can unsubscribe. `data`, `contact` and `tenant` always mean these: a key of the job's data with the
same name is reached as `data.contact`.
"""

from deliveries.rendering.asked import asked_contact, example_contact, example_data
from deliveries.rendering.book import TemplateBook
from deliveries.rendering.engine import MAX_RENDERED_BYTES, template_check
from deliveries.rendering.errors import Problem, RenderError
from deliveries.rendering.frames import Frame
from deliveries.rendering.locales import in_first_locale, normal_locale
from deliveries.rendering.messages import render, render_inline
from deliveries.rendering.names import contact_filled, contact_of, context_of
from deliveries.rendering.publishing import (
    SAMPLE_CONTACT,
    framed_sample,
    offered_variables,
    publish_problems,
    sample_data,
    source_problems,
)
from deliveries.rendering.source import PARTS, BodyFormat, ContentSource
from deliveries.rendering.variables import TYPES, Variable, VariableError, variables_check, variables_of

__all__ = [
    "MAX_RENDERED_BYTES",
    "PARTS",
    "SAMPLE_CONTACT",
    "TYPES",
    "BodyFormat",
    "ContentSource",
    "Frame",
    "Problem",
    "RenderError",
    "TemplateBook",
    "Variable",
    "VariableError",
    "asked_contact",
    "contact_filled",
    "contact_of",
    "context_of",
    "example_contact",
    "example_data",
    "framed_sample",
    "in_first_locale",
    "normal_locale",
    "offered_variables",
    "publish_problems",
    "render",
    "render_inline",
    "sample_data",
    "source_problems",
    "template_check",
    "variables_check",
    "variables_of",
]
