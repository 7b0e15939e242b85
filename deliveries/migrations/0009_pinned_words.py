import django.db.models.manager
from django.db import migrations, models


# As in 0007, with the column that came since.
KEEP_PUBLISHED_VERSION = """
CREATE OR REPLACE FUNCTION deliveries_keep_published_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF EXISTS (SELECT FROM notification_delivery WHERE template_version_id = OLD.id) THEN
            RAISE EXCEPTION 'version % of template % was sent and stays', OLD.number, OLD.template_id USING ERRCODE = '23001';
        END IF;
        RETURN OLD;
    END IF;
    IF (NEW.id, NEW.template_id, NEW.number, NEW.state, NEW.default_locale, NEW.variables, {new}NEW.created_at, NEW.published_at)
        IS DISTINCT FROM
        (OLD.id, OLD.template_id, OLD.number, OLD.state, OLD.default_locale, OLD.variables, {old}OLD.created_at, OLD.published_at)
    THEN
        RAISE EXCEPTION 'version % of template % is published and never changes', OLD.number, OLD.template_id
            USING ERRCODE = '23001';
    END IF;
    RETURN NEW;
END $$
"""


class Migration(migrations.Migration):
    dependencies = [("deliveries", "0008_notices")]

    operations = [
        migrations.AddField(
            model_name="template",
            name="pinned_for",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                editable=False,
                help_text="What this is a copy for, such as broadcast:17. Empty: people write it.",
                max_length=100,
            ),
        ),
        migrations.AddField(
            model_name="templateversion",
            name="contact_fallbacks",
            field=models.JSONField(
                blank=True,
                editable=False,
                help_text="What stands in for a contact's empty fields, such as name, or attributes.city."
                " Only pinned copies have any.",
                null=True,
            ),
        ),
        migrations.AlterModelOptions(
            name="template", options={"base_manager_name": "with_pinned", "ordering": ["code"]}
        ),
        migrations.AlterModelManagers(
            name="template",
            managers=[
                ("objects", django.db.models.manager.Manager()),
                ("with_pinned", django.db.models.manager.Manager()),
            ],
        ),
        migrations.AddIndex(
            model_name="contact", index=models.Index(fields=["tenant", "id"], name="contact_in_order")
        ),
        migrations.RunSQL(
            KEEP_PUBLISHED_VERSION.format(new="NEW.contact_fallbacks, ", old="OLD.contact_fallbacks, "),
            KEEP_PUBLISHED_VERSION.format(new="", old=""),
        ),
    ]
