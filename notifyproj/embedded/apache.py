"""Apache Kafka 4 (KRaft, one node) without Docker: its jars from Maven, run by Java 17.

For the tests and benchmarks only; production never imports it. Persistent: it can be killed and started again.
"""

from __future__ import annotations

import secrets
import shutil
import subprocess
from base64 import urlsafe_b64encode
from pathlib import Path

from notifyproj.embedded.kafka import KafkaServer
from notifyproj.embedded.process import HOST, ServerError, free_port

VERSION = "4.1.0"
CACHE = Path(__file__).resolve().parents[2] / ".cache" / f"kafka-{VERSION}"
HOW_TO_GET_JAVA = (
    "Install openjdk-17-jre-headless and maven (Debian: apt-get install), or unset KAFKA_BROKER to use Tansu."
)

POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>notifyproj</groupId><artifactId>kafka</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{VERSION}</version></dependency>
  </dependencies>
</project>
"""
ONE_COPY = (
    "default.replication.factor",
    "min.insync.replicas",
    "offsets.topic.replication.factor",
    "share.coordinator.state.topic.min.isr",
    "share.coordinator.state.topic.replication.factor",
    "transaction.state.log.min.isr",
    "transaction.state.log.replication.factor",
)


class ApacheKafka(KafkaServer):
    """One broker that is its own controller."""

    name = "kafka"
    start_timeout_seconds = 90
    stop_timeout_seconds = 30

    @property
    def data(self) -> Path:
        """Where topics live."""
        return self.folder / "data"

    @property
    def _properties(self) -> Path:
        return self.folder / "server.properties"

    def command(self) -> list[str]:
        """Return the command line of the broker."""
        return [*_java("-Xmx512m"), "kafka.Kafka", str(self._properties)]

    def prepare(self) -> None:
        """Fetch the jars if they are missing, write the configuration and format the data folder."""
        fetch()
        settings = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@{HOST}:{(controller_port := free_port())}",
            "listeners": f"PLAINTEXT://{self.bootstrap},CONTROLLER://{HOST}:{controller_port}",
            "advertised.listeners": f"PLAINTEXT://{self.bootstrap}",
            "controller.listener.names": "CONTROLLER",
            "log.dirs": str(self.data),
            "group.initial.rebalance.delay.ms": "0",
            # Fifty partitions of an internal topic cost a second at the first commit and serve nobody here.
            "offsets.topic.num.partitions": "1",
            "transaction.state.log.num.partitions": "1",
            **dict.fromkeys(ONE_COPY, "1"),
        }
        self._properties.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        if not (self.data / "meta.properties").exists():
            cluster_id = urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")
            _run(
                [*_java(), "kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(self._properties)],
                self.log_path,
            )


def fetch() -> None:
    """Copy Kafka's jars (43 MB) into .cache by Maven, once. Raises ServerError when Maven is missing or fails."""
    libs = CACHE / "libs"
    if libs.exists():
        return
    maven = shutil.which("mvn")
    if maven is None:
        raise ServerError(f"Maven is missing, which fetches Apache Kafka. {HOW_TO_GET_JAVA}")
    CACHE.mkdir(parents=True, exist_ok=True)
    (CACHE / "pom.xml").write_text(POM)
    unfinished = CACHE / "libs.new"
    shutil.rmtree(unfinished, ignore_errors=True)
    goal = ["dependency:copy-dependencies", f"-DoutputDirectory={unfinished}"]
    _run(
        [maven, "--batch-mode", "--no-transfer-progress", "--file", str(CACHE / "pom.xml"), *goal], CACHE / "maven.log"
    )
    unfinished.rename(libs)


def _java(*options: str) -> list[str]:
    java = shutil.which("java")
    if java is None:
        raise ServerError(f"Java is missing, which runs Apache Kafka. {HOW_TO_GET_JAVA}")
    # The quick compiler alone and a single-threaded collector: it starts sooner and leaves the cores to what is tested.
    return [java, *options, "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", str(CACHE / "libs" / "*")]


def _run(command: list[str], log_path: Path) -> None:
    with log_path.open("ab") as log:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, check=False)  # noqa: S603
    if done.returncode != 0:
        raise ServerError(f"{Path(command[0]).name} failed with code {done.returncode}. Its log is {log_path}.")
