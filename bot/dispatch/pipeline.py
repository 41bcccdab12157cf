"""The steps around one call of a handler, each of one shape: `step(call, next)`.

    errors -> permission -> limit -> arguments -> typing -> timeout -> the author's function

A step answers, refuses, or hands on. What a function returns or yields is said where the question came from. Whatever a
function raises, `SystemExit` included, ends here: the chatter reads one neutral line with an id, the log has the trace.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import secrets
import time
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from bot.api.context import Context
from bot.api.declare import Command, On
from bot.api.events import Event
from bot.dispatch.faults import Faults
from bot.dispatch.limits import Limit, Limits
from bot.dispatch.outlet import CallOutlet
from bot.dispatch.owner import Owner, current
from bot.dispatch.relay import Relay
from bot.dispatch.table import Handler
from bot.dispatch.typist import Typist
from bot.errors import StoreError, UsageError, UserError

_OURS = str(Path(__file__).parents[1]) + "/"
ONE_ANSWER = 50  # texts of a list
TURN_AFTER = 64  # texts of an async generator before others have a turn
ADMINS_ONLY = Limit(1, 60.0)  # a refused user is told so once a minute at most


@dataclass(slots=True)
class Call:
    """One call of one handler on its way through the steps."""

    handler: Handler
    ctx: Context
    outlet: CallOutlet
    event: Event | None = None
    rest: str = ""
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    prefix: str = "!"  # what stands before a command there, for usage lines


Next = Callable[[Call], Awaitable[None]]
Step = Callable[[Call, Next], Awaitable[None]]


class Pipeline:
    """Runs calls. One for the whole bot.

    Args:
        relay: where plain functions run.
        handler_seconds: how long one call may take.
        faults: remembers what failed, for who asks.
        typist: shows that a command is being worked on.

    Attributes:
        limits: how often each user has run which command.
        on_end: called at the end of each call with its owner and whether it failed; a time-out is a failure, a user's
            own mistake is none.
    """

    def __init__(
        self,
        relay: Relay,
        handler_seconds: float,
        clock: Callable[[], float] = time.monotonic,
        faults: Faults | None = None,
        typist: Typist | None = None,
    ) -> None:
        self._relay, self.handler_seconds, self.clock = relay, handler_seconds, clock
        self._faults, self._typist = faults or Faults(), typist
        self.on_end: Callable[[Owner, bool], object] = lambda owner, failed: None
        self.limits = Limits()
        steps = (self.errors, self.permission, self.limit, self.arguments, self.typing, self.timeout)
        self._run = compose(steps, self.invoke)

    async def run(self, call: Call) -> None:
        """Run one call to its end. Never raises, but for the cancellation of the task it runs in."""
        token = current.set(call.handler.owner)
        task = asyncio.current_task()
        assert task is not None
        call.handler.owner.calls[task] = lambda: (
            call.ctx.say(
                f"{call.handler.key.partition('.')[2]} was cut short by a new version of {call.handler.plugin}"
            )
            if call.event is not None and isinstance(call.handler.declaration, Command)
            else None
        )
        try:
            await self._run(call)
        finally:
            try:
                call.outlet.finish()
            except Exception:  # a fault of ours; the call is over all the same
                logging.getLogger(__name__).exception("the last line of %s could not be said", call.handler.key)
            finally:
                del call.handler.owner.calls[task]
                current.reset(token)

    # -- the steps

    async def errors(self, call: Call, go: Next) -> None:
        """Turn whatever is raised into one line for the chatter and one record in the log."""
        is_command = isinstance(call.handler.declaration, Command)
        failed = False
        try:
            await go(call)
        except UsageError as error:
            signature = call.handler.signature
            usage = f"{call.prefix}{call.ctx.command} {signature.usage if signature else ''}".rstrip()
            if is_command:
                self._excuse(call, error, f"usage: {usage}")
        except UserError as error:
            if is_command:
                self._excuse(call, error)
        except TooSlow:
            failed = True
            if is_command:
                call.ctx.say(f"{call.ctx.command} took longer than {self.handler_seconds:g} s and was stopped")
            self._log(call, None, "took longer than %g s", self.handler_seconds)
        except BaseException as error:
            task = asyncio.current_task()
            if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
                raise
            failed = True
            self._failed(call, error)
        self.on_end(call.handler.owner, failed)

    def _excuse(self, call: Call, error: Exception, usage: str = "") -> None:
        """Say what the author wants said; its text may come from a `__str__` of the author's, too."""
        try:
            text = str(error)
        except BaseException as second:
            self._failed(call, second)
        else:
            call.ctx.say("; ".join(part for part in (text, usage) if part) or text)

    def _failed(self, call: Call, error: BaseException) -> None:
        number = secrets.token_hex(2)
        if isinstance(call.handler.declaration, Command):
            call.ctx.say(f"{call.ctx.command} failed (error {number}){_words_for_admins(call, error)}")
        self._log(call, error, "failed (error %s): %s", number, type(error).__name__)
        self._faults.note(number, call.handler.plugin, f"{call.handler.key} {_circumstances(call)}", error)

    async def permission(self, call: Call, go: Next) -> None:
        """Let only admins use what is for admins; others are told so, at most once a minute."""
        declaration = call.handler.declaration
        if isinstance(declaration, Command) and declaration.admin and not call.ctx.is_admin:
            logging.getLogger(__name__).info("%s refused to %s: admins only", call.handler.key, _seen_as(call))
            if not self.limits.allow("admins only", self._asker(call), ADMINS_ONLY, self.clock()):
                call.ctx.say(f"{call.ctx.command}: admins only")
            return
        await go(call)

    async def limit(self, call: Call, go: Next) -> None:
        """Hold a user to the command's limit; who is over it is told when to try again, once."""
        limit = call.handler.limit
        if limit is not None and not call.ctx.is_admin:
            asker = self._asker(call)
            wait = self.limits.allow(call.handler.key, asker, limit, self.clock())
            if wait:
                told = Limit(1, max(wait, 1.0))
                if not self.limits.allow(("told", call.handler.key), asker, told, self.clock()):
                    call.ctx.say(f"{call.ctx.command}: not so fast, try again in {max(1, round(wait))} s")
                return
        await go(call)

    async def arguments(self, call: Call, go: Next) -> None:
        """Read the arguments: of a command from its text, of an event from its fields."""
        if call.handler.signature is not None:
            call.args, call.kwargs = call.handler.signature.parse(call.rest)
        elif isinstance(call.handler.declaration, On) and call.event is not None:
            call.kwargs = {name: call.event.fields.get(name) for name in call.handler.wants}
        await go(call)

    async def typing(self, call: Call, go: Next) -> None:
        """Let who has asked see that a command takes its time."""
        event = call.event
        if self._typist is None or event is None or not isinstance(call.handler.declaration, Command):
            await go(call)
            return
        with self._typist.working((event.network.name, event.place)):
            await go(call)

    async def timeout(self, call: Call, go: Next) -> None:
        """End a call that takes too long."""
        try:
            async with asyncio.timeout(self.handler_seconds) as deadline:
                await go(call)
        except TimeoutError:
            if deadline.expired():
                raise TooSlow from None
            raise

    async def invoke(self, call: Call) -> None:
        """Call the author's function and say what it gives."""
        function, ctx = call.handler.function, call.ctx
        if call.handler.is_async:
            result = function(ctx, *call.args, **call.kwargs)
        else:
            future = self._relay.submit(_run_plain, function, call, remember_as=function)
            try:
                result = await future
            except asyncio.CancelledError:
                if not await self._relay.interrupt(future):
                    self._log(call, None, "could not be stopped; its thread is left behind")
                raise
        while inspect.isawaitable(result):
            result = await result
        if isinstance(result, AsyncIterable):
            said = 0
            async for text in result:
                _say(ctx, text)
                said += 1
                if said % TURN_AFTER == 0:  # one that never suspends would hold the loop, and its own time-out
                    await asyncio.sleep(0)
        elif result is not None:
            _say_all(ctx, result)

    def _asker(self, call: Call) -> str:
        event = call.event
        if event is None or event.user is None:
            return ""
        # A nick is changed with one line; an account is vouched for, and ident and host last as long as a connection.
        user, fold = event.user, event.network.fold
        known = f"account:{fold(user.account)}" if user.account else fold(f"{user.ident}@{user.host}")
        return f"{event.network.name}/{known}"

    def _log(self, call: Call, error: BaseException | None, what: str, *args: object) -> None:
        log = logging.getLogger(f"plugins.{call.handler.plugin}")
        if error is not None:
            error = error.with_traceback(_from_plugin(error.__traceback__))
        # Records of one text are folded when they are many: one handler's must not hide another's, nor what is worse.
        log.error(f"{call.handler.key} %s {what}", _circumstances(call), *args, exc_info=error)


