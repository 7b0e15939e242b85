"""The web process: Django over HTTP, the inbox over WebSocket, and the hub's life. Wires and decides nothing.

    uvicorn notifyproj.asgi:application --ws websockets-sansio --ws-per-message-deflate false --ws-max-size 65536 --no-access-log

`websockets-sansio` takes the least memory a socket and deflate would cost gigabytes at thousands of them. `--ws-max-size`
refuses a large frame while it arrives; WS_MAX_FRAME_BYTES refuses it only when it is there. uvicorn's pings (every 20 s)
find clients that are gone.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from django.core.asgi import get_asgi_application

from notifyproj import startup

startup.boot()
django_application = get_asgi_application()  # also loads the apps, which the imports below need

from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from django.urls import path, re_path  # noqa: E402

from deliveries.realtime.auth import HideTokens, conceal_token, verifier_from_settings  # noqa: E402
from deliveries.realtime.connection import Send  # noqa: E402
from deliveries.realtime.consumers import NoSuchEndpoint, NotificationConsumer, Receive, Scope  # noqa: E402
from deliveries.realtime.hub import hub_from_settings  # noqa: E402
from deliveries.workers.heartbeat import Heartbeat, Watch  # noqa: E402

PULSE_SECONDS = 1.0
SERVER_LOGGERS = ("uvicorn.error", "uvicorn.access", "uvicorn.asgi")

hub = hub_from_settings()


async def lifespan(scope: Scope, receive: Receive, send: Send) -> None:
    """Open the hub before the first connection and close it after the last; show meanwhile that the process lives."""
    await receive()  # lifespan.startup
    heartbeat = Heartbeat("web")
    pulse = asyncio.create_task(beat(heartbeat.watch("event loop")))
    heartbeat.start()
    await hub.start()
    await send({"type": "lifespan.startup.complete"})
    await receive()  # lifespan.shutdown
    heartbeat.draining()
    await hub.stop()
    pulse.cancel()
    await asyncio.to_thread(heartbeat.stop)
    await send({"type": "lifespan.shutdown.complete"})


async def beat(watch: Watch) -> None:
    """Show that the event loop comes round. Something that blocks it turns the process unhealthy."""
    while True:
        watch.moved()
        await asyncio.sleep(PULSE_SECONDS)


# Channels routes ASGI applications by Django's patterns, which are typed for views.
notifications: Any = NotificationConsumer(hub, verifier_from_settings())
elsewhere: Any = NoSuchEndpoint()
websockets = URLRouter([path("ws/notifications/", notifications), re_path("", elsewhere)])
router = ProtocolTypeRouter({"http": django_application, "websocket": websockets, "lifespan": lifespan})


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Route one connection. First of all its token goes out of sight, of the server's log too: it prints this same scope."""
    if scope["type"] == "websocket":
        conceal_token(scope)
    await router(scope, receive, send)


for name in SERVER_LOGGERS:
    logging.getLogger(name).addFilter(HideTokens())
