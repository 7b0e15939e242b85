"""Real servers without Docker and without root: PostgreSQL, Valkey and a Kafka broker as child processes of this one.

For the demo, the tests and the benchmarks only. Their wheels are in requirements-dev.txt, so no production command may
import this package. Here: starting, watching and stopping servers. Not here: what is done with them.
"""

from notifyproj.embedded.apache import ApacheKafka
from notifyproj.embedded.kafka import Tansu
from notifyproj.embedded.postgres import Postgres
from notifyproj.embedded.process import Server, ServerError, start_all
from notifyproj.embedded.valkey import Valkey

__all__ = ["ApacheKafka", "Postgres", "Server", "ServerError", "Tansu", "Valkey", "start_all"]
