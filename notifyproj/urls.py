"""Every address of the service, by prefix. Views live in the apps."""

from django.conf import settings
from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from broadcasts.api.urls import urlpatterns_001 as broadcasts_of_001
from deliveries.preferences_page import preferences_page
from deliveries.realtime.views import inbox_page
from deliveries.unsubscribe_page import unsubscribe_page

urlpatterns = [
    path("health/", include("notifyproj.health")),
    path("admin/", admin.site.urls),
    path("api/", include("broadcasts.api.urls")),
    path("api/", include("deliveries.api.urls")),  # its last line answers whatever is unknown
    path("v1/", include(broadcasts_of_001)),
    path("inbox/", inbox_page, name="inbox"),
    path("u/<str:token>", unsubscribe_page, name="unsubscribe"),
    path("u/<str:token>/preferences", preferences_page, name="preferences"),
]
if settings.DEMO:
    urlpatterns.append(path("", include("notifyproj.demo.urls")))
else:
    urlpatterns.append(path("", RedirectView.as_view(pattern_name="admin:index")))

handler400 = "deliveries.api.errors.bad_request"
handler404 = "deliveries.api.errors.not_found"
handler500 = "deliveries.api.errors.server_error"
