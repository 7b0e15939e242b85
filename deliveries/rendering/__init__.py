"""Templates and plain data become Content: strict, sandboxed, cached. Nothing here sends, and nothing here knows a
delivery.

`language.py` says what a template may contain, `filters.py` what it may do with a value, `engine.py` renders,
`book.py` finds the words for a tenant's template code. Saving and publishing are in `deliveries/templating.py`.

What a template can name: each key of the job's `data` by itself; `data` (all of it); `contact` with `user_id`,
`name`, `email`, `phone`, `locale`, `time_zone` and `attributes`; `tenant` with `name` and `slug`. `data`, `contact`
and `tenant` always mean these: a key of the job's data with the same name is reached as `data.contact`.
"""

from deliveries.rendering.book import TemplateBook
from deliveries.rendering.engine import (
    MAX_RENDERED_BYTES,
    ContentSource,
    context_of,
    render,
    render_inline,
    template_check,
)
from deliveries.rendering.errors import Problem, RenderError

__all__ = [
    "MAX_RENDERED_BYTES",
    "ContentSource",
    "Problem",
    "RenderError",
    "TemplateBook",
    "context_of",
    "render",
    "render_inline",
    "template_check",
]
