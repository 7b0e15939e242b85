"""The template editor: one version's page, Save draft, Publish, the preview beside it, what somebody else changed, the test.

Thin: the page's form is read in `template_forms.py`, drafts are saved by `deliveries/drafts.py`, previews made by `deliveries/previews.py`.
A request of editor.js (`Accept: application/json`) is answered in JSON, the plain form by pages; both do the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect, JsonResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from deliveries.admin import template_forms as forms
from deliveries.admin import words
from deliveries.admin.base import StaffAdmin, audit, post_only, say, staff
from deliveries.admin.template_preview import given_names, shown
from deliveries.admin.template_send_test import send_test
from deliveries.admin.template_starters import STARTERS
from deliveries.audit import latest
from deliveries.channels import Channel
from deliveries.drafts import Draft, DraftChanged, changes, draft_save, newest_version, parts_of, revision_of
from deliveries.models import Contact, TemplateVersion
from deliveries.previews import WINDOW_SECONDS, is_within, may_preview
from deliveries.rendering import TYPES, Problem
from deliveries.templating import TemplateRefused, template_publish

State = TemplateVersion.State
PEOPLE: Final = 20
TESTS_A_MINUTE: Final = 10
CHANNELS: Final = (Channel.EMAIL, Channel.PUSH, Channel.SMS, Channel.WS, Channel.WEBHOOK)
#: What "Add a language" suggests; any other may be typed.
COMMON_LOCALES: Final = (
    *("ar", "cs", "da", "de", "en", "en-GB", "es", "es-MX", "fi", "fr", "he", "hi", "hu", "id", "it", "ja", "ko", "nb"),
    *("nl", "pl", "pt", "pt-BR", "ro", "ru", "sv", "th", "tr", "uk", "vi", "zh-CN", "zh-TW"),
)


@dataclass(frozen=True, slots=True)
class Saved:
    """What became of a Save or Publish: `version` unless something stood in its way."""

    version: TemplateVersion | None = None
    is_published: bool = False
    problems: Sequence[Problem] = ()
    conflict: Mapping[str, str] | None = None

    @property
    def told(self) -> str:
        """What the person is told."""
        if self.version is None:
            return "Not saved."
        if self.is_published:
            return f"{self.version} goes out from now on."
        if self.problems:
            return f"Draft {self.version} is saved, but not published."
        return f"Draft {self.version} is saved. It does not go out until it is published."


NOTHING: Final = Saved()


@admin.register(TemplateVersion)
class VersionAdmin(StaffAdmin):
    """One version: the editor while it is a draft, the record once it is published. Reached from its template only."""

    def get_urls(self) -> list[URLPattern]:
        """Add what the page calls."""
        view = self.admin_site.admin_view
        own = {"publish": self.publish, "preview": self.preview, "changes": self.changes, "test": self.test}
        paths = [path(f"<int:pk>/{name}/", view(each), name=_url_name(name)) for name, each in own.items()]
        return [*paths, *super().get_urls()]

    def get_model_perms(self, request: HttpRequest) -> dict[str, bool]:
        """Stay out of the list of models."""
        return {}

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Versions begin at their template."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Versions stay: deliveries and numbers refer to them."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: TemplateVersion | None = None) -> bool:
        """Only a draft may change."""
        may = request.user.has_perm("deliveries.change_template")
        return may and (obj is None or obj.state == State.DRAFT)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Who may see templates may see their versions."""
        return any(request.user.has_perm(f"deliveries.{verb}_template") for verb in ("view", "change"))

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Lead to the templates: versions have no list of their own."""
        return HttpResponseRedirect(reverse("admin:deliveries_template_changelist"))

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponseBase:
        """Show the editor; save, and publish, what it posts."""
        version = self._get(request, object_id)
        if request.method != "POST":
            return self._page(request, version)
        posted = self._typed(request, version)
        if posted is None:
            raise PermissionDenied
        done = self._save(request, version, posted)
        return self._page_after(request, version, posted, done) if request.accepts("text/html") else _json_after(done)

    @post_only("change")
    def publish(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Let the draft go out as it is saved."""
        version = self._get(request, pk)
        try:
            done = self._publish(request, version)
        except TemplateRefused as refused:
            for problem in refused.problems:
                say(request, f"Not published. {problem}", bad=True)
        else:
            what = f"{version} goes out from now on." if done else f"{version} was published before."
            say(request, what, bad=not done)
        return HttpResponseRedirect(version_url(version))

    @post_only("view")
    def preview(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Answer what each channel would show: of a draft what stands in the editor, saved or not; else what is saved.

        Stores nothing, sends nothing. 429 for a session that asks too often.
        """
        version = self._get(request, pk)
        if not may_preview(f"session:{request.session.session_key}"):
            return JsonResponse({"detail": "Too many previews."}, status=429, headers={"Retry-After": WINDOW_SECONDS})
        posted = self._typed(request, version)
        newest = newest_version(version.template)
        answer = {**shown(request, version, posted), "revision": revision_of(newest)}
        if posted and answer["revision"] != request.POST.get("revision"):
            answer["conflict"] = _conflict(request, newest)
        return JsonResponse(answer)

    @post_only("view")
    def changes(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Answer the part of the page that shows what is saved beside what stands in the editor. Changes nothing."""
        version = self._get(request, pk)
        saved, mine = Draft.of(newest_version(version.template)), forms.read(request.POST).draft
        context = {"changes": changes(saved=saved, mine=mine)}
        return TemplateResponse(request, "admin/deliveries/editor/_changes.html", context)

    def has_test_permission(self, request: HttpRequest) -> bool:
        """Who may hand in deliveries may send tests."""
        return self.has_view_permission(request) and request.user.has_perm("deliveries.add_delivery")

    @post_only("test")
    def test(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Send what stands in the editor, or is saved, to one address or contact. Answers what became of it. 429 when it is too often."""
        version = self._get(request, pk)
        posted = self._typed(request, version)
        if not is_within(f"tests:{staff(request).pk}", most=TESTS_A_MINUTE, seconds=60):
            return JsonResponse({"told": f"More than {TESTS_A_MINUTE} tests a minute. Wait a little."}, status=429)
        return JsonResponse(send_test(request, version, posted))

    def _typed(self, request: HttpRequest, version: TemplateVersion) -> forms.Posted | None:
        """Return what was typed into the page. None: it could only be looked at there.

        Only a page that may be edited posts a `revision`. What was a draft when it was opened may be published by now: it still shows
        and sends what was typed, and saving makes of it the next draft.
        """
        is_editor = self.has_change_permission(request, version if "revision" not in request.POST else None)
        return forms.read(request.POST) if is_editor else None

    def _save(self, request: HttpRequest, version: TemplateVersion, posted: forms.Posted) -> Saved:
        draft, problems = posted.draft, posted.problems
        if starter := STARTERS.get(request.POST.get("_starter", "")):
            begun = starter.draft(draft.default_locale or version.default_locale)
            hides = begun.hides_personal_data or draft.hides_personal_data
            draft, problems = replace(begun, hides_personal_data=hides), []
            if _has_words(posted.draft):
                problems = [Problem(1, 1, "There are words already. Empty them first.")]
        if problems:
            return Saved(problems=problems)
        try:
            with transaction.atomic():
                saved = draft_save(
                    template=version.template,
                    draft=draft,
                    began_from=request.POST.get("revision", ""),
                    by=staff(request),
                )
                audit(request, [version.template], f"Saved draft {saved}.")
        except DraftChanged as changed:
            return Saved(conflict=_conflict(request, changed.newest))
        except TemplateRefused as refused:
            return Saved(problems=refused.problems)
        if "_publish" not in request.POST:
            return Saved(newest_version(version.template))
        try:
            published = self._publish(request, saved)
        except TemplateRefused as refused:
            return Saved(newest_version(version.template), problems=refused.problems)
        return Saved(newest_version(version.template), is_published=published)

    def _publish(self, request: HttpRequest, version: TemplateVersion) -> bool:
        with transaction.atomic():
            done = template_publish(version=version)
            if done:
                audit(request, [version.template], f"Published {version}.")
        return done

    def _page_after(
        self, request: HttpRequest, version: TemplateVersion, posted: forms.Posted, done: Saved
    ) -> HttpResponseBase:
        if done.version is None or done.problems:
            return self._page(request, done.version or version, posted=posted, done=done)
        say(request, done.told)
        return HttpResponseRedirect(version_url(done.version))

    def _page(
        self,
        request: HttpRequest,
        version: TemplateVersion,
        *,
        posted: forms.Posted | None = None,
        done: Saved = NOTHING,
    ) -> HttpResponseBase:
        if not self.has_view_permission(request, version):
            raise PermissionDenied
        may_edit = self.has_change_permission(request, None if posted else version)
        stored = Draft.of(version)
        words_rows, field_rows = (posted.words, posted.fields) if posted else forms.rows_of(stored)
        draft = posted.draft if posted else stored
        newest = done.conflict["revision"] if done.conflict else revision_of(version)
        may_see_contacts = request.user.has_perm("deliveries.view_contact")
        people = Contact.objects.filter(tenant=version.template.tenant).order_by("-id")[:PEOPLE]
        context = {
            "version": version,
            "may_edit": may_edit,
            "revision": newest,
            "saved": "" if posted else _saved_line(version),
            "conflict": done.conflict,
            "changes": changes(saved=Draft.of(newest_version(version.template)), mine=draft) if done.conflict else [],
            "problems": done.problems,
            "forms": words_rows,
            "fields": field_rows,
            "total_words": len(words_rows) + may_edit,
            "total_fields": len(field_rows) + may_edit,
            "blank_words": forms.blank(forms.WORDS, len(words_rows)) if may_edit else None,
            "blank_field": forms.blank(forms.FIELDS, len(field_rows)) if may_edit else None,
            "field_types": TYPES,
            "none_allowed": draft.variables == (),
            "default_locale": draft.default_locale,
            "hides_personal_data": draft.hides_personal_data,
            "starters": list(STARTERS.values()) if may_edit and not _has_words(draft) else [],
            "default_from": version.template.tenant.from_address or settings.EMAIL_FROM,
            "default_reply_to": version.template.tenant.reply_to,
            "channels": [channel.value for channel in CHANNELS],
            "given": given_names(version.template.tenant),
            "locales": COMMON_LOCALES,
            "may_see_contacts": may_see_contacts,
            "people": people if may_see_contacts else [],
            "page_url": version_url(version),
            "may_test": self.has_test_permission(request),
            "my_address": getattr(request.user, "email", ""),
            **{
                f"{name}_url": reverse(f"admin:{_url_name(name)}", args=[version.pk])
                for name in ("preview", "changes", "test")
            },
        }
        title = f"{version.template} {version}"
        return self.page(request, "admin/deliveries/editor/page.html", title=title, **context)

    def _get(self, request: HttpRequest, pk: Any) -> TemplateVersion:
        rows = TemplateVersion.objects.select_related("template__tenant", "created_by").prefetch_related("contents")
        version = rows.filter(pk=pk).first() if str(pk).isdecimal() else None
        if version is None:
            raise Http404("There is no such version.")
        return version


def version_url(version: TemplateVersion) -> str:
    """Return the address of a version's page."""
    return reverse("admin:deliveries_templateversion_change", args=[version.pk])


def _url_name(action: str) -> str:
    return f"deliveries_templateversion_{action}"


def _has_words(draft: Draft) -> bool:
    written = (parts_of(source) | {"body_format": ""} for source in draft.contents.values())
    return any(any(text.strip() for text in parts.values()) for parts in written)


def _saved_line(version: TemplateVersion) -> str:
    if version.state == State.PUBLISHED and version.published_at:
        return f"Published {words.moment(version.published_at)}"
    entry = latest(version.template)
    return f"Saved {words.moment(entry.action_time)}" if entry else ""


def _conflict(request: HttpRequest, newest: TemplateVersion) -> dict[str, str]:
    """Say who changed a draft under somebody's hands, and when, as far as that is known."""
    entry = latest(newest.template)
    is_published = newest.state == State.PUBLISHED
    who = entry.user if entry and (is_published or entry.user_id == newest.created_by_id) else newest.created_by
    name = "Somebody" if who is None else "You, in another window," if who == request.user else who.get_username()
    at = newest.published_at if is_published else entry.action_time if entry and who == entry.user else None
    when = f" at {words.moment(at)}" if at else ""
    what = f"published {newest}" if is_published else "changed this"
    return {"sentence": f"{name} {what}{when}.", "url": version_url(newest), "revision": revision_of(newest)}


def _json_after(done: Saved) -> JsonResponse:
    answer: dict[str, Any] = {"problems": [asdict(problem) for problem in done.problems], "told": done.told}
    if done.conflict:
        answer["conflict"] = done.conflict
    if done.version:
        answer |= {"version": str(done.version), "url": version_url(done.version), "is_published": done.is_published}
        answer["revision"] = revision_of(done.version)
    return JsonResponse(answer)
