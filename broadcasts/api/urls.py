"""The addresses of this app under /api/. What is none of them is `deliveries/api/urls.py`'s."""

from __future__ import annotations

from django.urls import path

from broadcasts.api import audiences, members

app_name = "broadcasts-api"
urlpatterns = [
    path("audiences/", audiences.AudienceListView.as_view(), name="audiences"),
    path("audiences/<int:audience_id>/", audiences.AudienceView.as_view(), name="audience"),
    path("audiences/<int:audience_id>/preview/", audiences.PreviewView.as_view(), name="audience-preview"),
    path("audiences/<int:audience_id>/members/", members.MembersView.as_view(), name="audience-members"),
    path("topics/<str:topic>/subscribers/", members.SubscribersView.as_view(), name="topic-subscribers"),
]
