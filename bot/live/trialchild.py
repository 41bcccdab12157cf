"""Inside a trial process: compile units, execute groups of them as the bot would, and say what came of it.

Here a plugin may do what it likes: the process is made for one transaction and killed after it. Whatever it says last
is what it was at when it died. A process that plugin code forks here says nothing: it ends when it comes back out of
that code, or one group would be answered twice and the next by an answer that is not its own. Where the process comes
from is `trialzygote.py`; who asks is `trial.py`.

    compile  [unit]                                        -> compiled ...         for each, see `_compile`
    prove    [known], [group], settings, kept, seconds     -> begin NAME         for each of a group of several
                                                              proved N ...       for each group, see `_prove`
    warm     [module]                                      -> ready

What the bot sends is pickled, since it is trusted; what comes back is plain values. What was compiled here is known to
the groups that come after it.
"""

from __future__ import annotations

import ctypes
import faulthandler
import gc
import importlib
import marshal
import os
import pickle
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, TypeVar

from bot.api.kept import Memory, Rows, shelf
from bot.dispatch.table import build as build_table
from bot.errors import PluginError
from bot.live.compiled import Compiled, compile_unit
from bot.live.discover import PACKAGE, Source, Unit
from bot.live.loader import Build, Image, TookTooLong, place, sentence, shown
from bot.live.names import install
from bot.live.state import migrated
from bot.live.trialframes import HEAD_BYTES, frame, receive

T = TypeVar("T")

# More than the process has at the start: room for what a plugin imports, and not for a mistake such as `"x" * 10**10`.
MEMORY_BYTES: Final = 2 << 30
_PR_SET_PDEATHSIG: Final = 1
CHILD_TIMES: Final = 1
CUT_OFF_SECONDS: Final = 1.0
FLAG: Final = "NEVERQUIT_TRIAL"  # set to 1 in the environment of a trial, for plugins that have to know

# What plugins do. Done often in the zygote, and in each child once more: the first time takes three times as long, for
# the interpreter adapts itself to what it runs, and the pages of memory that are written to become a child's own.
_SAMPLE = b'''"""A sample."""

from __future__ import annotations

from dataclasses import dataclass

from bot import Context, command, every, keep, on, rule, setup, store

kept, stored = keep("kept", dict), store("stored", per="user")


@dataclass
class Sample:
    name: str
    times: int = 0


@command("sample", "s", limit="3/10s", examples=[("!sample", "...")])
async def sample(ctx: Context, place: str = "", *, days: int = 1, all: bool = False) -> str:
    """Say something."""
    kept[place] = kept.get(place, 0) + 1
    words = (place.split() or ["nothing"]) * days
    return f"{place}: " + " ".join(words[:5])


@command("other")
def other(ctx: Context, number: float, *rest: str) -> str | None:
    """Say something else."""
    with stored.edit("x", list) as names:
        names.extend(word for word in rest if len(word) > number)
    return None


@rule(r"(?P<name>\\w+)[+]{2}")
def plus(ctx: Context, name: str) -> str:
    return name


@on("join")
async def welcome(ctx: Context, nick: str) -> None:
    try:
        ctx.say({"a": nick}["a"])
    except KeyError as error:
        ctx.log.warning("%s", error)


@every("5m")
async def poll(ctx: Context) -> None:
    kept.clear()


@setup
def begin(ctx: Context) -> None:
    kept.setdefault("x", [each for each in range(3) if each % 2])
'''


def rehearse(times: int) -> None:
    """Do so often what a trial does."""
    source = Source("plugins.sample", "/sample.py", "sample.py", _SAMPLE, False)
    unit = Unit("sample", {source.module: source}, "0" * 40)
    for _ in range(times):
        one = pickle.loads(pickle.dumps([compile_unit(unit)]))[0]
        images = Build({"sample": one}, {}, Nowhere(), _no_settings, 1.0).run()
        _table_of(images)
        value = frame("compiled", dict(one.codes))[HEAD_BYTES:]
        marshal.loads(value)


def pack_error(error: PluginError | None) -> tuple[Any, ...] | None:
    """Return an error's parts."""
    return None if error is None else (error.plugin, error.path, error.line, error.text, error.column)


# --- the process


