"""The form of a provider: the columns, and a field for each option of its kind. Secrets go in and never come out again.

Here: fields, what is wrong with them, sealing. Pages and buttons are in `providers.py`; what a kind asks for is in
`deliveries/providers/kinds.py`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from unfold import widgets

from deliveries.admin import words
from deliveries.jobs import InvalidJob
from deliveries.jobs.strict_json import decode_object
from deliveries.models import Provider, Tenant
from deliveries.providers.credentials import CredentialsError, seal, unseal
from deliveries.providers.kinds import Kind, Option, OptionError, complete

OPTION: Final = "option_"
FORGET: Final = "forget_"
#: Every whole number that a kind asks for is a port or a number of connections.
WHOLE_NUMBERS: Final[dict[str, Any]] = {"min_value": 1, "max_value": 65_535}
#: No browser offers a secret to remember or to correct.
NOT_KEPT: Final = {"autocomplete": "off", "autocapitalize": "off", "spellcheck": "false"}


class SecretTextarea(widgets.UnfoldAdminTextareaWidget):  # type: ignore[misc]  # Unfold has no types
    """A secret of several lines, such as a key file. Takes text, and never shows any."""

    def __init__(self) -> None:
        super().__init__(attrs={"rows": 3, "class": "ns-mono ns-secret", **NOT_KEPT})

    def format_value(self, value: Any) -> None:
        """Show nothing, not even what was just entered and refused."""


class JsonField(forms.CharField):
    """One JSON object, typed in as text, by the rules that jobs' JSON has too: what is kept, PostgreSQL can keep."""

    widget = widgets.UnfoldAdminTextareaWidget(attrs={"rows": 16, "class": "ns-mono", "spellcheck": "false"})

    def to_python(self, value: Any) -> Any:
        """Return the object, None for none. Raises: ValidationError."""
        text = super().to_python(value)
        if not text:
            return None
        try:
            return decode_object(text.encode())
        except InvalidJob as invalid:
            what = invalid.message.partition(";")[0]
            raise ValidationError(f"Enter one JSON object. {what[:1].upper()}{what[1:]}.", code="invalid") from None

    def prepare_value(self, value: Any) -> Any:
        """Lay an object out for reading; show what was typed as it was typed."""
        return json.dumps(value, indent=2, ensure_ascii=False) if isinstance(value, dict) else value


class ProviderForm(forms.ModelForm):  # type: ignore[type-arg]  # the plain class takes no argument when it runs
    """A provider of `kind`. `form_for` adds the fields of the kind's options."""

    kind: ClassVar[Kind]
    stored: ClassVar[Mapping[str, str]] = {}

    class Meta:
        model = Provider
        fields = ("tenant", "name", "is_enabled", "rate_per_second", "deadline_seconds")
        labels = {
            "is_enabled": "Enabled",
            "rate_per_second": "Messages a second, at most",
            "deadline_seconds": "Seconds a send may take",
        }
        help_texts = {"deadline_seconds": "Empty: as long as SEND_DEADLINE_SECONDS says, which no provider exceeds."}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.instance.kind, self.instance.channel = self.kind.name, self.kind.channel

    def clean_rate_per_second(self) -> float | None:
        """Refuse a rate at which nothing would ever go out."""
        return self._above_zero("rate_per_second")

    def clean_deadline_seconds(self) -> float | None:
        """Refuse a deadline that is over before it begins."""
        return self._above_zero("deadline_seconds")

    def clean(self) -> dict[str, Any]:
        """Say what is wrong beside the field it is about: a name that is taken, an option that cannot work."""
        values = super().clean() or {}
        tenant = values.get("tenant") or self._tenant()
        if tenant is not None and "name" in values and self._is_taken(tenant, values["name"]):
            channel = words.channel(self.kind.channel)
            self.add_error("name", f"There is a provider of this name for {channel} already. Enter another name.")
        self._ask_for_secrets_again()
        if not self.errors:
            self._try_out({**self._options(), **self._secrets()})
        return values

    def _post_clean(self) -> None:
        """Put the options and the sealed secrets into the row, where the whole form is good."""
        super()._post_clean()  # type: ignore[misc]  # Django's own hook
        if self.errors:
            return
        self.instance.options = self._options()
        secrets = self._secrets()
        if secrets != self.stored:
            self.instance.sealed_credentials = seal(secrets) if secrets else b""

    def _ask_for_secrets_again(self) -> None:
        """Let no stored secret go to an address that it was not entered for: who may change the one need not know the other."""
        before = self.instance.options
        moved = any(
            (self.cleaned_data.get(OPTION + option.name) or option.default)
            != (before.get(option.name) or option.default)
            for option in self.kind.options
            if option.is_address
        )
        for name in self.stored if moved else ():
            if not self.cleaned_data.get(OPTION + name) and not self.cleaned_data.get(FORGET + name):
                self.add_error(OPTION + name, "Enter it again, since the address changes.")

    def _above_zero(self, name: str) -> float | None:
        value: float | None = self.cleaned_data[name]
        if value is not None and value <= 0:
            raise ValidationError("Enter a number above 0, or leave it empty.")
        return value

    def _tenant(self) -> Tenant | None:
        if self.instance.tenant_id is not None:
            return Tenant.objects.get(pk=self.instance.tenant_id)
        return None if "tenant" in self.fields else Tenant.objects.get()

    def _is_taken(self, tenant: Tenant, name: str) -> bool:
        same = Provider.objects.filter(tenant=tenant, channel=self.kind.channel, name=name)
        return same.exclude(pk=self.instance.pk).exists()

    def _options(self) -> dict[str, Any]:
        """Return the options as they are stored; what is empty is left out, so that its default holds."""
        given = {option.name: self.cleaned_data.get(OPTION + option.name) for option in self._plain_options()}
        return {name: value for name, value in given.items() if value not in (None, "")}

    def _secrets(self) -> dict[str, str]:
        """Return the secrets: those stored, without the forgotten ones, under those that were entered."""
        kept = {name: secret for name, secret in self.stored.items() if not self.cleaned_data.get(FORGET + name)}
        given = {
            option.name: self.cleaned_data.get(OPTION + option.name) for option in self.kind.options if option.is_secret
        }
        return {**kept, **{name: secret for name, secret in given.items() if secret}}

    def _plain_options(self) -> list[Option]:
        return [option for option in self.kind.options if not option.is_secret]

    def _try_out(self, options: Mapping[str, Any]) -> None:
        """Make the sender once, which connects to nothing, and put what it says where it belongs."""
        try:
            self.kind.make(complete(self.kind, options), settings.SEND_DEADLINE_SECONDS)
        except OptionError as error:
            self.add_error(OPTION + error.field, self._in_words(error.message))
        except ValueError as error:
            self.add_error(self._first_named(str(error)), self._in_words(str(error)))

    def _first_named(self, text: str) -> str | None:
        """Return the field of the option that a text names first; None when it names none."""
        places = {option.name: text.find(option.name) for option in self.kind.options if "_" in option.name}
        named = [name for name, place in sorted(places.items(), key=lambda item: item[1]) if place >= 0]
        return OPTION + named[0] if named else None

    def _in_words(self, text: str) -> str:
        """Call options by their labels."""
        for option in self.kind.options:
            if "_" in option.name:
                text = re.sub(rf"\b{option.name}\b", option.label, text)
        return text


