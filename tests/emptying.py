"""Empty the database after a test that commits: Django's flush makes all tables' files anew and every permission again, each time.

Here a table that holds little loses its rows and one that holds much, or has grown by what was deleted, gets a new file; one that was
never touched is left alone. What `migrate` makes (content types, permissions) stays, the default tenant is made again.
"""

from __future__ import annotations

from typing import Any

from django.core.management.commands import flush
from django.db import connections

# Those that get a new file come first: a table cannot get one while rows of it that were deleted are still to be checked.
EMPTY = """
DO $$
DECLARE one record;
BEGIN
    FOR one IN
        SELECT oid::regclass AS name, pg_relation_size(oid) > 65536 AS is_large FROM pg_class
        WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND pg_relation_size(oid) > 0
            AND relname NOT IN ('django_migrations', 'django_content_type', 'auth_permission')
        ORDER BY is_large DESC
    LOOP
        EXECUTE format(CASE WHEN one.is_large THEN 'TRUNCATE %s CASCADE' ELSE 'DELETE FROM %s' END, one.name);
    END LOOP;
END $$
"""


def quicken_flush() -> None:
    """Let `manage.py flush`, which Django's own tests call, do this."""
    flush.Command.handle = _empty  # type: ignore[method-assign]


def _empty(command: flush.Command, **options: Any) -> None:
    from deliveries.apps import make_default_tenant

    with connections[options["database"]].cursor() as cursor:
        cursor.execute(EMPTY)
    make_default_tenant(using=options["database"])
