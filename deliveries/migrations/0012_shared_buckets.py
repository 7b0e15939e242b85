"""Lanes may share a token bucket: those of a broadcast go out at one speed together. Lanes that are there keep their own.

Each keeps the pace as well, so that senders which know nothing of buckets send no more than that from each lane.
"""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("deliveries", "0011_sole_indexes")]
    operations = [
        migrations.AddField(
            model_name="lane",
            name="bucket",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                help_text="The lane whose tokens and pace are this one's too. Empty: it has its own.",
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="+",
                to="deliveries.lane",
            ),
        ),
    ]
