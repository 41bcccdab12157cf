"""What a handler is handed first: where it is, who asked, and how to answer.

A `Context` belongs to one call of one handler (or to one run of a job or hook, then without network, channel and user).
It holds no state of its own: sending goes to the call's outlet, ownership to the plugin's generation, both given by the
floors above through the protocols below. Everything that speaks is a plain call that may come from any thread, and may
be awaited: the wait ends when the lines have found room in the queue to the network; `sent` tells what more it gives.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from bot.api.http import Http
from bot.api.http import http as shared_http
from bot.api.sent import Sent

if TYPE_CHECKING:
    import asyncio

    from bot.api.events import Event, Network, User
    from bot.protocol.message import Message


class Outlet(Protocol):
    """Where the lines of one call go."""

    def send(self, network: str, target: str, kind: str, text: str, answers: Message | None = None) -> Sent:
        """Say `text` (`kind` is `say`, `notice` or `action`) to a channel or nick, as an answer to a message or not."""


class Owner(Protocol):
    """The generation of a plugin that a call runs in: it owns what the call leaves behind."""

    plugin: str

    def spawn(self, coroutine: Coroutine[Any, Any, Any], name: str | None) -> asyncio.Task[Any] | None: ...
    def enter(self, opened: Any) -> Any: ...
    def thread(self, function: Callable[..., Any], args: tuple[Any, ...]) -> threading.Thread: ...


class Scheduled(Protocol):
    """A function that will run later."""

    def cancel(self) -> None: ...


class Services(Protocol):
    """What any context may ask of the running bot."""

    def network(self, name: str) -> Network:
        """Return a network by its name in the configuration; raises `UserError` for an unknown one."""

    def settings(self, plugin: str) -> Mapping[str, Any]: ...
    def schedule(
        self, owner: Owner, when: float | str, function: Callable[..., Any], args: tuple[Any, ...], address: str | None
    ) -> Scheduled: ...
    def resolve(self, address: str) -> tuple[str, str]:
        """Split `libera/#a` (or `#a` when there is one network) into network and target."""


class Destination:
    """A place to speak at that is not where the question came from; made by `ctx.to`."""

    __slots__ = ("_outlet", "network", "target")

    def __init__(self, outlet: Outlet, network: str, target: str) -> None:
        self._outlet, self.network, self.target = outlet, network, target

    def say(self, text: object) -> Sent:
        """Say a text; each of its lines is a message."""
        return self._outlet.send(self.network, self.target, "say", str(text))

    def notice(self, text: object) -> Sent:
        """The same as a NOTICE, which no bot answers."""
        return self._outlet.send(self.network, self.target, "notice", str(text))

    def action(self, text: object) -> Sent:
        """The same as `/me text`."""
        return self._outlet.send(self.network, self.target, "action", str(text))


class Context:
    """One call of one handler.

    Attributes:
        network: the IRC network (`name`, `nick`, `fold`, `same`), None in `every` jobs and hooks.
        channel: the channel's name, None in private, in `every` jobs and hooks.
        user: who caused the call (`nick`, `ident`, `host`, `account`, `bot`), or None.
        text: what they wrote, without the command; of an event its text.
        message: the IRC line as it came (`command`, `params`, `source`, `tags`), or None.
        command: the name the command was called by, or "".
        rest: all that stands behind the command's name, as it was typed.
        is_admin: whether the user is one of the configured admins.
        log: the plugin's logger.
    """

    __slots__ = (
        "_asked_at",
        "_home",
        "_outlet",
        "_owner",
        "_services",
        "channel",
        "command",
        "is_admin",
        "log",
        "message",
        "network",
        "rest",
        "text",
        "user",
    )

    # Not Optional in the annotations: in a command, a rule or an event they are there, and that is where they are used.
    network: Network
    channel: str | None
    user: User
    message: Message

    def __init__(
        self,
        owner: Owner,
        outlet: Outlet,
        services: Services,
        event: Event | None = None,
        *,
        command: str = "",
        rest: str = "",
        is_admin: bool = False,
        home: tuple[str, str] | None = None,
    ) -> None:
        self._owner, self._outlet, self._services, self._home = owner, outlet, services, home
        self.network = event.network if event else None  # type: ignore[assignment]  # see above
        self.channel = event.channel if event else None
        self._asked_at = event.place if event else ""
        self.user = event.user if event else None  # type: ignore[assignment]  # see above
        self.message = event.message if event else None  # type: ignore[assignment]  # see above
        self.text = event.text if event else ""
        self.command, self.rest, self.is_admin = command, rest, is_admin
        self.log = logging.getLogger(f"plugins.{owner.plugin}")

    # -- answering

    @property
    def address(self) -> str:
        """Where the question came from, as text that can be stored: `libera/#a`, or `libera/nick` in private."""
        return f"{self._place()[0]}/{self._place()[1]}"

    def say(self, text: object) -> Sent:
        """Say a text where the question came from; each of its lines is a message."""
        return self._outlet.send(*self._place(), "say", str(text))

    def reply(self, text: object) -> Sent:
        """Like `say`, with `nick: ` in front in a channel, and marked as the answer to what was said."""
        prefix = f"{self.user.nick}: " if self.channel and self.user else ""
        return self.answer(f"{prefix}{text}")

    def answer(self, text: object) -> Sent:
        """Say what the function returned or yielded: like `say`, marked as the answer to what was said.

        Where the network gives messages an id, clients can show what an answer belongs to.
        """
        return self._outlet.send(*self._place(), "say", str(text), self.message)

    def notice(self, text: object) -> Sent:
        """Like `say`, as a NOTICE, which no bot answers."""
        return self._outlet.send(*self._place(), "notice", str(text))

    def action(self, text: object) -> Sent:
        """Like `say`, as `/me text`."""
        return self._outlet.send(*self._place(), "action", str(text))

    def private(self, text: object) -> Sent:
        """Say a text to the user alone."""
        if not self.user:
            raise LookupError("there is no user to speak to here; use ctx.to('network/nick')")
        return self._outlet.send(self.network.name, self.user.nick, "say", str(text))

    def to(self, address: str) -> Destination:
        """Return another place to speak at: a stored `ctx.address`, `network/#channel`, or `#channel` with one network.

        Raises:
            UserError: no such network.
        """
        if "/" not in address and self.network:
            return Destination(self._outlet, self.network.name, address)
        return Destination(self._outlet, *self._services.resolve(address))

    def _place(self) -> tuple[str, str]:
        if self._home:  # of a scheduled function: where it was scheduled
            return self._home
        if self.network and self._asked_at:
            return self.network.name, self._asked_at
        raise LookupError("this runs without a channel or user; say where: ctx.to('network/#channel').say(...)")

    # -- what belongs to the plugin

    @property
    def settings(self) -> Mapping[str, Any]:
        """The plugin's part of `plugins.settings` in config.yaml, read-only."""
        return self._services.settings(self._owner.plugin)

    @property
    def http(self) -> Http:
        """The shared HTTP client."""
        return shared_http

    def spawn(self, coroutine: Coroutine[Any, Any, Any], *, name: str | None = None) -> asyncio.Task[Any] | None:
        """Run a coroutine in the background; it is cancelled when this version of the plugin goes.

        Returns:
            Its task; None in a `def` function, and in `setup`, where it begins when the version goes live.

        Raises:
            RuntimeError: this version has ended; `thread` and `enter` raise it as well.
        """
        return self._owner.spawn(coroutine, name)

    def thread(self, function: Callable[..., Any], *args: Any) -> threading.Thread:
        """Run a function in a thread that belongs to this version of the plugin.

        In `setup` the thread that is returned starts when the version goes live.
        """
        return self._owner.thread(function, args)

    def enter(self, opened: Any) -> Any:
        """Enter a context manager that is left when this version of the plugin goes; an async one is to be awaited."""
        return self._owner.enter(opened)

    def schedule(self, when: float | str, function: Callable[..., Any], *args: Any) -> Scheduled:
        """Run `function(ctx, *args)` once, `when` from now ("10m", 90); a function marked `@job` also after a restart.

        Its `ctx` has no user; `ctx.say` speaks where this context would.

        Raises:
            ValueError: not a time, or arguments of a `@job` function that JSON can't hold.
        """
        try:
            address = self.address
        except LookupError:
            address = None
        return self._services.schedule(self._owner, when, function, args, address)
