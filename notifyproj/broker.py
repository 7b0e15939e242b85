"""The Dramatiq broker, and what a sending process does around it. Senders are started by the stock command:

dramatiq notifyproj.broker --processes 2 --threads 2
"""

from __future__ import annotations

from typing import Any

import dramatiq
import structlog
from django.apps import apps
from django.conf import settings
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import Middleware, ShutdownNotifications, TimeLimit

from deliveries import hints
from notifyproj import startup

if not apps.models_ready:
    startup.boot()

log = structlog.get_logger(__name__)

IDLE_POLL_MS = 50
HEARTBEAT_TIMEOUT_MS = 60_000


class HintBroker(RedisBroker):
    """The stock Redis broker, asked more often: by default an idle consumer may see a hint a second late."""

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 5000) -> Any:
        """Return a consumer. Queues that rarely have a hint keep the stock timeout: each look costs CPU."""
        is_busy = queue_name == hints.QUEUE
        return super().consume(queue_name, prefetch, min(timeout, IDLE_POLL_MS) if is_busy else timeout)


class SendingProcess(Middleware):
    """Gives each worker process its dispatcher after the fork, and drains it before the process ends."""

    def after_process_boot(self, broker: Any) -> None:
        from deliveries import dispatch
        from deliveries.channel_senders import build_senders
        from deliveries.workers.garbage import spare_what_stays
        from deliveries.workers.heartbeat import Heartbeat

        self.heartbeat = Heartbeat("sender")
        self.heartbeat.start()
        try:
            self.dispatcher = dispatch.boot(senders=build_senders(), heartbeat=self.heartbeat)
        except Exception as error:
            # Dramatiq only logs what a middleware raises: the process would look well, take hints and send nothing.
            log.exception("sender cannot start")
            raise SystemExit(1) from error
        spare_what_stays()

    def before_worker_shutdown(self, broker: Any, worker: Any) -> None:
        self.dispatcher.stop()
        self.heartbeat.stop()


def _broker() -> HintBroker:
    return HintBroker(  # type: ignore[no-untyped-call]
        url=settings.REDIS_URL,
        namespace=f"{settings.REDIS_PREFIX}dramatiq",
        heartbeat_timeout=HEARTBEAT_TIMEOUT_MS,
        middleware=[TimeLimit(), ShutdownNotifications(), SendingProcess()],
    )


broker = _broker()
dramatiq.set_broker(broker)

from deliveries import actors  # noqa: E402, F401  (actors register with the broker that is set)
