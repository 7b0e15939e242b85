"""Every address under /api/. The last line answers what none of the others knows, in JSON."""

from __future__ import annotations

from django.urls import path, re_path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

from deliveries.api import (
    callbacks,
    contacts,
    deliveries,
    devices,
    jobs,
    preferences,
    schemas,
    template_preview,
    templates,
)
from deliveries.api.errors import not_found

app_name = "api"
urlpatterns = [
    path("jobs/", jobs.JobsView.as_view(), name="jobs"),
    path("jobs/validate/", jobs.ValidateJobsView.as_view(), name="jobs-validate"),
    path("deliveries/", deliveries.DeliveryListView.as_view(), name="deliveries"),
    path("deliveries/<uuid:job_id>/", deliveries.DeliveryView.as_view(), name="delivery"),
    path("deliveries/<uuid:job_id>/replay/", deliveries.ReplayView.as_view(), name="delivery-replay"),
    path("deliveries/<uuid:job_id>/cancel/", deliveries.CancelView.as_view(), name="delivery-cancel"),
    path("templates/", templates.TemplateListView.as_view(), name="templates"),
    path("templates/<int:template_id>/", templates.TemplateView.as_view(), name="template"),
    path("templates/<int:template_id>/publish/", templates.PublishView.as_view(), name="template-publish"),
    path("templates/<int:template_id>/preview/", template_preview.PreviewView.as_view(), name="template-preview"),
    path("contacts/", contacts.ContactListView.as_view(), name="contacts"),
    path("contacts/<uuid:user_id>/", contacts.ContactView.as_view(), name="contact"),
    path("devices/", devices.DeviceListView.as_view(), name="devices"),
    path("devices/<int:device_id>/", devices.DeviceView.as_view(), name="device"),
    path("preferences/", preferences.PreferencesView.as_view(), name="preferences"),
    path("callbacks/<int:provider_id>/", callbacks.CallbackView.as_view(), name="callback"),
    path("schemas/notification-job.json", schemas.NotificationJobSchemaView.as_view(), name="job-schema"),
    path("schema/", SpectacularAPIView.as_view(), name="openapi"),
    path("docs/", SpectacularSwaggerView.as_view(url_name="api:openapi"), name="docs"),
    re_path(r"", not_found, name="unknown"),
]
