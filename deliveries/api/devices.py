"""`/api/devices/`: a person's own app registers where their pushes go. The person is whom the JWT names, never what a body says."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django.core.validators import RegexValidator
from django.db.models import QuerySet
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from deliveries.api.documentation import documented, errors
from deliveries.api.end_user import EndUserAuthentication, IsEndUser, person_of
from deliveries.api.fields import TextField
from deliveries.api.paging import KeysetPagination, read_query
from deliveries.devices import device_register
from deliveries.models import Device

Platform = Device.Platform


class Base64Field(TextField):
    """A number of bytes in base64url, as browsers give a subscription's keys, with padding or without."""

    def __init__(self, *, size: int, **options: Any) -> None:
        super().__init__(**options)
        bare, padding = -(-size * 8 // 6), "=" * (-size % 3)
        pattern = rf"\A[A-Za-z0-9_-]{{{bare}}}({padding})?\Z"
        self.validators.append(RegexValidator(pattern, f"Send {size} bytes in base64url, as the browser gives them."))


class KeysSerializer(serializers.Serializer[Any]):
    """The keys of a Web Push subscription (`PushSubscription.toJSON().keys`)."""

    p256dh = Base64Field(size=65)
    auth = Base64Field(size=16)


class NewDeviceSerializer(serializers.Serializer[Any]):
    """A device as its app knows it."""

    platform = serializers.ChoiceField(Platform.choices)
    token = TextField(
        max_length=2000,
        validators=[RegexValidator(r"\A[!-~]+\Z", "Send the token as the platform gave it, without spaces.")],
        help_text="What the platform calls the device; for webpush the subscription's endpoint.",
    )
    keys = KeysSerializer(required=False, help_text="For webpush, and only there: the subscription's keys.")
    name = TextField(max_length=100, required=False, allow_blank=True, default="", help_text="Such as Ana's phone.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Ask of a browser what only browsers have, and of nothing else."""
        is_browser = attrs["platform"] == Platform.WEBPUSH
        if is_browser and "keys" not in attrs:
            raise serializers.ValidationError({"keys": "Send the subscription's keys: p256dh and auth."}, "required")
        if not is_browser and "keys" in attrs:
            raise serializers.ValidationError({"keys": "Only webpush has keys. Leave them out."}, "not_allowed")
        if is_browser and not _is_https(attrs["token"]):
            raise serializers.ValidationError({"token": "Send the subscription's endpoint, an https: address."}, "url")
        return attrs


class DeviceSerializer(serializers.ModelSerializer[Device]):
    """A device as its owner sees it: without token and keys, which the app has and others could misuse."""

    class Meta:
        model = Device
        fields = ["id", "platform", "name", "created_at", "seen_at"]
        read_only_fields = fields


class DeviceListView(GenericAPIView[Device]):
    """The devices of the person who is calling."""

    authentication_classes = [EndUserAuthentication]
    permission_classes = [IsEndUser]
    serializer_class = DeviceSerializer
    pagination_class = KeysetPagination

    @documented(
        operation_id="devices_list",
        tags=["devices"],
        summary="List one's own devices, those registered last first",
        responses={200: DeviceSerializer(many=True), **errors(400, 404)},
    )
    def get(self, request: Request) -> Response:
        """Answer one page."""
        read_query(request)
        rows = _own(request).only(*DeviceSerializer.Meta.fields)
        return self.get_paginated_response(self.get_serializer(self.paginate_queryset(rows), many=True).data)

    @documented(
        operation_id="devices_register",
        tags=["devices"],
        summary="Register a device for one's own pushes",
        description="Safe to repeat, and apps should at each start. A device that was somebody else's is one's own from then on.",
        request=NewDeviceSerializer,
        responses={200: DeviceSerializer, 201: DeviceSerializer, **errors(400, 413, 415)},
    )
    def post(self, request: Request) -> Response:
        """Store the device; 201 when it is new to the person."""
        new = NewDeviceSerializer(data=request.data)
        new.is_valid(raise_exception=True)
        person = person_of(request)
        device, is_new = device_register(
            tenant=person.tenant, user_id=person.user_id, **{"keys": {}, **new.validated_data}
        )
        return Response(DeviceSerializer(device).data, status=201 if is_new else 200)


class DeviceView(APIView):
    """One device of the person who is calling."""

    authentication_classes = [EndUserAuthentication]
    permission_classes = [IsEndUser]

    @documented(
        operation_id="devices_delete",
        tags=["devices"],
        summary="Send no more pushes to a device",
        description="What an app does when its person signs out.",
        responses={204: None, **errors(404)},
    )
    def delete(self, request: Request, device_id: int) -> Response:
        """Forget the device."""
        deleted, _ = _own(request).filter(pk=device_id).delete()
        if not deleted:
            raise NotFound()
        return Response(status=204)


def _own(request: Request) -> QuerySet[Device]:
    person = person_of(request)
    return Device.objects.filter(tenant=person.tenant, user_id=person.user_id)


def _is_https(address: str) -> bool:
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    return parts.scheme == "https" and bool(parts.hostname)
