"""What plugin code must not do to the process it runs in: end the bot's own tasks, stop or close the loop, change how
the loop makes tasks, come back into the loop as a forked child.

    task_factory   tasks of plugin code belong to its owner; the bot's own can't be cancelled from plugin code
    guarded        an event loop that only the bot may stop, close or set up otherwise
    at_fork        a child that plugin code forked never speaks for the bot, and ends when it comes back into it

Whose code runs is told by the owner in the context; what a plugin starts it may also end. This keeps accidents in, not
enemies: plugins have all the rights of the bot.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from typing import Any

from bot import atwork
from bot.dispatch.owner import Owner, current, guarded_coroutine

log = logging.getLogger(__name__)


class BotTask(asyncio.Task[Any]):
    """A task of the bot's own. Plugin code can cancel only those that run its own calls, as `asyncio.timeout` does."""

    def cancel(self, msg: Any = None) -> bool:
        """Cancel it, unless plugin code asks which it is no business of: then nothing happens, and the log says so."""
        owner = guest()
        if owner is None or self in owner.calls:
            return super().cancel(msg)
        log.warning("%s g%d may not cancel a task of the bot: %s", owner.plugin, owner.generation, self.get_name())
        return False


def guest() -> Owner | None:
    """Return the plugin generation whose code runs; None in the bot's own."""
    owner = current.get()
    return None if owner is None or owner.trusted else owner


def task_factory(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
    """Make tasks that belong to the plugin in whose code they are created; for `loop.set_task_factory`."""
    owner = current.get()
    if owner is None:
        return BotTask(coroutine, loop=loop, **options)
    line = atwork.current.get()
    work = atwork.here.run(coroutine, line) if line else coroutine
    guarded: Any = guarded_coroutine(work)  # its names can be set, though its type does not say so
    guarded.__qualname__ = getattr(coroutine, "__qualname__", "task")
    task: asyncio.Task[Any] = asyncio.Task(guarded, loop=loop, **options)
    if not options.get("name"):
        task.set_name(guarded.__qualname__)
    # Cancelled before its first step it would never have been awaited, which Python warns of.
    task.add_done_callback(lambda _: coroutine.close())
    owner.adopt(task)
    return task


_GUARDED = ("stop", "close", "set_task_factory", "set_exception_handler", "set_default_executor")


def guarded(loop: asyncio.AbstractEventLoop) -> asyncio.AbstractEventLoop:
    """Let only the bot's own code stop, close or set up a loop; return it."""
    for name in _GUARDED:
        setattr(loop, name, _only_the_bot(name, getattr(loop, name)))
    loop.set_task_factory(task_factory)
    return loop


def _only_the_bot(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    def refuse_guests(*arguments: Any) -> Any:
        owner = guest()
        if owner is not None:
            raise RuntimeError(f"{owner.plugin} may not call {name}() of the event loop: it is the bot's")
        return method(*arguments)

    return refuse_guests


# -- forks


class _Family:
    """The loop of this process, and the pipe through which a forked child that came back says its process id."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop, self.pid = loop, os.getpid()
        self.heard, self.said = os.pipe()
        os.set_blocking(self.heard, False)
        self.in_child = False
        loop.add_reader(self.heard, self._bury)

    def _bury(self) -> None:
        """Reap the children that came back; each has written its id in 4 bytes, in one piece."""
        ids = os.read(self.heard, 4096)
        for at in range(0, len(ids), 4):
            pid = int.from_bytes(ids[at : at + 4], "little")
            log.warning("a forked process, %d, came back into the bot and was ended", pid)
            try:
                os.waitpid(pid, 0)  # it ends right after it has written
            except ChildProcessError:
                pass  # the plugin has waited for it

    def cut_off(self) -> None:
        """In the child: whatever the loop listens on is no longer there, its wake-up calls and the selector included.

        Closing alone would not do: a number that is free again could be given to another file.
        """
        self.in_child = True
        selector = getattr(self.loop, "_selector", None)  # borrowed from asyncio
        numbers: set[int] = set()
        if selector is not None:
            numbers = {key.fd for key in selector.get_map().values()}
            numbers |= {selector.fileno()} if hasattr(selector, "fileno") else set()
        nowhere = os.open(os.devnull, os.O_RDWR)
        for number in numbers - {self.heard, self.said}:
            os.dup2(nowhere, number, inheritable=False)
        os.close(nowhere)
        self.loop._run_once = self.end  # type: ignore[attr-defined]  # borrowed: what the loop does next

    def end(self) -> None:
        """In the child: it came back into the bot's code."""
        try:
            os.write(self.said, os.getpid().to_bytes(4, "little"))
        finally:
            os._exit(0)


_family: _Family | None = None


def at_fork(loop: asyncio.AbstractEventLoop) -> None:
    """Guard this process's loop and sockets against children that plugin code forks; for the bot's program."""
    global _family
    first, _family = _family is None, _Family(loop)
    if first and hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_after_in_child)


def ended_child() -> None:
    """End this process if it is a child that plugin code forked; called where plugin code comes back off the loop."""
    if _family is not None and _family.in_child:
        _family.end()


def _after_in_child() -> None:
    if _family is not None and guest() is not None:
        _family.cut_off()