class TooSlow(Exception):
    """A call was ended by its time-out. Own class: a TimeoutError of the author's is an error like others."""


def compose(steps: tuple[Step, ...], last: Next) -> Next:
    """Chain steps: the first is outermost."""
    chain = last
    for step in reversed(steps):

        def link(call: Call, step: Step = step, go: Next = chain) -> Awaitable[None]:
            return step(call, go)

        chain = link
    return chain


def _words_for_admins(call: Call, error: BaseException) -> str:
    """A trouble with the disk is one that an admin can do something about; it names a path, so nobody else reads it."""
    return f": {error}" if isinstance(error, StoreError) and call.ctx.is_admin else ""


def _circumstances(call: Call) -> str:
    where = f" in {call.ctx.channel}" if call.ctx.channel else ""
    who = f" for {call.ctx.user}" if call.ctx.user else ""
    return f"g{call.handler.owner.generation}{who}{where}"


def _seen_as(call: Call) -> str:
    """Tell what of the user `admins` is compared with, for who wonders why it does not match."""
    user = call.ctx.user
    if user is None:
        return "nobody"
    return f"{user.nick}!{user.ident}@{user.host} ({f'account {user.account}' if user.account else 'no account'})"


def _from_plugin(trace: TracebackType | None) -> TracebackType | None:
    """Return the part of a trace that is the author's: our own steps tell them nothing."""
    step = trace
    while step is not None and step.tb_frame.f_code.co_filename.startswith(_OURS):
        step = step.tb_next
    return step or trace


def _run_plain(function: Callable[..., Any], call: Call) -> Any:
    # In the relay's thread: a generator is run here to its end, its texts said as they come.
    result = function(call.ctx, *call.args, **call.kwargs)
    if inspect.isawaitable(result) or isinstance(result, AsyncIterable) or result is None:
        return result
    _say_all(call.ctx, result)
    return None


def _say_all(ctx: Context, result: Any) -> None:
    if isinstance(result, list | tuple) and len(result) <= ONE_ANSWER and all(isinstance(text, str) for text in result):
        result = "\n".join(result)  # one answer, and one message where the network has such
    if isinstance(result, Iterable) and not isinstance(result, str | bytes | Mapping):
        for text in result:
            _say(ctx, text)
    else:
        _say(ctx, result)


def _say(ctx: Context, text: Any) -> None:
    if text is None:
        return
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    if not isinstance(text, str | int | float):
        raise TypeError(f"a handler gives text, not {type(text).__name__}: return or yield str")
    text = str(text)
    if text.strip():
        ctx.answer(text)
