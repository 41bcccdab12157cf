"""Trial before commit: new versions are compiled, executed and indexed first where they can do no harm.

A child process takes one transaction: it compiles what changed and hands back marshalled code, then executes group
after group. A group that ends its child, hangs it, or eats its memory is at fault alone: the rest is tried again in the
next child. Here is what is asked and how the answers are read; the child's side is `trialchild.py`, where children come
from `trialspares.py`. What passed is executed once more by `attempt.py`, in the bot.
"""

from __future__ import annotations

import asyncio
import logging
import math
import pickle
import re
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Protocol

from bot.errors import PluginError
from bot.live.compiled import Compiled, compile_unit, file_name
from bot.live.discover import Unit
from bot.live.loader import shown
from bot.live.trialframes import Garbled
from bot.live.trialorigin import Begun
from bot.live.trialspares import CannotTry, Ended, Spare, Spares

log = logging.getLogger(__name__)

QUICK_SECONDS: Final = (
    0.002  # what takes less in a trial is executed on the event loop, the rest in the builder's thread
)
COMPILE_SECONDS: Final = 10.0  # for one unit; the largest that is read, 1 MiB, takes about 2
INTERRUPTED_SECONDS: Final = 0.5  # after its deadline, for a child to say which line it came to

can_try: Final = hasattr(signal, "setitimer") and bool(sys.executable)  # not on Windows, nor inside another program

Kept = Mapping[str, tuple[int, bytes]]  # by unit: the version of its kept values, and these pickled
Settings = Callable[[str], Mapping[str, Any]]


class InTrial(Exception):
    """What a plugin raised in a trial process: its traceback as text, for the log."""

    @property
    def remote_trace(self) -> str:
        """The traceback; the log shows it in place of one of this process."""
        return str(self.args[0])

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one group.

    Attributes:
        error: why it can't go live, or None.
        seconds: how long the slowest of its steps took.
        needs: modules that are no units and were there when it was done.
        outside: those of them that the group has imported by name.
    """

    error: PluginError | None = None
    seconds: float = math.inf
    needs: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()

    @property
    def is_quick(self) -> bool:
        """Tell whether executing it here as well will take no time worth speaking of."""
        return self.seconds < QUICK_SECONDS and all(name in sys.modules for name in self.needs)


class Ground(Protocol):
    """Where new versions are tried; one transaction at a time."""

    async def compile(self, units: Sequence[Unit]) -> list[Compiled]:
        """Compile units. Never raises for what is in them."""

    async def prove(
        self,
        groups: Sequence[Sequence[Compiled]],
        around: Mapping[str, Compiled],
        settings: Settings,
        seconds: float,
        kept: Kept = MappingProxyType({}),
    ) -> list[Verdict]:
        """Execute groups, each for at most so many seconds.

        Args:
            around: live units that they import.
            kept: what the `migrate` of units is to be tried with.
        """

    def prepare(self) -> None:
        """Be ready soon."""

    def over(self) -> None:
        """The transaction has ended."""

    def rest(self) -> None:
        """Nothing will be tried for long: let go of what that needs."""

    async def close(self) -> None: ...


class Untried:
    """No trial, where the system has no such processes: units are compiled in the builder's thread."""

    def __init__(self, run: Callable[[Callable[[], list[Compiled]], float], Awaitable[list[Compiled]]]) -> None:
        self._run = run

    async def compile(self, units: Sequence[Unit]) -> list[Compiled]:
        """Compile in the thread."""
        return await self._run(lambda: [compile_unit(unit) for unit in units], 120.0)

    async def prove(
        self,
        groups: Sequence[Sequence[Compiled]],
        around: Mapping[str, Compiled],
        settings: Settings,
        seconds: float,
        kept: Kept = MappingProxyType({}),
    ) -> list[Verdict]:
        """Nothing is known of them before they are built."""
        return [Verdict() for _ in groups]

    def prepare(self) -> None: ...
    def over(self) -> None: ...
    def rest(self) -> None: ...
    async def close(self) -> None: ...


