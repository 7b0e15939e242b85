"""A real SMTP server in its own process, whose faults the tests choose by the addresses they write to.

Here belong the faults and the handle on the process; plain SMTP lives in `notifyproj.demo.mailbox_server`. The local
part of the recipient (for `mail`, of the sender) says what goes wrong; the domain does not matter:

* `mail-451@`, `rcpt-550@`, `data-452@`, `dot-554@`: that reply to that command; any code.
* `dot-451-x2-anything@`: the fault happens twice for each address, then all is well.
* `drop-mail@`, `drop-rcpt@`, `drop-data@`, `drop-dot@`: the connection ends instead of a reply; the mail of `drop-dot`
  is in the mailbox, as its sender cannot know.
* `slow-250ms@`: the final reply comes that late. `silent-rcpt@`, `silent-dot@`: it never comes.
* `drip-rcpt@`, `drip-dot@`: the reply comes one byte every five seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ipaddress
import json
import os
import re
import signal
import ssl
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from notifyproj.demo.mailbox_server import Answer, Session, parser, run
from tests.waiting import GENEROUS_SECONDS

ROOT = Path(__file__).resolve().parent.parent
NEVER_SECONDS = 3600.0
_REPLY = re.compile(r"(mail|rcpt|data|dot)-(\d{3})(?:-x(\d+))?(?=[-@])")
_SLOW = re.compile(r"slow-(\d+)ms")
_OTHER = re.compile(r"(drop|silent|drip)-(mail|rcpt|data|dot)")
_VERBS = {"MAIL": "mail", "RCPT": "rcpt", "DATA": "data", ".": "dot"}
_times: Counter[str] = Counter()


class FaultySession(Session):
    """Misbehave as the addresses of the open transaction ask."""

    def answer(self, verb: str, usual: Answer) -> Answer:
        name = _VERBS.get(verb)
        if name is None or not usual.reply.startswith(("2", "3")):
            return usual
        address = self.envelope.sender if name == "mail" else self.envelope.recipients[-1]
        return self._fault(name, address) or usual

    def _fault(self, name: str, address: str) -> Answer | None:
        if (found := _REPLY.match(address)) and found[1] == name:
            _times[address] += 1
            if found[3] is not None and _times[address] > int(found[3]):
                return None
            return Answer(f"{found[2]} as {address} asks", close=found[2] == "421")
        if (found := _OTHER.match(address)) and found[2] == name:
            return {
                "drop": Answer("", close=True),
                "silent": Answer("", delay_seconds=NEVER_SECONDS),
                "drip": Answer("250 drop by drop", drip_seconds=5.0),
            }[found[1]]
        if name == "dot" and (found := _SLOW.match(address)):
            return Answer("250 at last", delay_seconds=int(found[1]) / 1000)
        return None


@dataclass(frozen=True, slots=True)
class Certificate:
    """A self-signed certificate for 127.0.0.1: the server's file, and the context of a client that trusts it."""

    path: Path
    client_context: ssl.SSLContext

    @classmethod
    def make(cls, directory: Path) -> Certificate:
        """Write key and certificate, valid for a day, to `directory`."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
        now = datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
            .sign(key, hashes.SHA256())
        )
        pem = certificate.public_bytes(serialization.Encoding.PEM)
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path = directory / "smtp.pem"
        path.write_bytes(secret + pem)
        return cls(path, ssl.create_default_context(cadata=pem.decode()))


class SmtpServer:
    """The process and its receipts. A restart after `stop` or `kill` takes the same port and the same file."""

    def __init__(
        self,
        directory: Path,
        *,
        messages: bool = False,
        pipelining: bool = True,
        certificate: Certificate | None = None,
        implicit_tls: bool = False,
        login: tuple[str, str] | None = None,
    ) -> None:
        self.file = directory / "receipts.jsonl"
        self.host = "127.0.0.1"
        self.port = 0
        self._options = [f"--file={self.file}"]
        self._options += ["--messages"] * messages + ["--no-pipelining"] * (not pipelining)
        self._options += [f"--certificate={certificate.path}"] if certificate else []
        self._options += ["--implicit-tls"] * implicit_tls + ([f"--login={':'.join(login)}"] if login else [])
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> SmtpServer:
        """Start the process and return when it listens."""
        command = [sys.executable, "-m", "tests.smtp", f"--port={self.port}", *self._options]
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        line = self._output().readline()
        if not line.startswith("Ready: "):
            raise RuntimeError(f"the SMTP server did not start: {line!r}, exit code {self._process.wait()}")
        self.port = int(line.rsplit(":", 1)[1])
        return self

    def _output(self) -> Any:
        if self._process is None or self._process.stdout is None:
            raise RuntimeError("the SMTP server is not running")
        return self._process.stdout

    @property
    def pid(self) -> int:
        """The process id, for SIGSTOP and the like."""
        if self._process is None:
            raise RuntimeError("the SMTP server is not running")
        return self._process.pid

    def stop(self) -> None:
        """End it politely; calling it twice is fine."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a crash would."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        with contextlib.closing(self._output()):
            self._process.send_signal(number)
            self._process.wait(timeout=GENEROUS_SECONDS)
        self._process = None

    def receipts(self) -> list[dict[str, Any]]:
        """Read every receipt so far, oldest first: message_id, to, from, at, size and, if stored, message."""
        if not self.file.exists():
            return []
        complete = self.file.read_bytes().rpartition(b"\n")[0]
        return [json.loads(line) for line in complete.splitlines()]

    def forget(self) -> None:
        """Empty the file of receipts. The running server appends, so it goes on from the start."""
        os.truncate(self.file, 0)

    def __enter__(self) -> SmtpServer:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


def main() -> None:
    """Run the server of the command line on uvloop."""
    with contextlib.suppress(asyncio.CancelledError):
        uvloop.run(run(parser().parse_args(), session=FaultySession))


if __name__ == "__main__":
    main()
