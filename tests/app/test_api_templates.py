"""/api/templates/: list, create, read, write the draft, publish."""

from __future__ import annotations

from typing import Any

import pytest

from deliveries.models import Template, TemplateVersion
from tests.api import Caller, staff
from tests.factories import ApiKeyFactory, TemplateFactory

pytestmark = pytest.mark.django_db


def words(text: str = "Hi {{ name }}", **more: Any) -> dict[str, Any]:
    return {"default_locale": "en", "contents": [{"locale": "en", "subject": "Welcome", "text": text, **more}]}


def new(**changes: Any) -> dict[str, Any]:
    return {"code": "welcome", "name": "Welcome", **words(), **changes}


def test_a_new_template_is_a_draft_until_it_is_published(call, key) -> None:
    made = call.post("templates/", new())
    assert made.status == 201
    assert (made.body["tenant"], made.body["published"], made.body["draft"]["number"]) == (key.tenant.slug, None, 1)
    published = call.post(f"templates/{made.body['id']}/publish/")
    assert published.status == 200
    assert published.body["draft"] is None
    assert published.body["published"]["contents"][0]["text"] == "Hi {{ name }}"
    again = call.post(f"templates/{made.body['id']}/publish/")
    assert (again.status, again.body["code"]) == (409, "nothing_to_publish")


def test_writing_a_draft_leaves_what_is_published(call, key) -> None:
    template = TemplateFactory(tenant=key.tenant, text="one")
    answer = call.put(f"templates/{template.pk}/", words("two", html="<p>two</p>", action_url="/x"))
    assert answer.status == 200
    assert answer.body["published"]["contents"][0]["text"] == "one"
    assert (answer.body["draft"]["number"], answer.body["draft"]["contents"][0]["html"]) == (2, "<p>two</p>")
    assert call.put(f"templates/{template.pk}/", words("three")).body["draft"]["number"] == 2
    assert call.get(f"templates/{template.pk}/").body["draft"]["contents"][0]["text"] == "three"


def test_a_source_that_is_not_sound_is_refused_with_its_place(call, key) -> None:
    template = TemplateFactory(tenant=key.tenant)
    for answer in (
        call.put(f"templates/{template.pk}/", words("Hi\n{{ name")),
        call.post("templates/", new(contents=words("Hi\n{{ name")["contents"])),
    ):
        assert (answer.status, answer.body["code"]) == (400, "template_refused")
        (problem,) = answer.body["problems"]
        assert (problem["locale"], problem["part"], problem["line"]) == ("en", "text", 2)
    assert Template.objects.filter(tenant=key.tenant).count() == 1
    assert not TemplateVersion.objects.filter(state="draft").exists()


def test_what_has_no_text_cannot_be_published(call) -> None:
    made = call.post("templates/", new(contents=words("")["contents"]))
    answer = call.post(f"templates/{made.body['id']}/publish/")
    assert (answer.status, answer.body["code"]) == (400, "template_refused")


def test_a_code_is_taken_once_in_each_tenant(call) -> None:
    assert call.post("templates/", new()).status == 201
    answer = call.post("templates/", new())
    assert (answer.status, answer.body["code"]) == (409, "code_taken")
    assert Caller(ApiKeyFactory()).post("templates/", new()).status == 201


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"code": "no spaces"}, "code"), ({"code": 7}, "code"), ({"name": "  "}, "name"), ({"default_locale": ""}, "default_locale"),
        ({"contents": []}, "contents"), ({"contents": words()["contents"] * 2}, "contents"), ({"contents": {}}, "contents"),
        ({"contents": [{"locale": "en", "subject": "x" * 501, "text": ""}]}, "contents"),
    ],
)  # fmt: skip
def test_a_wrong_field_is_named(call, change: dict[str, Any], field: str) -> None:
    answer = call.post("templates/", new(**change))
    assert (answer.status, answer.body["code"]) == (400, "invalid")
    assert answer.body[field]
    assert not Template.objects.exists()


def test_the_list_takes_a_constant_number_of_queries(call, key, django_assert_num_queries) -> None:
    for _ in range(4):
        TemplateFactory(tenant=key.tenant)
    TemplateFactory()
    call.get("templates/")
    with django_assert_num_queries(4):
        assert len(call.get("templates/").body["results"]) == 4
    with django_assert_num_queries(4):
        assert len(call.get("templates/?limit=1").body["results"]) == 1


@pytest.mark.parametrize("template_id", [0, 2**31, 2**63, 10**30, "x"])
def test_an_id_that_cannot_be_is_404(call, template_id: object) -> None:
    assert call.get(f"templates/{template_id}/").status == 404


def test_staff_need_the_permission_for_each_method_and_are_named_as_author() -> None:
    template = TemplateFactory()
    path = f"templates/{template.pk}/"
    someone = staff("view_template")
    assert someone.get(path).status == 200
    assert someone.put(path, words()).status == 403
    assert someone.post(f"{path}publish/").status == 403
    editor = staff("change_template")
    assert editor.put(path, words("two")).status == 200
    author = TemplateVersion.objects.get(template=template, state="draft").created_by
    assert author.pk == int(editor.client.session["_auth_user_id"])
    assert editor.post(f"{path}publish/").status == 200
    assert editor.post("templates/", new()).status == 403
    assert staff("add_template").post(f"templates/?tenant={template.tenant.slug}", new()).status == 201