class Trial:
    """Tries new versions in processes of their own."""

    def __init__(self, spares: Spares | None = None) -> None:
        self._spares = spares or Spares()
        self._child: Spare | None = None

    def prepare(self) -> None:
        """Have a child ready soon."""
        self._spares.prepare()

    def over(self) -> None:
        """The transaction has ended: so does its child, and the next is made when there is time."""
        self._drop()
        self._spares.prepare_later()

    def rest(self) -> None:
        """End the child, with the memory of all that it has tried; the next is forked when one is asked for."""
        self._drop()

    async def close(self) -> None:
        """End all processes."""
        self._drop()
        await self._spares.close()

    async def compile(self, units: Sequence[Unit]) -> list[Compiled]:
        """Compile units. Never raises for what is in them, nor for the lack of a process."""
        found: list[Compiled] = []
        while left := list(units[len(found) :]):
            try:
                child = await self._take()
                child.send("compile", pickle.dumps(left))
                for unit in left:
                    found.append(_compiled(unit, await self._answer(child, COMPILE_SECONDS)))
                    child.known[unit.name] = unit.digest
            except CannotTry as error:
                found += [_without_code(unit, _cannot(unit, error)) for unit in left]
                break
            except _Died as died:
                unit = left[len(found) - len(units)]
                found.append(_without_code(unit, _blamed(unit, died, "compiling it", COMPILE_SECONDS)))
            except BaseException:
                self._drop()
                raise
        return found

    async def prove(
        self,
        groups: Sequence[Sequence[Compiled]],
        around: Mapping[str, Compiled],
        settings: Settings,
        seconds: float,
        kept: Kept = MappingProxyType({}),
    ) -> list[Verdict]:
        """Execute groups one after the other; see `Ground`."""
        found: list[Verdict] = []
        plugins = {one.unit.name for group in groups for one in group} | around.keys()
        lent = pickle.dumps({name: dict(settings(name)) for name in plugins})
        killed: set[int] = set()
        while left := groups[len(found) :]:
            at = left[0][0].unit
            try:
                child = await self._take()
                units = {one.unit.name: one for group in left for one in group} | dict(around)
                unknown = [one for name, one in units.items() if child.known.get(name) != one.unit.digest]
                names = [tuple(one.unit.name for one in group) for group in left]
                child.send("prove", pickle.dumps(unknown), names, lent, dict(kept), seconds)
                for group in left:
                    at = group[0].unit
                    while (said := await self._answer(child, seconds + INTERRUPTED_SECONDS))[0] == "begin":
                        at = next(one.unit for one in group if one.unit.name == said[1])
                    found.append(self._verdict(said))
            except CannotTry as error:
                found += [Verdict(_cannot(group[0].unit, error)) for group in left]
                break
            except _Died as died:
                if died.was_killed and len(found) not in killed:
                    killed.add(len(found))  # by a system short of memory, say: the first to end, whoever has taken it
                else:
                    found.append(Verdict(_blamed(at, died, "the import", seconds)))
            except BaseException:
                self._drop()
                raise
        return found

    def _verdict(self, said: tuple[Any, ...]) -> Verdict:
        _, _, longest, error, trace, outside, inside = said
        if error is None:
            self._spares.warm.update(dict.fromkeys(outside))
            return Verdict(None, longest, tuple(inside), tuple(outside))
        fault = PluginError(*error)
        fault.__cause__ = InTrial(trace) if trace else None
        return Verdict(fault)

    async def _take(self) -> Spare:
        if self._child is None:
            self._child = await self._spares.take()
        return self._child

    async def _answer(self, child: Spare, seconds: float) -> tuple[Any, ...]:
        """Wait for an answer.

        Raises:
            _Died: the child is gone, or it took too long and is gone now.
        """
        try:
            async with asyncio.timeout(seconds):
                return await child.answer()
        except TimeoutError:
            self._drop()
            raise _Died(None) from None
        except (EOFError, Garbled):
            ended = await child.over()
            self._drop()
            raise _Died(ended) from None

    def _drop(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.ended.add_done_callback(_log_output)
            child.close()


def a_ground(begun: Begun | None = None) -> Trial | None:
    """Return where plugins are tried, if the system has such processes: they come from one that has begun, or from a
    fresh one."""
    return Trial(Spares(begun=begun)) if can_try else None


class _Died(Exception):
    """The child is gone; `ended` is None if it was killed for the time that it took."""

    def __init__(self, ended: Ended | None) -> None:
        self.ended = ended
        self.was_killed = ended is not None and ended.code == -signal.SIGKILL


def _blamed(unit: Unit, died: _Died, what: str, seconds: float) -> PluginError:
    """Return the fault of the unit that was at work when the child died."""
    if died.ended is None:
        return PluginError(
            unit.name, shown(unit), 0, f"{what} took longer than {seconds:g} s, and can't be interrupted"
        )
    code, output = died.ended.code, died.ended.output
    if code < 0:
        names = {each.value: each.name for each in signal.Signals}
        why = f"killed the trial process (signal {-code}, {names.get(-code, 'unknown')})"
    elif died.ended.closed:
        why = "closed the trial process's connection to the bot"
    else:
        why = f"ended the trial process (exit code {code})"
    path, line = _where(unit, output)
    error = PluginError(unit.name, path, line, why)
    if output.strip():
        error.__cause__ = InTrial(output.strip())
    return error


def _where(unit: Unit, output: str) -> tuple[str, int]:
    """Return the innermost place in a unit that the stack of a crash names, as `faulthandler` prints it."""
    names = {file_name(source, unit): source.shown for source in unit.sources.values()}
    for name, line in re.findall(r'File "(.+?)", line (\d+) in ', output):
        if name in names:
            return names[name], int(line)
    return shown(unit), 0


def _cannot(unit: Unit, error: CannotTry) -> PluginError:
    return PluginError(unit.name, shown(unit), 0, f"it can't be tried: {error}")


def _compiled(unit: Unit, said: tuple[Any, ...]) -> Compiled:
    _, codes, imports, state_name, error, state_version = said
    fault = None if error is None else PluginError(*error)
    return Compiled(unit, codes, frozenset(imports), state_name, fault, state_version)


def _without_code(unit: Unit, error: PluginError) -> Compiled:
    return Compiled(unit, {}, frozenset(), unit.name, error)


def _log_output(ended: asyncio.Future[Ended]) -> None:
    if not ended.cancelled() and (output := ended.result().output.strip()):
        log.debug("a trial printed: %s", output[-2000:])
