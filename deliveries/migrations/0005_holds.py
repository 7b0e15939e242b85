"""Holds. Nothing here locks the delivery table for longer than a look: the indexes are made beside the traffic, the constraint is
checked after it is there."""

import django.db.models.deletion
from django.contrib.postgres.operations import (
    AddConstraintNotValid,
    AddIndexConcurrently,
    RemoveIndexConcurrently,
    ValidateConstraint,
)
from django.db import migrations, models
from django.db.models import Q

# A channel that was on hold as a whole, as the dashboard's button left it, stays so.
CHANNELS_ON_HOLD = """
WITH whole AS (
    SELECT channel, max(paused_at) AS at, (array_agg(paused_by ORDER BY paused_at DESC))[1] AS by,
        (array_agg(pause_reason ORDER BY paused_at DESC))[1] AS why
    FROM deliveries_lane WHERE source = '' AND cancelled_at IS NULL GROUP BY channel HAVING bool_and(paused_at IS NOT NULL)
), made AS (
    INSERT INTO deliveries_hold (channel, reason, held_by, held_at)
    SELECT channel, coalesce(nullif(why, ''), 'No reason was given'), coalesce(nullif(by, ''), 'staff'), at FROM whole RETURNING channel
)
UPDATE deliveries_lane SET paused_at = NULL, paused_by = '', pause_reason = '', tokens = 0, tokens_at = now()
WHERE channel IN (SELECT channel FROM made) AND paused_at IS NOT NULL
"""
CHANNELS_ON_HOLD_BACK = """
UPDATE deliveries_lane l SET paused_at = h.held_at, paused_by = h.held_by, pause_reason = h.reason
FROM deliveries_hold h
WHERE h.let_go_at IS NULL AND h.template_code = '' AND h.category = '' AND coalesce(h.tenant_id = l.tenant_id, true)
    AND h.channel IN ('', l.channel) AND l.paused_at IS NULL
"""


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("deliveries", "0004_providers_and_addresses")]
    operations = [
        migrations.CreateModel(
            name="Hold",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("channel", models.CharField(blank=True, db_default="", default="", max_length=32)),
                ("template_code", models.CharField(blank=True, db_default="", default="", max_length=100)),
                ("category", models.CharField(blank=True, db_default="", default="", max_length=100)),
                ("reason", models.CharField(max_length=300)),
                ("held_by", models.CharField(max_length=150)),
                ("held_at", models.DateTimeField()),
                ("let_go_at", models.DateTimeField(blank=True, null=True)),
                ("let_go_by", models.CharField(blank=True, db_default="", default="", max_length=150)),
                ("ended_at", models.DateTimeField(blank=True, null=True)),
                ("walk_lane_id", models.BigIntegerField(db_default=0, default=0)),
                ("walk_due_at", models.DateTimeField(blank=True, null=True)),
                ("walk_id", models.BigIntegerField(db_default=0, default=0)),
                ("walked_at", models.DateTimeField(blank=True, null=True)),
                (
                    "tenant",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        to="deliveries.tenant",
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
                "constraints": [
                    models.UniqueConstraint(
                        condition=Q(("let_go_at", None)),
                        fields=("tenant", "channel", "template_code", "category"),
                        name="hold_once",
                        nulls_distinct=False,
                    ),
                    models.CheckConstraint(
                        condition=Q(
                            ("category", ""), ("channel", ""), ("template_code", ""), ("tenant", None), _negated=True
                        ),
                        name="hold_names_something",
                    ),
                    models.CheckConstraint(condition=Q(("reason", ""), _negated=True), name="hold_says_why"),
                    models.CheckConstraint(
                        condition=Q(("ended_at", None), ("let_go_at__isnull", False), _connector="OR"),
                        name="hold_ends_let_go",
                    ),
                ],
                "indexes": [models.Index(condition=Q(("ended_at", None)), fields=["id"], name="hold_open")],
            },
        ),
        migrations.AddField(
            model_name="delivery",
            name="hold",
            field=models.ForeignKey(
                blank=True,
                db_constraint=False,
                db_index=False,
                help_text="What it was put aside for. Rows of a lane that is on hold need none.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                to="deliveries.hold",
            ),
        ),
        AddConstraintNotValid(
            model_name="delivery",
            constraint=models.CheckConstraint(
                condition=Q(
                    ("hold", None),
                    Q(("lease_expires_at", None), ("next_attempt_at__isnull", False)),
                    _connector="OR",
                ),
                name="delivery_on_hold_waits",
            ),
        ),
        ValidateConstraint(model_name="delivery", name="delivery_on_hold_waits"),
        AddIndexConcurrently(
            model_name="delivery",
            index=models.Index(
                condition=Q(("hold__isnull", False)),
                fields=["hold", "lane", "next_attempt_at", "id"],
                name="delivery_on_hold",
            ),
        ),
        # The claim's index leaves out what is put aside: the new one is there before the old one goes.
        migrations.RenameIndex(model_name="delivery", old_name="delivery_waiting", new_name="delivery_waiting_before"),
        AddIndexConcurrently(
            model_name="delivery",
            index=models.Index(
                condition=Q(("lease_expires_at", None), ("next_attempt_at__isnull", False), ("hold", None)),
                fields=["channel", "lane", "next_attempt_at", "id"],
                name="delivery_waiting",
            ),
        ),
        RemoveIndexConcurrently(model_name="delivery", name="delivery_waiting_before"),
        migrations.RunSQL(CHANNELS_ON_HOLD, CHANNELS_ON_HOLD_BACK),
    ]
