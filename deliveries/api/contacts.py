"""`/api/contacts/`: a tenant's people, one by one or up to a thousand at once."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final
from uuid import UUID

from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from deliveries.api.callers import Caller, caller_of
from deliveries.api.documentation import TENANT_PARAMETER, documented, errors
from deliveries.api.errors import ApiError
from deliveries.api.fields import CanonicalUUIDField, EmailField, LocaleField, PhoneField, TextField, TimeZoneField
from deliveries.api.paging import KeysetPagination, read_query
from deliveries.channels import Channel
from deliveries.contacts.store import contacts_store
from deliveries.models import ApiKey, Contact

MAX_PEOPLE: Final = 1000


class PersonSerializer(serializers.Serializer[Contact]):
    """What is known of a person. A field that is left out is empty afterwards."""

    name = TextField(max_length=200, required=False, allow_blank=True)
    email = EmailField(required=False, allow_blank=True)
    phone = PhoneField(required=False, allow_blank=True, help_text="Such as +4915112345678.")
    locale = LocaleField(required=False, allow_blank=True, help_text="Such as ru or pt-BR.")
    time_zone = TimeZoneField(max_length=64, required=False, allow_blank=True, help_text="Such as Europe/Berlin.")
    attributes = serializers.DictField(required=False, help_text="Free fields, for templates.")
    opted_out = serializers.ListField(
        child=serializers.ChoiceField([channel.value for channel in Channel]),
        required=False,
        max_length=len(Channel),
        help_text="Channels that this person does not want.",
    )


class NewPersonSerializer(PersonSerializer):
    """A person with their id."""

    user_id = CanonicalUUIDField(help_text="The id that your own systems know the person by.")


class PeopleSerializer(serializers.Serializer[Any]):
    """Up to a thousand people; each at most once."""

    contacts = serializers.ListField(child=NewPersonSerializer(), min_length=1, max_length=MAX_PEOPLE)

    def validate_contacts(self, people: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Refuse a person who is named twice."""
        twice = [user_id for user_id, count in Counter(person["user_id"] for person in people).items() if count > 1]
        if twice:
            raise serializers.ValidationError(f"{twice[0]} is named more than once.", "named_twice")
        return people


class StoredSerializer(serializers.Serializer[Any]):
    """How many contacts are stored as given."""

    stored = serializers.IntegerField()


class ContactSerializer(serializers.ModelSerializer[Contact]):
    """A contact as it is stored."""

    tenant = serializers.CharField(source="tenant.slug", read_only=True)

    class Meta:
        model = Contact
        fields = [
            "user_id", "tenant", "name", "email", "phone", "locale", "time_zone", "attributes", "opted_out",
            "created_at", "updated_at",
        ]  # fmt: skip
        read_only_fields = fields


class ContactListView(GenericAPIView[Contact]):
    """All of a tenant's people."""

    scope = ApiKey.Scope.CONTACTS
    staff_model = Contact
    staff_actions = {"GET": ("view",), "HEAD": ("view",), "POST": ("add", "change")}
    serializer_class = ContactSerializer
    pagination_class = KeysetPagination

    @documented(
        operation_id="contacts_list",
        tags=["contacts"],
        summary="List contacts, newest first",
        parameters=[TENANT_PARAMETER],
        responses={200: ContactSerializer(many=True), **errors(400, 404)},
    )
    def get(self, request: Request) -> Response:
        """Answer one page."""
        read_query(request)
        rows = caller_of(request).visible(Contact.objects.select_related("tenant"))
        return self.get_paginated_response(self.get_serializer(self.paginate_queryset(rows), many=True).data)

    @documented(
        operation_id="contacts_store",
        tags=["contacts"],
        summary="Create or replace many contacts",
        description="All of them or none. Safe to repeat.",
        parameters=[TENANT_PARAMETER],
        request=PeopleSerializer,
        responses={200: StoredSerializer, **errors(400, 404, 413, 415)},
    )
    def post(self, request: Request) -> Response:
        """Store the people of the body in one statement."""
        people = _checked(PeopleSerializer(data=request.data))["contacts"]
        return Response({"stored": len(contacts_store(tenant=caller_of(request).home(), people=people))})


class ContactView(APIView):
    """One person."""

    scope = ApiKey.Scope.CONTACTS
    staff_model = Contact

    @documented(
        operation_id="contacts_retrieve",
        tags=["contacts"],
        summary="Read one contact",
        parameters=[TENANT_PARAMETER],
        responses={200: ContactSerializer, **errors(400, 404, 409)},
    )
    def get(self, request: Request, user_id: UUID) -> Response:
        """Answer the contact."""
        return Response(ContactSerializer(_find(caller_of(request), user_id)).data)

    @documented(
        operation_id="contacts_replace",
        tags=["contacts"],
        summary="Create or replace one contact",
        description="Safe to repeat. A field that is left out is empty afterwards.",
        parameters=[TENANT_PARAMETER],
        request=PersonSerializer,
        responses={200: ContactSerializer, 201: ContactSerializer, **errors(400, 404, 413, 415)},
    )
    def put(self, request: Request, user_id: UUID) -> Response:
        """Store the person; 201 when they are new."""
        if user_id.int == 0:
            raise NotFound()
        person = _checked(PersonSerializer(data=request.data))
        home = caller_of(request).home()
        known = Contact.objects.filter(tenant=home, user_id=user_id).exists()
        contacts_store(tenant=home, people=[{**person, "user_id": user_id}])
        stored = Contact.objects.select_related("tenant").get(tenant=home, user_id=user_id)
        return Response(ContactSerializer(stored).data, status=200 if known else 201)

    @documented(
        operation_id="contacts_delete",
        tags=["contacts"],
        summary="Delete one contact",
        description="Deliveries of the past keep the address they went to.",
        parameters=[TENANT_PARAMETER],
        responses={204: None, **errors(400, 404, 409)},
    )
    def delete(self, request: Request, user_id: UUID) -> Response:
        """Delete the contact."""
        _find(caller_of(request), user_id).delete()
        return Response(status=204)


def _checked(serializer: serializers.Serializer[Any]) -> dict[str, Any]:
    serializer.is_valid(raise_exception=True)
    return dict(serializer.validated_data)


def _find(caller: Caller, user_id: UUID) -> Contact:
    """Return the caller's contact. Raises: NotFound; ApiError 409 when staff named no tenant and several have the id."""
    found = list(caller.visible(Contact.objects.select_related("tenant").filter(user_id=user_id))[:2])
    if not found:
        raise NotFound()
    if len(found) > 1:
        raise ApiError(409, "ambiguous", "Several tenants have a contact with this user_id; name one with ?tenant=.")
    return found[0]
