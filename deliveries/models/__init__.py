"""The tables: fields, constraints, indexes and named status sets. No I/O and no behaviour beyond a row's own name."""

from deliveries.models.contacts import Contact
from deliveries.models.dead_letters import DeadLetter
from deliveries.models.deliveries import Delivery, DeliveryAttempt, Lane
from deliveries.models.receipts import OutboxPosition, Receipt
from deliveries.models.templates import Template, TemplateContent, TemplateVersion
from deliveries.models.tenants import ApiKey, Tenant
from deliveries.models.workers import WorkerHeartbeat

__all__ = [
    "ApiKey",
    "Contact",
    "DeadLetter",
    "Delivery",
    "DeliveryAttempt",
    "Lane",
    "OutboxPosition",
    "Receipt",
    "Template",
    "TemplateContent",
    "TemplateVersion",
    "Tenant",
    "WorkerHeartbeat",
]
