"""`manage.py run_worker`: run the periodic workers until told to stop."""

from __future__ import annotations

import logging
from argparse import ArgumentParser
from typing import Any

import structlog
from django.core.management.base import BaseCommand, CommandError
from django.utils.module_loading import autodiscover_modules

from deliveries.workers.heartbeat import Heartbeat
from deliveries.workers.periodic import PeriodicRunner
from deliveries.workers.registry import UnknownWorkerError, find_workers
from deliveries.workers.stopping import stop_event

log = structlog.get_logger(__name__)
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


class Command(BaseCommand):
    help = (
        "Run periodic workers, each on a thread of its own. Any number of processes may run; SIGTERM ends one cleanly."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--name", action="append", metavar="NAME", help="Only this worker; may be given again.")
        parser.add_argument("--log-level", type=str.upper, choices=LEVELS, help="Default: LOG_LEVEL.")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["log_level"]:
            logging.getLogger().setLevel(options["log_level"])
        autodiscover_modules("periodic_workers")
        try:
            workers = find_workers(options["name"])
        except UnknownWorkerError as error:
            raise CommandError(str(error)) from None
        stopping = stop_event()
        names = [worker.name for worker in workers]
        with Heartbeat("periodic") as heartbeat:
            log.info("workers run", names=names)
            whole = PeriodicRunner(workers, heartbeat=heartbeat, stop=stopping).run()
        log.info("workers stopped", names=names, rounds_cut=not whole)