class Child:
    """Serves one transaction.

    Args:
        send, receive: the way to the bot.
    """

    def __init__(self, send: Callable[[bytes], object], receive: Callable[[], tuple[Any, ...]]) -> None:
        self._send, self._receive, self._process = send, receive, os.getpid()
        self._compiled: dict[str, Compiled] = {}
        self._inside = frozenset(sys.modules)  # before any plugin asked for anything

    def serve(self) -> None:
        """Do what is asked until the other end is gone."""
        try:
            self._serve()
        except OSError:  # plugin code has closed our end. The bot sees that, and that we are alive, and ends us
            time.sleep(CUT_OFF_SECONDS)

    def _serve(self) -> None:
        orders: dict[str, Callable[..., None]] = {
            "warm": self._warm,
            "compile": self._compile,
            "prove": self._prove,
        }
        while True:
            try:
                order, *arguments = self._receive()
            except EOFError:
                return
            orders[order](*arguments)

    def _warm(self, names: list[str]) -> None:
        for name in names:
            try:
                importlib.import_module(name)
            except BaseException:  # the plugin that imports it will tell
                continue
        rehearse(CHILD_TIMES)
        self._tell("ready")

    def _tell(self, *message: Any) -> None:
        if os.getpid() != self._process:
            os._exit(0)  # forked by plugin code
        self._send(frame(*message))

    def _compile(self, units: bytes) -> None:
        for unit in pickle.loads(units):
            one = compile_unit(unit)
            self._compiled[one.unit.name] = one
            told = dict(one.codes), tuple(one.imports), one.state_name, pack_error(one.error), one.state_version
            self._tell("compiled", *told)

    def _prove(
        self,
        known: bytes,
        groups: list[tuple[str, ...]],
        settings: bytes,
        kept: Mapping[str, tuple[int, bytes]],
        seconds: float,
    ) -> None:
        self._compiled |= {one.unit.name: one for one in pickle.loads(known)}
        of_plugins: Mapping[str, Mapping[str, Any]] = pickle.loads(settings)
        for number, names in enumerate(groups):
            longest, error, trace = 0.0, None, ""
            build = Build(self._reached(names), {}, Nowhere(), lambda name: of_plugins.get(name, {}), seconds)
            main = self._compiled[names[-1]].unit
            try:
                with _deadline(seconds):
                    longest, images = self._execute(build, names)
                    for name in kept.keys() & images.keys():
                        _migrate(images[name], *kept[name], seconds)
            except PluginError as fault:
                error, trace = fault, _trace(fault, build)
            except TookTooLong:  # not in a unit, but between two
                error = PluginError(main.name, shown(main), 0, build.too_long)
            except Exception as fault:  # so odd that nobody thought of it: this group's fault alone
                error = PluginError(main.name, shown(main), 0, f"it can't be read: {fault!r}")
            inside = sorted(name for name in self._new_modules() if isinstance(name, str))
            self._tell("proved", number, longest, pack_error(error), trace, sorted(build.outside), inside)

    def _execute(self, build: Build, names: tuple[str, ...]) -> tuple[float, dict[str, Image]]:
        """Build one group and its table; return the seconds that the slowest of its steps took, and the images."""
        longest, steps = 0.0, build.steps(names)
        while True:
            began = time.perf_counter()
            try:
                name = next(steps)
            except StopIteration as end:
                _table_of(end.value)
                return longest, end.value
            finally:
                longest = max(longest, time.perf_counter() - began)
            if len(names) > 1:
                self._tell("begin", name)

    def _reached(self, names: tuple[str, ...]) -> dict[str, Compiled]:
        """Return these units, and all that they import over any number of steps."""
        reached, todo = {name: self._compiled[name] for name in names}, list(names)
        while todo:
            for other in self._compiled[todo.pop()].imports:
                if other in self._compiled and other not in reached:
                    reached[other] = self._compiled[other]
                    todo.append(other)
        return reached

    def _new_modules(self) -> Iterator[str]:
        return (name for name in sys.modules.keys() - self._inside if not str(name).startswith(f"{PACKAGE}."))


