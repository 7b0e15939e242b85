"""The forms of an audience: its name, and for a segment the rules, which `rules.js` builds. No request is answered here."""

from __future__ import annotations

import re
from typing import Any, ClassVar, Final

from django import forms
from django.core.exceptions import ValidationError
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.safestring import SafeString

from broadcasts.models import Audience
from broadcasts.rule_parts import COLUMNS, ID_OPERATORS, MAX_DEPTH, MAX_KEY, MAX_RULES, OPERATORS, Type
from broadcasts.rule_words import FIELD_WORDS, OPERATOR_WORDS, TYPE_WORDS
from broadcasts.rules import RuleError, rules_check
from deliveries.models import Contact, Tenant

#: How many of the newest contacts are looked at for attributes to offer, and how many are offered.
LOOKED_AT: Final = 200
MOST_KEYS: Final = 200
_DAY: Final = re.compile(r"[0-9]{4}-[01][0-9]-[0-3][0-9]")
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


def attributes_seen(tenant_id: int | None) -> dict[str, Type]:
    """Return the attributes that the newest contacts have, with the type that each has there. One query."""
    rows = Contact.objects.filter(**({"tenant": tenant_id} if tenant_id else {})).order_by("-pk")
    seen: dict[str, Type] = {}
    for attributes in rows.values_list("attributes", flat=True)[:LOOKED_AT]:
        for key, value in attributes.items() if isinstance(attributes, dict) else ():
            if value is not None and 0 < len(key) <= MAX_KEY and len(seen) < MOST_KEYS:
                seen.setdefault(key, _type_of(value))
    return dict(sorted(seen.items()))


def _type_of(value: Any) -> Type:
    if isinstance(value, bool):
        return Type.BOOLEAN
    if isinstance(value, int | float):
        return Type.NUMBER
    if isinstance(value, list):
        return Type.LIST
    return Type.DATE if isinstance(value, str) and _DAY.match(value) else Type.TEXT


class RulesWidget(forms.Textarea):
    """The rules as JSON, in place of which the page shows a builder, the live count and some of the people."""

    template_name = "admin/broadcasts/rules_widget.html"

    class Media:
        css: ClassVar[dict[str, list[str]]] = {"all": ["broadcasts/audiences.css"]}
        js: ClassVar[list[str]] = ["broadcasts/rules.js"]

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        """Render by the project's templates, which widgets do not look into by themselves."""
        context = self.get_context(name, value, attrs)
        tables = {**rule_tables(), "keys": attributes_seen(self.attrs.get("tenant") or None)}
        url = reverse("admin:broadcasts_audience_preview")
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
