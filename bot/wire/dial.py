"""From a host's name to a socket that is ready for IRC: resolve, connect to the first address that answers, do TLS.

A part of the keeper (standard library only). TLS is verified, chain and name, before a byte of IRC; there is no way
back to plain text. Whatever fails is said in words that name the cause. Who dials, when, and for how long at most, is
`keeper`'s affair: it cancels `dial` at its deadline.

RFC 8305 (the next address, a little later), RFC 9525 (the name in the certificate).
"""

from __future__ import annotations

import asyncio
import itertools
import socket
import ssl
import threading
from collections.abc import Callable
from typing import Any

STAGGER_SECONDS = 0.25  # RFC 8305 section 5: after this the next address is tried as well
RECEIVE_BYTES = 256 * 1024  # that the system holds for us, instead of up to 6 MB: a PING waits behind what is there

#: What `socket.getaddrinfo` gives: family, kind, protocol, canonical name, address.
Address = tuple[int, int, int, str, Any]


#: What OpenSSL calls an answer that is not TLS at all, depending on its version and on the first bytes.
_PLAIN_TEXT = {"wrong version number", "record layer failure", "packet length too long", "http request"}
_PLAIN_TEXT_HINT = "if it is a port for plain text, write tls: false"


class CannotDial(Exception):
    """Why there is no connection, in words for the operator."""


async def dial(
    host: str,
    port: int,
    tls: dict[str, Any] | None,
    protocol: Callable[[], asyncio.Protocol],
    bind: str | None = None,
    waits: Callable[[str], object] = lambda why: None,
) -> None:
    """Connect, and hand the connection to a new `protocol()`.

    Args:
        tls: None for plain text, else `ca_file`, `certificate` and `key` (paths of PEM files), `fingerprints` (the
            protocol compares them) and `verify_name` (instead of `host`), each of which may be missing or None.
        bind: address of this machine to connect from; only addresses of its family are tried.
        waits: told at each step what it waits for, in words for who gives it up meanwhile.

    Raises:
        CannotDial: the cause, in one sentence.
    """
    place = f"{host}:{port}"
    try:
        context = None if tls is None else _tls_context(tls)
        waits(f"no name server has told where {host} is")
        addresses = await _resolve(host, port)
        waits(f"{place} does not answer; is the port right, and does a firewall let us through?")
        found = await _connect(addresses, _local(bind))
        name = None if tls is None else tls.get("verify_name") or host
        waits(f"{place} has taken the connection, but does not answer in TLS; {_PLAIN_TEXT_HINT}")
        await asyncio.get_running_loop().create_connection(protocol, sock=found, ssl=context, server_hostname=name)
    except (OSError, ValueError) as error:
        raise CannotDial(_in_words(error, place, tls is not None)) from error


def _tls_context(tls: dict[str, Any]) -> ssl.SSLContext:
    """TLS 1.2 or newer, chain and name verified. Pinned fingerprints replace both: they say more."""
    try:
        context = ssl.create_default_context(cafile=tls.get("ca_file"))
    except OSError as error:
        raise CannotDial(f"can't use the CA file {tls.get('ca_file')}: {error.strerror or error}") from error
    if tls.get("fingerprints"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.get("certificate"):
        try:
            # Without the empty password OpenSSL would ask for one at the terminal, and all would stand still.
            context.load_cert_chain(tls["certificate"], tls.get("key"), lambda: "")
        except OSError as error:
            raise CannotDial(f"can't use the client certificate {tls['certificate']}: {error}") from error
    return context


async def _resolve(host: str, port: int) -> list[Address]:
    """All addresses, the two families in turn (RFC 8305 section 4), looked up afresh each time.

    A thread of its own, not the loop's pool: a resolver that hangs must not keep the program from ending.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[list[Address]] = loop.create_future()

    def tell(answered: list[Address] | Exception) -> None:
        if not answer.done():
            if isinstance(answered, Exception):
                answer.set_exception(answered)
            else:
                answer.set_result(answered)

    def look() -> None:
        answered: list[Address] | Exception
        try:
            answered = list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            answered = CannotDial(f"can't resolve {host}: {getattr(error, 'strerror', None) or error}")
        try:
            loop.call_soon_threadsafe(tell, answered)
        except RuntimeError:
            pass  # the program ended meanwhile

    threading.Thread(target=look, daemon=True, name=f"resolve {host}").start()
    families: dict[int, list[Address]] = {}
    for found in await answer:
        families.setdefault(found[0], []).append(found)
    return [each for rank in itertools.zip_longest(*families.values()) for each in rank if each is not None]


def _local(bind: str | None) -> Address | None:
    """The address of our own to connect from, with any port."""
    if bind is None:
        return None
    try:
        return socket.getaddrinfo(bind, 0, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)[0]
    except OSError as error:
        raise CannotDial(f"can't connect from {bind}: it is no IP address") from error


async def _connect(addresses: list[Address], local: Address | None = None) -> socket.socket:
    """The first of the addresses to accept; the next is tried when one fails, or after STAGGER_SECONDS."""
    waiting = [each for each in addresses if local is None or each[0] == local[0]]
    if addresses and local is not None and not waiting:
        raise CannotDial(f"can't connect from {local[4][0]}: the server has no address of that kind")
    trying = set[asyncio.Task[socket.socket]]()
    first_error: BaseException | None = None
    try:
        while waiting or trying:
            if waiting:
                trying.add(asyncio.ensure_future(_attempt(waiting.pop(0), local)))
            ended, trying = await asyncio.wait(
                trying, timeout=STAGGER_SECONDS if waiting else None, return_when=asyncio.FIRST_COMPLETED
            )
            won = [task.result() for task in ended if task.exception() is None]
            for spare in won[1:]:
                spare.close()
            if won:
                return won[0]
            first_error = first_error or next((task.exception() for task in ended), None)
    finally:
        for task in trying:
            task.cancel()
            task.add_done_callback(_close_late)
    raise first_error or CannotDial("the name has no address")


async def _attempt(address: Address, local: Address | None = None) -> socket.socket:
    family, kind, protocol, _, where = address
    made = socket.socket(family, kind, protocol)
    try:
        made.setblocking(False)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
        if local is not None:
            _bind(made, local)
        await asyncio.get_running_loop().sock_connect(made, where)
    except BaseException:
        made.close()
        raise
    return made


def _bind(made: socket.socket, local: Address) -> None:
    try:
        made.bind(local[4])
    except OSError as error:
        raise CannotDial(f"can't connect from {local[4][0]}: {error.strerror or error}") from error


def _close_late(task: asyncio.Task[socket.socket]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().close()


def _in_words(error: Exception, place: str, tls: bool) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        hint = "if it is the right one, name it in tls: ca_file or fingerprints"
        return f"the certificate of {place} is not accepted: {error.verify_message}; {hint}"
    if isinstance(error, ssl.SSLError):
        cause = (error.reason or str(error)).replace("_", " ").lower()
        hint = f"; {_PLAIN_TEXT_HINT}" if cause in _PLAIN_TEXT else ""
        return f"no TLS with {place}: {cause}{hint}"
    if isinstance(error, ConnectionRefusedError):
        return f"{place} refused the connection"
    if isinstance(error, ConnectionError):
        return f"{place} broke the connection off before it was ready" + (f"; {_PLAIN_TEXT_HINT}" if tls else "")
    if isinstance(error, OSError):
        return f"can't reach {place}: {error.strerror or error}"
    return f"can't connect to {place}: {error!r}"
