"""The registration of one network, driven: deadlines, slow steps in a thread, and TLS where a server asked for it.

`protocol.registration` says what to send; here it is sent, and here stand the clocks that it has not. `connection`
tells what came, and hears whether we are in (`entered`) or must go (`failed`).

STS: a host whose policy we know is dialled with TLS whatever the configuration says, and not at all when that does not
work; one that asks for TLS in plain text is dialled so at once. The policies are on disk (`protocol.sts`).
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Protocol

from bot.config import Network
from bot.errors import StoreError
from bot.protocol.message import Message
from bot.protocol.registration import HEARD, Registration
from bot.protocol.sasl import Work
from bot.protocol.sts import Policies
from bot.wire.alarms import Alarms
from bot.wire.opening import Limits, elsewhere, identity, orders
from bot.wire.session import MAYBE_TLS

log = logging.getLogger(__name__)


class Say(Protocol):
    """How a message leaves; see `Connection.say`."""

    def __call__(
        self, message: Message, *, cause: str = "-", handler: str = "-", k: int = 0, urgent: bool = False
    ) -> object: ...


class Registering:
    """What it takes to be let in.

    Args:
        name: the network's, for the log.
        alarms: the connection's; the names `registration`, `introduce` and `sasl` in it are used here.
        policies: the hosts that are spoken to by TLS only.
        wall: seconds since the epoch, for the policies.
        say: sends a message.
        failed: called with the reason when this connection is of no use.
        entered: called once we are registered.

    Attributes:
        machine: the registration of the present connection, or None.
        least_seconds: after the connection: how long to stay away, if the configured maximum is not shorter.
    """

    def __init__(
        self,
        name: str,
        alarms: Alarms,
        limits: Limits,
        policies: Policies,
        wall: Callable[[], float],
        *,
        say: Say,
        failed: Callable[[str], None],
        entered: Callable[[], None],
    ) -> None:
        self._name, self._say, self._alarms, self._limits = name, say, alarms, limits
        self._policies, self._wall = policies, wall
        self._failed, self._entered = failed, entered
        self.machine: Registration | None = None
        self.least_seconds = 0.0
        self._host, self._port, self._tls = "", 0, False  # as dialled
        self._ordered = b""  # the last that was given
        self._upgrade: int | None = None  # the next connection goes to this port, by TLS
        self._policy_seconds: float | None = None  # of this connection, when it was last written down
        self._working: Work | None = None
        self._threaded = False  # a thread is at work, perhaps at something that nobody waits for any more
        self._silent = True  # the server has not said anything on this connection
        self._told: tuple[str, int, bool] | None = None  # where we went, and never came up since
        self._known: dict[str, int | None] = {}  # host -> port, as it was last read

    # -- told by the connection

    def orders(self, settings: Network) -> bytes:
        """Return what the keeper is to dial."""
        policy = self._policy(settings.host) if settings.tls is None else None
        secure, self._upgrade = self._upgrade or policy, None
        self._host, self._port, self._tls = settings.host, secure or settings.port, bool(secure or settings.tls)
        place = (self._host, self._port, self._tls)
        again, self._told = place == self._told, place
        self._ordered = orders(settings, self._limits, secure, again=again)
        return self._ordered

    def elsewhere(self, place: bytes) -> bool:
        """Whether a connection does not lead where we want to be: it was made for a worker with other settings.

        Args:
            place: the payload of its `up` frame.
        """
        return bool(place) and elsewhere(place, self._ordered)

    @property
    def place(self) -> tuple[str, int]:
        """The host and port of the present connection; by the next worker others may be configured."""
        return self._host, self._port

    def begin(self, settings: Network) -> None:
        """The connection is open, and nobody has said anything on it.

        Args:
            settings: it was dialled with.
        """
        self.machine = machine = Registration(identity(settings), self._tls)
        self._silent = True
        self._alarms.after(self._limits.registration_seconds, "registration", self._timed_out)
        self._alarms.after(self._limits.hello_seconds, "introduce", lambda: self._send(machine.introduce()))
        self._send(machine.start())

    def resume(self, machine: Registration, place: tuple[str, int] | None) -> None:
        """Go on where another worker was; what it knew of the policy it has written down.

        Args:
            place: that worker's, or None: it did not say, and we are where we would dial.
        """
        self.machine, self._tls, self._told = machine, machine.tls, None
        if place is not None:
            self._host, self._port = place
        self._policy_seconds = machine.policy_seconds
        self._look()

    def heard(self, number: str, flag: int, message: Message) -> None:
        """A line came. With `flag` 2 the worker before has answered it."""
        self._silent = False
        machine = self.machine
        if machine is None or message.command not in HEARD:
            return
        was_done = machine.done
        for k, answer in enumerate(machine.feed(message)):
            if flag != 2:  # else the worker before has given this answer; if it may have, the keeper knows
                self._say(answer, cause=number, handler="registration", k=k, urgent=True)
        self._look()
        if machine.done and not was_done and machine.failure is None and machine.upgrade is None:
            self._alarms.cancel("registration", "introduce")
            self._told = None
            self._tell(machine)
            self._entered()

    def gone(self) -> float | None:
        """The connection is closed: return how long to stay away at least; None: the next one is for now."""
        machine, self.machine, self._working = self.machine, None, None
        self.least_seconds = machine.least_seconds if machine is not None else 0.0
        if self._policy_seconds:
            self._write_policy(lambda: self._policies.renew(self._host, self._wall()))
        self._policy_seconds = None
        if self._upgrade is not None:
            return None
        return machine.pause_seconds if machine is not None else 0.0

    @property
    def account(self) -> str | None:
        """The services account that we are logged in to now, or None."""
        return self.machine.account if self.machine is not None else None

    # -- what follows

    def _tell(self, machine: Registration) -> None:
        account = f", logged in as {machine.account}" if machine.account else ""
        log.info("%s: connected to %s:%d as %s%s", self._name, self._host, self._port, machine.nick, account)
        if machine.nick_refused:
            wanted = machine.identity.nick
            log.info(
                "%s: the nick %s was refused (%s), so it is %s", self._name, wanted, machine.nick_refused, machine.nick
            )

    def _policy(self, host: str) -> int | None:
        """Return the port for TLS of a host that is not spoken to in plain text; while the disk fails, as before."""
        try:
            self._known[host] = self._policies.port(host, self._wall())
        except StoreError as error:
            log.error("%s: which hosts want TLS can't be looked up: %s", self._name, error)
        return self._known.get(host)

    def _write_policy(self, write: Callable[[], None]) -> None:
        try:
            write()
        except StoreError as error:
            log.error("%s: that %s wants TLS can't be written down: %s", self._name, self._host, error)

    def _send(self, messages: list[Message]) -> None:
        for message in messages:
            self._say(message, urgent=True)

    def _look(self) -> None:
        """See what the machine wants done besides sending."""
        machine = self.machine
        assert machine is not None
        if machine.remark:
            log.warning("%s: %s", self._name, machine.remark)
            machine.remark = None
        if machine.policy_seconds != self._policy_seconds and machine.policy_seconds is not None:
            self._policy_seconds = seconds = machine.policy_seconds
            self._write_policy(lambda: self._policies.learn(self._host, self._port, seconds, self._wall()))
        if machine.upgrade is not None and self._upgrade is None:
            self._upgrade = machine.upgrade
            self._failed(f"changing to TLS on port {machine.upgrade}, as {self._host} asks for (STS)")
        elif machine.failure:
            self._failed(machine.failure)
        elif not machine.login.busy:
            self._alarms.cancel("sasl")
        else:
            if self._alarms.next_at("sasl") is None:
                self._alarms.after(self._limits.sasl_seconds, "sasl", self._sasl_timed_out)
            if machine.work is not None and machine.work is not self._working:
                self._begin_work(machine, machine.work)

    def _timed_out(self) -> None:
        why = ""
        if self._silent:
            hint = "" if self._tls else f"; {MAYBE_TLS}"
            why = f": {self._host}:{self._port} has taken the connection and says nothing{hint}"
        self._failed(f"not registered within {self._limits.registration_seconds:g} s{why}")

    def _sasl_timed_out(self) -> None:
        if self.machine is not None:
            self._send(self.machine.sasl_timed_out())
            self._look()

    def _begin_work(self, machine: Registration, work: Work) -> None:
        """Call what takes long in a thread of its own: not the loop's pool, which others may fill.

        One at a time: a server that has us begin anew and anew shall not have a thread for each.
        """
        self._working = work
        if self._threaded:
            return
        loop = asyncio.get_running_loop()

        def done(result: bytes | Exception) -> None:
            self._threaded = False
            now = self.machine
            if now is machine and machine.work is work:
                self._working = None
                self._send(machine.worked(result))
                self._look()
            elif now is not None and now.work is not None:  # it has waited for this
                self._begin_work(now, now.work)

        def run() -> None:
            result: bytes | Exception
            try:
                result = work()
            except Exception as error:
                result = error
            try:
                loop.call_soon_threadsafe(done, result)
            except RuntimeError:
                pass  # the program ended meanwhile

        threading.Thread(target=run, daemon=True, name=f"sasl {self._name}").start()
        self._threaded = True
