"""Empty the database after a test that commits: Django's flush makes all tables' files anew and every permission again, each time.

Here a table that holds little loses its rows and one that holds much, or has grown by what was deleted, gets a new file; one that was
never touched is left alone. What `migrate` makes (content types, permissions) stays, the default tenant is made again.
"""

from __future__ import annotations

from typing import Any

from django.core.management.commands import flush
from django.db import connections

# Triggers keep some rows from being deleted, and foreign keys ask for an order: neither matters where everything goes.
EMPTY = """
DO $$
DECLARE one record;
BEGIN
    PERFORM set_config('session_replication_role', 'replica', true);
    FOR one IN
        SELECT oid::regclass AS name, pg_relation_size(oid) > 65536 AS is_large FROM pg_class
        WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND pg_relation_size(oid) > 0
            AND relname NOT IN ('django_migrations', 'django_content_type', 'auth_permission')
    LOOP
        EXECUTE format(CASE WHEN one.is_large THEN 'TRUNCATE %s CASCADE' ELSE 'DELETE FROM %s' END, one.name);
    END LOOP;
END $$
"""
MAY = "SELECT has_parameter_privilege('session_replication_role', 'SET')"


def quicken_flush() -> None:
    """Let `manage.py flush`, which Django's own tests call, do this wherever the tests' role may."""
    flush.Command.handle = _empty  # type: ignore[method-assign]


_whole = flush.Command.handle


def _empty(command: flush.Command, **options: Any) -> None:
    from deliveries.apps import make_default_tenant

    with connections[options["database"]].cursor() as cursor:
        cursor.execute(MAY)
        if not cursor.fetchone()[0]:
            _whole(command, **options)
            return
        cursor.execute(EMPTY)
    make_default_tenant(using=options["database"])
