"""Every address of this app: below /api/, and as document 001 calls broadcasts below /v1/ (the same views, in its words)."""

from __future__ import annotations

from typing import Any

from django.urls import URLPattern, path, re_path

from broadcasts.api import approving, audiences, broadcasts, checking, members, reading, sending, steering
from broadcasts.api.calling import BroadcastView
from deliveries.api.errors import not_found

ACTIONS: dict[str, type[BroadcastView]] = {
    "submit": approving.SubmitView,
    "withdraw": approving.WithdrawView,
    "approve": approving.ApproveView,
    "reject": approving.RejectView,
    "edit-again": approving.EditAgainView,
    "send-now": sending.SendNowView,
    "schedule": sending.ScheduleView,
    "undo": sending.UndoView,
    "pause": sending.PauseView,
    "resume": sending.ResumeView,
    "cancel": sending.CancelView,
    "speed": steering.SpeedView,
    "retry-failed": steering.RetryFailedView,
    "send-missing": steering.SendMissingView,
    "go-on": steering.GoOnView,
    "recall": steering.RecallView,
    "dry-run": checking.DryRunView,
    "test-send": checking.TestSendView,
    "duplicate": broadcasts.DuplicateView,
}

app_name = "broadcasts-api"
urlpatterns = [
    path("broadcasts/", broadcasts.BroadcastListView.as_view(), name="broadcasts"),
    path("broadcasts/<int:broadcast_id>/", broadcasts.BroadcastDetailView.as_view(), name="broadcast"),
    path("broadcasts/<int:broadcast_id>/events/", reading.EventListView.as_view(), name="broadcast-events"),
    path("broadcasts/<int:broadcast_id>/left-out/", reading.LeftOutListView.as_view(), name="broadcast-left-out"),
    path("broadcasts/<int:broadcast_id>/recipients.csv", reading.RecipientsView.as_view(), name="broadcast-recipients"),
    *(
        path(f"broadcasts/<int:broadcast_id>/{name}/", view.as_view(), name=f"broadcast-{name}")
        for name, view in ACTIONS.items()
    ),
    path("audiences/", audiences.AudienceListView.as_view(), name="audiences"),
    path("audiences/<int:audience_id>/", audiences.AudienceView.as_view(), name="audience"),
    path("audiences/<int:audience_id>/preview/", audiences.PreviewView.as_view(), name="audience-preview"),
    path("audiences/<int:audience_id>/members/", members.MembersView.as_view(), name="audience-members"),
    path("topics/<str:topic>/subscribers/", members.SubscribersView.as_view(), name="topic-subscribers"),
]


def _of_001(address: str, view: type[BroadcastView]) -> URLPattern:
    """Return an address of 001, with or without a slash at its end. OpenAPI describes its twin below /api/."""
    only: dict[str, Any] = {"schema": None, "is_001": True}
    return re_path(rf"^admin/notifications/broadcasts{address}/?$", view.as_view(**only))


ID = r"/(?P<broadcast_id>[0-9]{1,18})"
#: Included below /v1/.
urlpatterns_001 = [
    _of_001("", broadcasts.BroadcastListView),
    _of_001(ID, broadcasts.BroadcastDetailView),
    *(_of_001(f"{ID}/actions/{name}", view) for name, view in ACTIONS.items()),
    re_path(r"", not_found),
]
