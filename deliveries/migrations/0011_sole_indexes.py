"""One index a look-up: a sender's session plans its statements once, and must not find an index of the tenant alone beside the right one.

Nothing here locks a table for longer than a look: the unique index is made beside the traffic, and takes the old one's place at once.
"""

import django.db.models.deletion
from django.db import migrations, models

MAKE = "CREATE UNIQUE INDEX CONCURRENTLY contact_person ON deliveries_contact ({columns})"
PUT_IN_PLACE = """
ALTER TABLE deliveries_contact DROP CONSTRAINT contact_once_per_tenant,
    ADD CONSTRAINT contact_once_per_tenant UNIQUE USING INDEX contact_person
"""


def without_index(model, related_name, suffix):
    """Drop the index of a model's `tenant`, which another index begins with."""
    named = {"related_name": related_name} if related_name else {}
    tenant = models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, to="deliveries.tenant", **named)
    table = f"deliveries_{model}"
    index = f"{table}_tenant_id_{suffix}"
    return migrations.SeparateDatabaseAndState(
        state_operations=[migrations.AlterField(model_name=model, name="tenant", field=tenant)],
        database_operations=[
            migrations.RunSQL(
                f"DROP INDEX CONCURRENTLY IF EXISTS {index}",
                f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {index} ON {table} (tenant_id)",
            )
        ],
    )


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("deliveries", "0010_categories")]
    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.RemoveConstraint(model_name="contact", name="contact_once_per_tenant"),
                migrations.AddConstraint(
                    model_name="contact",
                    constraint=models.UniqueConstraint(fields=("user_id", "tenant"), name="contact_once_per_tenant"),
                ),
            ],
            database_operations=[
                # What a broken run left behind is made anew.
                migrations.RunSQL("DROP INDEX CONCURRENTLY IF EXISTS contact_person", migrations.RunSQL.noop),
                migrations.RunSQL(MAKE.format(columns="user_id, tenant_id"), PUT_IN_PLACE),
                migrations.RunSQL(PUT_IN_PLACE, MAKE.format(columns="tenant_id, user_id")),
            ],
        ),
        without_index("contact", "contacts", "bd9746b5"),
        without_index("device", "devices", "cadb25f1"),
        without_index("lane", None, "6e00e4fd"),
        without_index("optout", "opt_outs", "d35276f8"),
        without_index("receipt", None, "d96ffbeb"),
        without_index("suppression", "suppressions", "db2c5cb3"),
        without_index("webhookendpoint", "webhook_endpoints", "2b87f29f"),
    ]
