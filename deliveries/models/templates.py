"""Templates: a code that jobs name, its numbered versions, a text per locale, and the frame around a tenant's mails.

Rendering is in `deliveries/rendering/`, saving and publishing in `deliveries/templating.py`. That what is published never
changes is held by triggers of the database (migration 0007).
"""

from __future__ import annotations

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q

from deliveries.models.tenants import Tenant

COLOUR = RegexValidator(r"^#[0-9a-fA-F]{6}$", "Write a colour as # and six digits, such as #1f5c40.")


class StaffTemplates(models.Manager["Template"]):
    """The templates that people write: every list and editor shows these. Copies that were pinned for sending are not among them."""

    def get_queryset(self) -> models.QuerySet[Template]:
        return super().get_queryset().filter(pinned_for="")


class Template(models.Model):
    """What jobs name as `template_code`. Its newest published version is what goes out.

    `objects` are those that people write, `with_pinned` also the copies that were pinned (`templating.template_pin`).
    """

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="templates")
    code = models.SlugField(max_length=100, help_text="Jobs name it as template_code.")
    name = models.CharField(max_length=200)
    hides_personal_data = models.BooleanField(
        "hide personal data after sending",
        default=False,
        db_default=False,
        help_text="For one-time codes: once a delivery is over, its data and words are removed.",
    )
    pinned_for = models.CharField(
        max_length=100,
        blank=True,
        default="",
        db_default="",
        editable=False,
        help_text="What this is a copy for, such as broadcast:17. Empty: people write it.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = StaffTemplates()
    with_pinned = models.Manager["Template"]()

    class Meta:
        ordering = ["code"]
        base_manager_name = "with_pinned"
        constraints = [models.UniqueConstraint(fields=["tenant", "code"], name="template_once_per_tenant")]
        # Asked by every statement that ends deliveries; few templates are in it.
        indexes = [
            models.Index(fields=["tenant", "code"], condition=Q(hides_personal_data=True), name="template_that_hides")
        ]

    def __str__(self) -> str:
        return self.name


class TemplateVersion(models.Model):
    """One numbered state of a template: a draft that may change, or published and kept as it is."""

    class State(models.TextChoices):
        DRAFT = "draft", "Draft"
        PUBLISHED = "published", "Published"

    template = models.ForeignKey(Template, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    state = models.CharField(max_length=9, choices=State.choices, default=State.DRAFT)
    default_locale = models.CharField(
        max_length=35, default="en", help_text="Used when none of a person's locales has a text."
    )
    variables = models.JSONField(
        null=True,
        blank=True,
        help_text="What a job hands in for it: name, type, required, fallback, sample, help. Empty: not declared.",
    )
    contact_fallbacks = models.JSONField(
        null=True,
        blank=True,
        editable=False,
        help_text="What stands in for a contact's empty fields, such as name, or attributes.city. Only pinned copies have any.",
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, editable=False
    )
    created_at = models.DateTimeField(auto_now_add=True)
    published_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        ordering = ["template", "-number"]
        constraints = [
            models.UniqueConstraint(fields=["template", "number"], name="template_version_once"),
            models.CheckConstraint(
                condition=Q(state="draft", published_at=None) | Q(state="published", published_at__isnull=False),
                name="template_version_published_has_time",
            ),
        ]

    def __str__(self) -> str:
        return f"v{self.number}"


class TemplateContent(models.Model):
    """One locale's words in one version. `subject` is the title on channels without a subject line."""

    class BodyFormat(models.TextChoices):
        MARKDOWN = "markdown", "Markdown"
        HTML = "html", "HTML"

    version = models.ForeignKey(TemplateVersion, on_delete=models.CASCADE, related_name="contents")
    locale = models.CharField(max_length=35)
    subject = models.CharField(max_length=500)
    preheader = models.CharField(
        max_length=500, blank=True, default="", db_default="", help_text="What an inbox shows beside the subject."
    )
    body_format = models.CharField(
        max_length=8, choices=BodyFormat, default=BodyFormat.MARKDOWN, db_default="html", help_text="What is written."
    )
    markdown = models.TextField(
        blank=True, default="", db_default="", help_text="The body. The tenant's frame is put around it."
    )
    text = models.TextField(
        blank=True, default="", help_text="Plain text: the inbox card, push, SMS. Empty: made from the body."
    )
    html = models.TextField(blank=True, default="", help_text="The e-mail's HTML part, as it is. Empty: text only.")
    action_url = models.CharField(
        max_length=2000, blank=True, default="", help_text="Where a click on the inbox card leads."
    )
    from_address = models.CharField(
        max_length=320, blank=True, default="", db_default="", help_text="Empty: the tenant's own."
    )
    reply_to = models.CharField(
        max_length=320, blank=True, default="", db_default="", help_text="Empty: the tenant's own."
    )

    class Meta:
        ordering = ["version", "locale"]
        constraints = [
            models.UniqueConstraint(fields=["version", "locale"], name="template_content_once_per_locale"),
            models.CheckConstraint(
                condition=Q(body_format__in=["markdown", "html"]), name="template_content_format_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.version} {self.locale}"


class Brand(models.Model):
    """The frame around a tenant's mails: made of its logo, colours and lines, or written whole as `frame_html`.

    It belongs to no version: a change of it goes out with the next mail of every template.
    """

    tenant = models.OneToOneField(Tenant, on_delete=models.CASCADE, related_name="brand")
    logo_url = models.URLField(max_length=2000, blank=True, default="", help_text="Public and https. Empty: the name.")
    accent_colour = models.CharField(
        max_length=7, default="#1f5c40", validators=[COLOUR], help_text="Links, buttons and the name."
    )
    background_colour = models.CharField(
        max_length=7, default="#f1f3f0", validators=[COLOUR], help_text="Around the mail."
    )
    text_colour = models.CharField(max_length=7, default="#1f2a24", validators=[COLOUR])
    header = models.TextField(blank=True, default="", help_text="Above the words, in Markdown.")
    footer = models.TextField(blank=True, default="", help_text="Below the words, in Markdown.")
    legal = models.TextField(blank=True, default="", help_text="The last, small line: who you are, in Markdown.")
    frame_html = models.TextField(
        blank=True,
        default="",
        help_text="A whole frame in HTML with {{ body }} where the words go, in place of the rest.",
    )
    revision = models.PositiveIntegerField(default=1, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["tenant"]
        verbose_name = "mail frame"

    def __str__(self) -> str:
        return f"Mail frame of {self.tenant}"
