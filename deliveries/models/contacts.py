"""Contacts: the people of a tenant and where they can be reached."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import OpClass
from django.db import models
from django.db.models.functions import Lower, Upper

from deliveries.channels import Channel
from deliveries.models.tenants import Tenant


class Contact(models.Model):
    """A person: `(tenant, user_id)`. An empty address means that the channel cannot reach them."""

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="contacts", db_index=False)
    user_id = models.UUIDField(help_text="The id your own systems know the person by.")
    name = models.CharField(max_length=200, blank=True, default="")
    email = models.CharField("e-mail", max_length=320, blank=True, default="")
    phone = models.CharField(max_length=32, blank=True, default="")
    locale = models.CharField(
        max_length=35, blank=True, default="", help_text="Such as en or pt-BR. Empty: the tenant's."
    )
    time_zone = models.CharField(max_length=64, blank=True, default="")
    attributes = models.JSONField(
        default=dict, blank=True, help_text="Free fields that templates may use as contact.attributes."
    )
    opted_out = ArrayField(
        models.CharField(max_length=32, choices=[(c.value, c.value) for c in Channel]),
        default=list,
        blank=True,
        help_text="Channels this person does not want.",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            # The person first: a look-up that leaves the tenant to the second column can be answered by no other index.
            models.UniqueConstraint(fields=["user_id", "tenant"], name="contact_once_per_tenant"),
        ]
        indexes = [
            # Broadcasts walk a tenant's contacts in this order.
            models.Index(fields=["tenant", "id"], name="contact_in_order"),
            models.Index("tenant", Lower("email"), name="contact_by_email"),
            models.Index(fields=["tenant", "phone"], name="contact_by_phone"),
            # Staff look for the beginning of a name (`name__istartswith`), whatever the database's collation.
            models.Index("tenant", OpClass(Upper("name"), name="text_pattern_ops"), name="contact_by_name"),
        ]

    def __str__(self) -> str:
        return self.name or self.email or str(self.user_id)
