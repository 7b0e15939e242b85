"""Blank: what every statement that ends deliveries adds, so that those of a template that hides personal data lose it in the
same moment.

The job's `data` goes, and what a far end said back; its id, its body's hash and its status stay, so a repeat is still
known as one. What was rendered is kept for one reader only: the person's own inbox. A blanked row cannot be sent again,
because nobody has its words.
"""

from __future__ import annotations

from deliveries.senders.refusals import SAID


def hides(row: str) -> str:
    """Return the condition that a row's template hides personal data. Those few templates are read once a statement."""
    return (
        f"({row}.tenant_id, {row}.template_code) IN"
        " (SELECT tenant_id, code::text FROM deliveries_template WHERE hides_personal_data)"
    )


def told(message: str, row: str = "d") -> str:
    """Return what is kept of an error's words: where the template hides, nothing of what the far end said, which may be the message."""
    return f"CASE WHEN {hides(row)} THEN split_part({message}, '{SAID}', 1) ELSE {message} END"


def blanked(row: str = "d", *, when: str = "true") -> str:
    """Return the assignments of an UPDATE that ends a row `when`."""
    over = f"{when} AND {hides(row)}"
    return f"""data = CASE WHEN {over} THEN '{{}}' ELSE {row}.data END,
        blanked_at = CASE WHEN {over} THEN statement_timestamp() END"""
