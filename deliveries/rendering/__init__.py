"""Templates and plain data become Content: strict, sandboxed, cached. Nothing here sends, and nothing here knows a
delivery.

`language.py` says what a template may contain, `filters.py` what it may do with a value, `engine.py` renders,
`names.py` says what it can name, `asked.py` what it asks for, `book.py` finds the words for a tenant's template code,
`locales.py` chooses among their locales. Saving and publishing are in `deliveries/templating.py`.

What a template can name: each key of the job's `data` by itself; `data` (all of it); `contact` with `user_id`,
`name`, `email`, `phone`, `locale`, `time_zone` and `attributes`; `tenant` with `name` and `slug`; `unsubscribe_url`,
empty where nobody can unsubscribe. `data`, `contact` and `tenant` always mean these: a key of the job's data with the
same name is reached as `data.contact`.
"""

from deliveries.rendering.asked import example_data
from deliveries.rendering.book import TemplateBook
from deliveries.rendering.engine import (
    MAX_RENDERED_BYTES,
    ContentSource,
    render,
    render_inline,
    template_check,
)
from deliveries.rendering.errors import Problem, RenderError
from deliveries.rendering.locales import in_first_locale, normal_locale
from deliveries.rendering.names import contact_of, context_of

__all__ = [
    "MAX_RENDERED_BYTES",
    "ContentSource",
    "Problem",
    "RenderError",
    "TemplateBook",
    "contact_of",
    "context_of",
    "example_data",
    "in_first_locale",
    "normal_locale",
    "render",
    "render_inline",
    "template_check",
]
