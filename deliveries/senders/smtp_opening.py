"""Opening a connection to a mail server: TLS and login by aiosmtplib, and every way they can fail told apart. What goes over it: `smtp`."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import cast

import aiosmtplib

from deliveries.senders.base import SendError
from deliveries.senders.smtp import Endpoint, Reply, SmtpConnection, refusal

_CONNECT_FAULTS: tuple[tuple[type[BaseException], str, str], ...] = (
    (socket.gaierror, "dns_failure", "Its name could not be resolved; check the host and the resolver."),
    (
        ssl.SSLError,
        "tls_failure",
        "TLS could not be agreed on; check certificate, host name, port and the TLS settings.",
    ),
    (ConnectionRefusedError, "connection_refused", "Nothing listens there; check host, port and that it runs."),
    (TimeoutError, "timeout", "It did not answer in time; check host, port and firewall."),
    (OSError, "connection_failed", "The connection could not be opened; check host, port and network."),
)


async def connect(endpoint: Endpoint) -> SmtpConnection:
    """Connect, agree on TLS and log in (aiosmtplib), and take the ready connection over. The caller bounds the time.

    Raises: SendError, never permanent and never ambiguous: no mail is involved yet.
    """
    client = aiosmtplib.SMTP(
        hostname=endpoint.host,
        port=endpoint.port,
        username=endpoint.username or None,
        password=endpoint.password if endpoint.username else None,
        local_hostname=endpoint.helo_name,
        timeout=None,
        use_tls=endpoint.use_tls,
        start_tls=False if endpoint.use_tls else endpoint.starttls,
        tls_context=endpoint.tls_context,
    )
    await _told_apart(endpoint, client.connect)
    if client.is_ehlo_or_helo_needed:
        await _told_apart(endpoint, client.ehlo)
    if client.protocol is None or client.protocol.transport is None:
        raise _broken(endpoint, ConnectionResetError("closed after the greeting"))
    return SmtpConnection(
        cast(asyncio.Transport, client.protocol.transport), pipelining=client.supports_extension("pipelining")
    )


async def _told_apart(endpoint: Endpoint, step: Callable[[], Awaitable[object]]) -> None:
    """Run one step of the opening, with every way it can fail turned into a SendError."""
    try:
        await step()
    except aiosmtplib.SMTPAuthenticationError as error:
        raise refusal(endpoint, "AUTH", Reply.told(error)) from error
    except aiosmtplib.SMTPHeloError as error:
        raise refusal(endpoint, "EHLO", Reply.told(error)) from error
    except aiosmtplib.SMTPConnectResponseError as error:
        raise refusal(endpoint, "greeting", Reply.told(error)) from error
    except aiosmtplib.SMTPResponseException as error:
        raise refusal(endpoint, "EHLO", Reply.told(error)) from error
    except OSError as error:  # aiosmtplib's connection errors and timeouts are OSErrors too, with the cause beneath
        raise _broken(endpoint, error) from error
    except aiosmtplib.SMTPException as error:  # STARTTLS or AUTH asked of a server that has none
        code = "tls_failure" if "STARTTLS extension" in str(error) else "login_unsupported"
        message = f"{endpoint.provider}: {error} Change the e-mail settings, or the server's."
        raise SendError(code, message, provider=endpoint.provider, account=True) from error


def _broken(endpoint: Endpoint, error: OSError) -> SendError:
    beneath = error.__cause__ if isinstance(error, aiosmtplib.SMTPException) else None
    cause = beneath if isinstance(beneath, OSError) else error
    if f"[Errno {errno.ECONNREFUSED}]" in str(cause):  # several addresses, all refused
        cause = ConnectionRefusedError(str(cause))
    code, advice = next((code, advice) for kind, code, advice in _CONNECT_FAULTS if isinstance(cause, kind))
    return SendError(code, f"{endpoint.provider}: {cause}. {advice}", provider=endpoint.provider)
