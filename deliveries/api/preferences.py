"""`/api/preferences/`: what the person who is calling wants to get. Whom it is about is whom the JWT names."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from deliveries.api.documentation import documented, errors
from deliveries.api.end_user import EndUserAuthentication, IsEndUser, person_of
from deliveries.channels import Channel
from deliveries.preferences import PreferenceRefused, Preferences, preferences_change, preferences_of

CHANNELS = [channel.value for channel in Channel]


class ChoiceSerializer(serializers.Serializer[Any]):
    """One category. `is_mandatory`: always on."""

    key = serializers.CharField()
    name = serializers.CharField()
    description = serializers.CharField(allow_blank=True)
    is_mandatory = serializers.BooleanField()
    channels = serializers.DictField(child=serializers.BooleanField(), help_text="Whether it is on, by channel.")


class PreferencesSerializer(serializers.Serializer[Preferences]):
    """What reaches the person. `opted_out`: channels over which nothing at all does."""

    channels = serializers.ListField(child=serializers.ChoiceField(CHANNELS))
    opted_out = serializers.ListField(child=serializers.ChoiceField(CHANNELS))
    categories = ChoiceSerializer(many=True)


class ChangeSerializer(serializers.Serializer[Any]):
    """What to switch; what is not named stays."""

    categories = serializers.DictField(
        child=serializers.DictField(child=serializers.BooleanField()),
        help_text='By category and channel: {"newsletter": {"email": false}}.',
    )

    def validate_categories(self, named: dict[str, dict[str, bool]]) -> dict[tuple[str, str], bool]:
        """Return it flat. Raises: ValidationError for what only looks like true or false."""
        given = self.initial_data["categories"]
        if any(not isinstance(value, bool) for channels in given.values() for value in channels.values()):
            raise serializers.ValidationError("Say true or false for each channel.", "invalid")
        return {(key, channel): is_on for key, channels in named.items() for channel, is_on in channels.items()}


class PreferencesView(APIView):
    """The preferences of the person who is calling."""

    authentication_classes = [EndUserAuthentication]
    permission_classes = [IsEndUser]

    @documented(
        operation_id="preferences_retrieve",
        tags=["preferences"],
        summary="Read what reaches oneself",
        responses={200: PreferencesSerializer, **errors()},
    )
    def get(self, request: Request) -> Response:
        """Answer categories by channels. As many queries however many they are."""
        person = person_of(request)
        found = preferences_of(tenant=person.tenant, user_id=person.user_id)
        return Response(PreferencesSerializer(found).data)

    @documented(
        operation_id="preferences_change",
        tags=["preferences"],
        summary="Switch categories on or off",
        description="All that is named, or nothing. Safe to repeat. 400 for a category that nobody may leave.",
        request=ChangeSerializer,
        responses={200: PreferencesSerializer, **errors(400, 413, 415)},
    )
    def patch(self, request: Request) -> Response:
        """Switch and answer what holds then."""
        change = ChangeSerializer(data=request.data)
        change.is_valid(raise_exception=True)
        person = person_of(request)
        try:
            found = preferences_change(
                tenant=person.tenant, user_id=person.user_id, wanted=change.validated_data["categories"]
            )
        except PreferenceRefused as error:
            raise serializers.ValidationError(error.problems) from None
        return Response(PreferencesSerializer(found).data)
