"""The forms of an audience: its name, and for a segment the rules, which `rules.js` builds. No request is answered here."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.core.exceptions import ValidationError
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.safestring import SafeString

from broadcasts.models import Audience
from broadcasts.rule_parts import COLUMNS, ID_OPERATORS, MAX_DEPTH, MAX_RULES, OPERATORS, Type
from broadcasts.rule_words import FIELD_WORDS, OPERATOR_WORDS, TYPE_WORDS
from broadcasts.rules import RuleError, rules_check
from deliveries.models import Tenant

#: What a new segment begins with: somebody with an address.
FIRST_RULES = {"match": "all", "rules": [{"field": "email", "type": "text", "op": "is_not_empty"}]}


def rule_tables() -> dict[str, Any]:
    """Return what the page needs to build rules: fields, types, operators and what each compares with, in staff's words."""
    return {
        "fields": [{"name": name, "words": FIELD_WORDS[name], "type": kind} for name, kind in COLUMNS.items()],
        "types": [{"name": kind, "words": TYPE_WORDS[kind]} for kind in Type],
        "operators": {kind: dict(ops) for kind, ops in OPERATORS.items()},
        "id_operators": list(ID_OPERATORS),
        "words": OPERATOR_WORDS,
        "most_rules": MAX_RULES,
        "most_depth": MAX_DEPTH,
    }


class RulesWidget(forms.Textarea):
    """The rules as JSON, in place of which the page shows a builder, the live count and some of the people."""

    template_name = "admin/broadcasts/rules_widget.html"

    class Media:
        css: ClassVar[dict[str, list[str]]] = {"all": ["broadcasts/audiences.css"]}
        js: ClassVar[list[str]] = ["broadcasts/rules.js"]

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        """Render by the project's templates, which widgets do not look into by themselves."""
        context = self.get_context(name, value, attrs)
        tables, url = rule_tables(), reverse("admin:broadcasts_audience_preview")
        return render_to_string(self.template_name, {**context, "tables": tables, "preview_url": url})


class RulesField(forms.JSONField):
    """Checked rules. Raises: ValidationError with one sentence for each problem."""

    widget = RulesWidget

    def clean(self, value: Any) -> Any:
        """Return the JSON as it came, once it is known to be right."""
        rules = super().clean(value)
        try:
            rules_check(rules)
        except RuleError as error:
            raise ValidationError([str(problem) for problem in error.problems]) from None
        return rules


class AudienceForm(forms.ModelForm):  # type: ignore[type-arg]  # the plain class takes no argument when it runs
    """A list has a name; its people are added on its own page."""

    class Meta:
        model = Audience
        fields = ("tenant", "name")

    def clean_name(self) -> str:
        """Refuse a name of blanks, and one that the tenant has already."""
        name = str(self.cleaned_data["name"]).strip()
        tenant = self.instance.tenant if self.instance.pk else self.cleaned_data.get("tenant") or Tenant.objects.first()
        if Audience.objects.filter(tenant=tenant, name=name).exclude(pk=self.instance.pk).exists():
            raise ValidationError(f"There is an audience “{name}” already. Choose another name.")
        return name


class SegmentForm(AudienceForm):
    """A segment has rules too."""

    rules = RulesField(label="Who is in it", initial=FIRST_RULES)

    class Meta:
        model = Audience
        fields = ("tenant", "name", "rules")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "rules" in self.fields:
            self.fields["rules"].widget.attrs["tenant"] = self.instance.tenant_id or ""
