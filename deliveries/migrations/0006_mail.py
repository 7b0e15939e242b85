"""Suppressed addresses, unsubscribed categories, a tenant's From and Reply-To; and reports find e-mails by the provider's message id.

The index is replaced without holding up writers, which needs a migration without a transaction. A report that comes in between finds
its row all the same, only more slowly.
"""

import django.db.models.deletion
from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("deliveries", "0005_holds")]

    operations = [
        migrations.AddField(
            model_name="tenant",
            name="from_address",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="Sender of its e-mails, such as Shop <shop@example.com>. Empty: the mail provider's, else EMAIL_FROM.",
                max_length=320,
                verbose_name="from",
            ),
        ),
        migrations.AddField(
            model_name="tenant",
            name="reply_to",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="Where answers to its e-mails go. Empty: to their sender.",
                max_length=320,
                verbose_name="reply-to",
            ),
        ),
        migrations.CreateModel(
            name="OptOut",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("user_id", models.UUIDField()),
                (
                    "channel",
                    models.CharField(
                        choices=[(name, name) for name in ("email", "push", "ws", "sms", "webhook")], max_length=16
                    ),
                ),
                ("category", models.CharField(max_length=100)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="opt_outs", to="deliveries.tenant"
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
                "constraints": [
                    models.UniqueConstraint(fields=["tenant", "user_id", "channel", "category"], name="opt_out_once"),
                    models.CheckConstraint(condition=~Q(category=""), name="opt_out_has_category"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Suppression",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("channel", models.CharField(choices=[("email", "email"), ("sms", "sms")], max_length=16)),
                (
                    "address",
                    models.CharField(help_text="As `suppressions.normal_address` spells it.", max_length=320),
                ),
                (
                    "reason",
                    models.CharField(
                        choices=[
                            ("hard_bounce", "Came back for good"),
                            ("complaint", "Called spam"),
                            ("staff", "Added by staff"),
                            ("unsubscribed", "Unsubscribed at the provider"),
                        ],
                        max_length=12,
                    ),
                ),
                ("note", models.CharField(blank=True, db_default="", default="", max_length=300)),
                (
                    "job_id",
                    models.UUIDField(
                        blank=True, editable=False, help_text="The delivery that it comes from.", null=True
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="suppressions", to="deliveries.tenant"
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
                "constraints": [
                    models.UniqueConstraint(fields=["tenant", "channel", "address"], name="suppression_once"),
                    models.CheckConstraint(condition=Q(channel__in=["email", "sms"]), name="suppression_channel_known"),
                    models.CheckConstraint(
                        condition=Q(reason__in=["hard_bounce", "complaint", "staff", "unsubscribed"]),
                        name="suppression_reason_known",
                    ),
                    models.CheckConstraint(condition=~Q(address=""), name="suppression_has_address"),
                ],
            },
        ),
        RemoveIndexConcurrently(model_name="delivery", name="delivery_by_message_id"),
        AddIndexConcurrently(
            model_name="delivery",
            index=models.Index(
                condition=Q(channel__in=["email", "sms"])
                & ~Q(provider_message_id="")
                & ~Q(provider_message_id__startswith="<"),
                fields=["tenant", "provider_message_id"],
                name="delivery_by_message_id",
            ),
        ),
    ]
