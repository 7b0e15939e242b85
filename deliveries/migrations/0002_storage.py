"""Storage settings of the tables that are updated often."""

from django.db import migrations

# Every row is updated three times in its life. Room on the page keeps a start HOT; early vacuum keeps the claim's index short.
STORAGE = """
ALTER TABLE notification_delivery SET (
    fillfactor = 55,
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0,
    autovacuum_analyze_scale_factor = 0.05
);
ALTER TABLE deliveries_lane SET (fillfactor = 50);
ALTER TABLE deliveries_receipt SET (fillfactor = 50);
ALTER TABLE deliveries_outboxposition SET (fillfactor = 50);
"""
STORAGE_BACK = """
ALTER TABLE notification_delivery RESET (
    fillfactor, autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold, autovacuum_vacuum_cost_delay,
    autovacuum_analyze_scale_factor
);
ALTER TABLE deliveries_lane RESET (fillfactor);
ALTER TABLE deliveries_receipt RESET (fillfactor);
ALTER TABLE deliveries_outboxposition RESET (fillfactor);
"""


class Migration(migrations.Migration):
    dependencies = [("deliveries", "0001_initial")]
    operations = [
        migrations.RunSQL(STORAGE, STORAGE_BACK),
    ]