def stored_secrets(provider: Provider) -> dict[str, str]:
    """Return a provider's secrets. Raises: CredentialsError."""
    return unseal(provider.sealed_credentials)


def form_for(kind: Kind, provider: Provider | None) -> type[ProviderForm]:
    """Return the form of a provider of `kind`, None for a new one. Secrets that cannot be opened are asked for again."""
    try:
        stored = stored_secrets(provider) if provider is not None else {}
    except CredentialsError:
        stored = {}
    values = provider.options if provider is not None else {}
    fields: dict[str, forms.Field] = {}
    for option in kind.options:
        is_stored = option.name in stored
        fields[OPTION + option.name] = _field(option, values.get(option.name, option.default), is_stored=is_stored)
        if is_stored and not option.is_required:
            fields[FORGET + option.name] = forms.BooleanField(
                label=f"Forget the {option.label}", required=False, widget=widgets.UnfoldBooleanSwitchWidget()
            )
    return type("ProviderForm", (ProviderForm,), {"kind": kind, "stored": stored, "__module__": __name__, **fields})


def _field(option: Option, value: Any, *, is_stored: bool) -> forms.Field:
    """Return the field of one option. `value`: what it holds; a secret's is not looked at."""
    asked: dict[str, Any] = {
        "label": option.label,
        "help_text": option.help,
        "required": option.is_required and not is_stored,
        "error_messages": {"required": f"Enter the {option.label}."},
    }
    if option.is_secret:
        if is_stored:
            asked["help_text"] = "Stored, and not shown. Leave it empty to keep it."
        if option.is_multiline:
            return forms.CharField(widget=SecretTextarea(), **asked)
        widget = widgets.UnfoldAdminPasswordWidget(attrs={**NOT_KEPT, "autocomplete": "new-password"})
        return forms.CharField(widget=widget, strip=False, **asked)
    asked["initial"] = value
    if option.choices:
        choices = [(choice, choice) for choice in option.choices]
        return forms.ChoiceField(choices=choices, widget=widgets.UnfoldAdminSelectWidget(), **asked)
    if option.type is int:
        return forms.IntegerField(widget=widgets.UnfoldAdminIntegerFieldWidget(), **WHOLE_NUMBERS, **asked)
    if option.type is bool:
        return forms.BooleanField(widget=widgets.UnfoldBooleanSwitchWidget(), **{**asked, "required": False})
    if option.type is dict:
        return JsonField(**asked)
    widget = widgets.UnfoldAdminTextareaWidget() if option.is_multiline else widgets.UnfoldAdminTextInputWidget()
    return forms.CharField(widget=widget, **asked)
