"""Worker processes as the database knows them. The row decides who is down; the Redis key of the same name serves monitors."""

from __future__ import annotations

from django.db import models


class WorkerHeartbeat(models.Model):
    """One process: what it is, when it last breathed, when its work last moved, and what it has done (contracts, section 6)."""

    class State(models.TextChoices):
        RUNNING = "running", "Running"
        STUCK = "stuck", "Stuck"
        STOPPING = "stopping", "Stopping"
        STOPPED = "stopped", "Stopped"

    service_type = models.CharField(max_length=32)
    instance_id = models.CharField(max_length=128)
    pid = models.IntegerField()
    host = models.CharField(max_length=255)
    state = models.CharField(max_length=8, choices=State.choices, default=State.RUNNING)
    started_at = models.DateTimeField()
    beat_at = models.DateTimeField()
    progress_at = models.DateTimeField(help_text="When its work last moved, or it was last seen idle.")
    messages_consumed = models.BigIntegerField(default=0)
    messages_sent = models.BigIntegerField(default=0)
    messages_failed = models.BigIntegerField(default=0)
    messages_retried = models.BigIntegerField(default=0)
    avg_processing_time_ms = models.FloatField(default=0)
    detail = models.JSONField(default=dict)

    class Meta:
        ordering = ["service_type", "instance_id"]
        verbose_name = "worker"
        constraints = [models.UniqueConstraint(fields=["service_type", "instance_id"], name="worker_instance_once")]

    def __str__(self) -> str:
        return f"{self.service_type}:{self.instance_id}"
