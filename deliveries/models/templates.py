"""Templates: a code that jobs name, its numbered versions, and a text per locale. Rendering is in `deliveries/rendering.py`."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from deliveries.models.tenants import Tenant


class Template(models.Model):
    """What jobs name as `template_code`. Its newest published version is what goes out."""

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="templates")
    code = models.SlugField(max_length=100, help_text="Jobs name it as template_code.")
    name = models.CharField(max_length=200)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["code"]
        constraints = [models.UniqueConstraint(fields=["tenant", "code"], name="template_once_per_tenant")]

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

    version = models.ForeignKey(TemplateVersion, on_delete=models.CASCADE, related_name="contents")
    locale = models.CharField(max_length=35)
    subject = models.CharField(max_length=500)
    text = models.TextField(help_text="Plain text: the e-mail's text part, the inbox card, the push body.")
    html = models.TextField(blank=True, default="", help_text="The e-mail's HTML part. Empty: text only.")
    action_url = models.CharField(
        max_length=2000, blank=True, default="", help_text="Where a click on the inbox card leads."
    )

    class Meta:
        ordering = ["version", "locale"]
        constraints = [models.UniqueConstraint(fields=["version", "locale"], name="template_content_once_per_locale")]

    def __str__(self) -> str:
        return f"{self.version} {self.locale}"
