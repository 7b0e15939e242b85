"""The tables: fields, constraints, indexes and named status sets. No I/O and no behaviour beyond a row's own name."""

from deliveries.models.addresses import Device, WebhookEndpoint
from deliveries.models.contacts import Contact
from deliveries.models.dead_letters import DeadLetter
from deliveries.models.deliveries import Delivery, DeliveryAttempt, Lane
from deliveries.models.holds import Hold
from deliveries.models.notices import Notice, NoticeTelling
from deliveries.models.providers import Provider
from deliveries.models.receipts import OutboxPosition, Receipt
from deliveries.models.templates import Brand, Template, TemplateContent, TemplateVersion
from deliveries.models.tenants import ApiKey, Tenant
from deliveries.models.unwanted import Category, OptOut, Suppression
from deliveries.models.workers import WorkerHeartbeat

__all__ = [
    "ApiKey",
    "Brand",
    "Category",
    "Contact",
    "DeadLetter",
    "Delivery",
    "DeliveryAttempt",
    "Device",
    "Hold",
    "Lane",
    "Notice",
    "NoticeTelling",
    "OptOut",
    "OutboxPosition",
    "Provider",
    "Receipt",
    "Suppression",
    "Template",
    "TemplateContent",
    "TemplateVersion",
    "Tenant",
    "WebhookEndpoint",
    "WorkerHeartbeat",
]
