"""The tour page's addresses, served in the demo only."""

from django.urls import path

from notifyproj.demo import views

app_name = "demo"
urlpatterns = [
    path("", views.tour, name="tour"),
    path("demo/staff/", views.log_in, name="log-in"),
    path("demo/send/", views.send, name="send"),
    path("demo/bad/", views.send_bad, name="bad"),
    path("demo/jobs/<uuid:job_id>/", views.job, name="job"),
    path("demo/records/<int:partition>/<int:offset>/", views.record, name="record"),
    path("demo/status/", views.status, name="status"),
    path("demo/stop-a-sender/", views.stop_a_sender, name="stop-a-sender"),
    path("demo/wipe-redis/", views.wipe_redis, name="wipe-redis"),
    path("demo/loads/<uuid:load>/", views.load, name="load"),
    path("demo/break-provider/", views.break_provider, name="break-provider"),
    path("demo/mailbox/", views.mailbox_list, name="mailbox"),
    path("demo/mailbox/<slug:key>/", views.mail, name="mail"),
]
