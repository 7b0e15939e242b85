"""The demo's app, installed only with DEMO=1: the tour page, sample data and the commands behind `make demo`."""

from django.apps import AppConfig


class DemoConfig(AppConfig):
    name = "notifyproj.demo"
    label = "demo"
    verbose_name = "Demo"