def _migrate(image: Image, version: int, pickled: bytes, seconds: float) -> None:
    """Call a unit's `migrate` with a copy of its kept values.

    Raises:
        PluginError: it raised, or returned what can't be kept.
    """
    unit = image.unit
    function = getattr(image.modules[f"{PACKAGE}.{unit.name}"], "migrate", None)
    if function is None:
        return
    first = getattr(getattr(function, "__code__", None), "co_firstlineno", 0)
    try:
        values = pickle.loads(pickled)
    except Exception:  # objects of the plugin's own classes, which are found under their names in the bot only
        return
    token = shelf.set(Nowhere())
    try:
        migrated(function, version, values)
    except TookTooLong as error:
        path, line = place(error.__traceback__, unit)
        raise PluginError(unit.name, path, line or first, f"migrate took longer than {seconds:g} s") from None
    except BaseException as error:
        path, line = place(error.__traceback__, unit)
        raise PluginError(unit.name, path, line or first, f"migrate: {sentence(error)}") from error
    finally:
        shelf.reset(token)


class Nowhere:
    """The shelf of a trial: all that a plugin keeps or stores begins anew, and ends with the trial."""

    def keep(self, plugin: str, name: str, factory: Callable[[], T]) -> T:
        return factory()

    def store(self, plugin: str, name: str, per: str) -> Rows:
        return Memory()


def _no_settings(plugin: str) -> Mapping[str, Any]:
    return {}


def _table_of(images: Mapping[str, Image]) -> None:
    build_table([handler for image in images.values() for handler in image.handlers])


def _trace(error: PluginError, build: Build) -> str:
    """Return the traceback of what a plugin raised, from its own first line on."""
    cause = error.__cause__
    if cause is None:
        return ""
    trace = cause.__traceback__
    while trace is not None and not build.ran(trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    if trace is None:
        return ""  # found by us, not raised by it: the line says it all
    try:
        return "".join(traceback.format_exception(type(cause), cause, trace))
    except Exception:  # the exception is the plugin's own class
        return f"{type(cause).__name__}, which can't be shown"


@contextmanager
def _deadline(seconds: float) -> Iterator[None]:
    """Put `TookTooLong` into the block after so many seconds, so that the line it came to can be told. Code that waits
    inside C is not reached by it; that ends with the process."""
    if not hasattr(signal, "setitimer"):
        yield
        return

    def ring(number: int, frame: object) -> None:
        raise TookTooLong

    signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001), 0.25)  # again and again: the first may be caught
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


# --- what it may not do


def confine(output: int, parent: int) -> None:
    """Take from this process what a trial must not have: the terminal, memory without end, a life after its parent's.

    Args:
        output: the descriptor that all it prints goes to.
        parent: the process that started it.
    """
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor, target in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(descriptor, target)
    os.close(nothing)
    sys.stdin = sys.__stdin__ = os.fdopen(0, closefd=False)  # type: ignore[misc]
    sys.stdout = sys.__stdout__ = os.fdopen(1, "w", buffering=1, closefd=False)  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = os.fdopen(2, "w", buffering=1, closefd=False)  # type: ignore[misc]
    os.environ[FLAG] = "1"
    die_with_parent(parent, signal.SIGKILL)
    with suppress(OSError):  # if the machine runs out of memory all the same, this is the process to end
        Path("/proc/self/oom_score_adj").write_text("1000")
    try:
        import resource
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    used = _address_space()
    if used:
        _, most = resource.getrlimit(resource.RLIMIT_AS)
        room = used + MEMORY_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (room if most < 0 else min(room, most), most))


def _address_space() -> int:
    """Return how many bytes this process has mapped; 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0


def die_with_parent(parent: int, by: int) -> None:
    """Have the kernel send this process a signal when its parent dies; Linux alone can. See prctl(2)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, by)
        if os.getppid() != parent:  # it has died meanwhile
            os._exit(1)


def main() -> None:
    """Be a fresh process for one transaction, which speaks over its standard input and output."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
    source, target = os.dup(0), os.dup(1)
    confine(os.dup(2), os.getppid())
    faulthandler.enable(2)
    install(())
    gc.disable()
    with os.fdopen(source, "rb") as orders, os.fdopen(target, "wb") as answers:

        def send(message: bytes) -> None:
            answers.write(message)
            answers.flush()

        Child(send, lambda: receive(orders)).serve()
    os._exit(0)  # not what plugins have put into `atexit`
