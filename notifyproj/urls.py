"""Every address of the service, by prefix. Views live in the apps."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("health/", include("notifyproj.health")),
    path("admin/", admin.site.urls),
    path("api/", include("deliveries.api.urls")),
]

handler400 = "deliveries.api.errors.bad_request"
handler404 = "deliveries.api.errors.not_found"
handler500 = "deliveries.api.errors.server_error"
