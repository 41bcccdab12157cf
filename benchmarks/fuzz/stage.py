"""The bot, whole, at a socket that is none: bytes go into the keeper's session and come out of its transport.

Nothing between is replaced: keeper, link, connection, roster, table, pipeline, a plugin with handlers for everything.
Time passes when `Stage.pass_time` says so. All that must not be is written down in `Stage.faults`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any
from unittest import mock

from benchmarks.faults import Faults
from benchmarks.fuzz.rules import Heard, Line, Rules, Said
from benchmarks.rig import Broken
from bot.app import App
from bot.config import Admin, Channel, Config, Network, Plugins, Reconnect, Reload, SaslSettings, Secret
from bot.storage import Backend
from bot.wire import keeper as keeper_module
from bot.wire.link import Frame
from bot.wire.session import MAX_LINE_BYTES, Session

NETWORK, ME = "n", "neverquit"
CHANNELS = ("#a", "#b")
KEYS = {"#b": "key-of-b"}
WANTED = {b"#a", b"#b"}
QUIET_TURNS = 4  # so often must nothing have changed between two answers of the worker to the keeper
DIALS = 100  # steps of the clock until the next connection
PATIENCE_SECONDS = 20.0  # until everything that a segment set going has ended
SLOW_SECONDS = 0.25  # of processor time, for one segment of at most a few hundred lines
ADMIN = "the-one-admin-of-all"  # an account that no line of the grammar names

PLUGIN = r'''
"""Handlers of everything."""
from bot import command, on, rule

seen = {}

@command("echo")
async def echo(ctx, text: str = "nothing"):
    return text

@command("add")
async def add(ctx, one: float, *others: int, times: int = 1):
    return f"{(one + sum(others)) * times}"

@command("lines")
async def lines(ctx, count: int = 3):
    for number in range(min(count, 30)):
        yield f"line {number} for {ctx.user.nick}"

@command("secret", admin=True)
async def secret(ctx):
    return "told"

@rule(r"(?P<name>\w+)\+\+")
async def karma(ctx, name):
    return f"{name} rises"
'''
HANDLER = """
@on({name!r})
async def on_{name}(ctx, {fields}):
    str(ctx.user), str(ctx.channel), ctx.text, ctx.network.nick
"""


def plugin() -> str:
    """The source of the plugin: commands, a rule, and a handler for each event with all of its fields."""
    from bot.api.events import FIELDS

    events = {name: ", ".join(sorted(own | {"nick", "user"})) for name, own in FIELDS.items() if name != "numeric"}
    handlers = [HANDLER.format(name=name, fields=fields) for name, fields in events.items()]
    numerics = [f"\n@on({name!r})\nasync def on_{name}(ctx, params):\n    pass\n" for name in ("001", "353", "433")]
    return PLUGIN + "".join(handlers + numerics)


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Wire(asyncio.Transport):
    """A socket that is none; what is written is cut into lines."""

    def __init__(self, session: Session, heard: Callable[[bytes], object]) -> None:
        super().__init__()
        self.session, self._heard, self.closed = session, heard, False
        self._rest = b""

    def write(self, data: Any) -> None:
        *lines, self._rest = (self._rest + bytes(data)).split(b"\r\n")
        for line in lines:
            self._heard(line)

    def is_closing(self) -> bool:
        return self.closed

    def get_write_buffer_size(self) -> int:
        return 0

    def abort(self) -> None:
        if not self.closed:
            self.closed = True
            asyncio.get_running_loop().call_soon(self.session.connection_lost, None)

    close = abort


class Watch(logging.Handler):
    """Errors, and exceptions at any level, are faults; of warnings it is counted which there were."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(logging.DEBUG)
        self.stage = stage
        self.warnings: Counter[str] = Counter()
        self.exceptions = 0

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[0] is not None:
            self.exceptions += 1
            text = logging.Formatter().formatException(record.exc_info)
            where = re.findall(r'File ".*?/((?:bot|benchmarks)/[^"]+)", line (\d+)', text)
            place = ":".join(where[-1]) if where else "?"
            self.stage.fault(f"{record.exc_info[0].__name__} at {place}", record.getMessage())
        elif record.levelno >= logging.ERROR:
            self.stage.fault("an error was logged", record.getMessage())
        elif record.levelno == logging.WARNING:
            self.warnings[str(record.msg)] += 1


class Stage:
    """The running bot and its one connection.

    Attributes:
        sent: all that the bot wrote on this connection.
        said: of these, what came from the worker since the last `settle`.
        lines: how many lines were fed.
        slowest: processor seconds of the slowest segment, and the segment.
    """

    def __init__(self, app: App, clock: Clock) -> None:
        self.app, self.clock = app, clock
        self.faults = Faults()
        self.watch = Watch(self)
        self.rules = Rules(WANTED)
        self.wire: Wire | None = None
        self.sent: list[bytes] = []
        self.said: list[Said] = []
        self.lines = self.connections = self.answers = self.spoken = 0
        self.slowest: tuple[float, bytes] = (0.0, b"")
        self._arrived: dict[str, bytes] = {}
        self._open: dict[str, tuple[bytes, Heard]] = {}  # lines that are not finished
        self._number = 0
        self._last = b""
        self._pings = self._pongs = 0
        self._own = Counter[bytes]()

    def fault(self, kind: str, what: str) -> None:
        self.faults.fault(kind, f"{what} | last fed: {self._last[-300:]!r}")

    # -- put in from outside

    async def dial(self, *args: Any) -> None:
        """Stands in for `wire.dial.dial`."""
        session = next(each for each in args if callable(each))()
        self.connections += 1
        self.wire = Wire(session, self._written)
        self.sent = []
        self.rules = Rules(WANTED)
        session.connection_made(self.wire)

    def watch_over(self) -> None:
        """Stand where lines are numbered and where they are said."""
        keeper, reactor = self.app.keeper, self.app.reactor
        arrived, send = keeper.arrived, reactor.send

        def numbered(session: Session, line: bytes) -> None:
            self._number += 1
            self._arrived[str(self._number)] = line
            arrived(session, line)

        def sending(frame: Frame) -> None:
            if frame.verb in ("say", "batch"):  # a batch holds several, with a CR between them
                cause, _, handler = frame.fields[1].rpartition("/")
                lines = frame.payload.split(b"\r") if frame.verb == "batch" else [frame.payload]
                self.said += [Said(cause, handler, line) for line in lines]
            send(frame)

        mock.patch.object(keeper, "arrived", numbered).start()
        mock.patch.object(reactor, "send", sending).start()

    def _written(self, line: bytes) -> None:
        self.sent.append(line)
        if line[:5] == b"PONG ":
            self._pongs += 1
        elif line != b"PING :keeper" and line[:4] != b"QUIT":
            self._own[_untagged(line)] += 1

    # -- what a driver does

    @property
    def connection(self) -> Any:
        return self.app.networks[NETWORK].connection

    @property
    def up(self) -> bool:
        return bool(self.connection.registered)

    @property
    def open(self) -> bool:
        """Whether there is a socket that nobody has begun to end."""
        wire = self.wire
        return wire is not None and not wire.closed and wire.session.quit_by is None

    async def feed(self, pieces: Iterable[bytes]) -> None:
        """Let bytes come, in these pieces, and wait until all that they set going has ended; then judge."""
        wire = self.wire
        assert wire is not None
        pieces = list(pieces)
        self._last = data = b"".join(pieces)
        numbered, pongs = self._number, self._pongs
        began = time.thread_time()
        for piece in pieces:
            if wire.closed:
                break
            wire.session.data_received(piece)
        await self.settle()
        spent = time.thread_time() - began
        if not wire.closed:
            self._count(data, self._number - numbered, self._pongs - pongs)
        if spent > self.slowest[0]:
            self.slowest = (spent, data)
        if spent > SLOW_SECONDS and data.count(b"\n") < 500:
            self.fault("slow", f"{spent:.2f} s for {len(data)} bytes")

    def _count(self, data: bytes, numbered: int, pongs: int) -> None:
        """Every line has a number or, if it is a PING with a text, an answer; but for empty and endless ones."""
        lines = [line for part in data.split(b"\n") if (line := part.rstrip(b"\r")) and len(part) <= MAX_LINE_BYTES]
        read = [Line.parse(line) for line in lines]
        asked = sum(line.command == b"PING" for line in read)
        answerable = sum(line.command == b"PING" and bool(line.params) for line in read)
        if numbered != len(lines) - asked:
            self.fault("lines are missing", f"{len(lines)} lines with {asked} PINGs, {numbered} taken")
        if pongs != answerable:
            self.fault("PONGs that don't fit the PINGs", f"{answerable} PINGs, {pongs} PONGs")

    async def settle(self) -> None:
        """Wait until every line is finished and every answer sent, and judge what was sent."""
        until, same, before = time.monotonic() + PATIENCE_SECONDS, 0, None
        while same < QUIET_TURNS:
            await self._crossed()
            unfinished, waiting = self.app.keeper.entries.unfinished[NETWORK], len(self.connection.outbox)
            now = (unfinished, waiting, len(self.said), len(self.sent))
            same = same + 1 if now == before else 0
            before = now
            if unfinished and not waiting:  # else it is what is to be said that waits, for a channel or for 001
                same = 0
                if time.monotonic() > until:
                    self.fault("a line is never finished", f"{unfinished} of them")
                    break
        self._judge()

    async def _crossed(self) -> None:
        heard = self.app.loop.create_future()
        self.app.reactor.when_heard(lambda: heard.set_result(None))
        await heard

    def _judge(self) -> None:
        said, self.said = self.said, []
        answers: dict[str, list[Said]] = {}
        for each in said:
            answers.setdefault(each.cause, []).append(each)
            self._own[_untagged(each.line)] -= 1
        self._own = Counter({line: count for line, count in self._own.items() if count})
        if extra := [line for line, count in self._own.items() if count > 0]:
            self.fault("sent, though nobody said it", repr(extra[:3]))
            self._own.clear()
        self.rules.foresee(self._arrived.values())
        for each in answers.pop("-", ()):
            self._mistake(each, None, b"")
        for number, raw in self._arrived.items():
            self.lines += 1
            self._open[number] = (raw, self.rules.hear(raw))
        self._arrived.clear()
        for number, (raw, heard) in list(self._open.items()):
            for each in answers.pop(number, ()):
                self._mistake(each, heard, raw)
            if number not in self.app.keeper.entries:
                del self._open[number]
        for cause, late in answers.items():
            self.fault("answers a line that was finished before", f"{cause}: {late[0]}")
        self.answers += len(said)
        self.spoken += sum(each.handler not in ("-", "registration") for each in said)

    def _mistake(self, said: Said, because: Heard | None, raw: bytes) -> None:
        if why := self.rules.mistake(said, because):
            self.fault(why, f"{said.handler}: {said.line!r} because of {raw!r}")

    async def pass_time(self, seconds: float) -> None:
        self.clock.now += seconds
        self.app.keeper.tick()
        self.connection.alarms.tick()
        await self.settle()

    async def dialled(self) -> None:
        """Wait for the next connection, letting time pass."""
        before = self.connections
        for _ in range(DIALS):
            if self.connections > before or (self.open and not self.sent):
                await self.settle()
                return
            at = self.connection.alarms.next_at("dial")
            await self.pass_time(1.0 if at is None else max(0.0, at - self.clock.now))
        raise Broken(f"the bot does not dial: {self.connection.state}, and the log says {dict(self.watch.warnings)}")

    async def lose(self) -> None:
        """End the connection from the server's side."""
        if self.wire is not None and not self.wire.closed:
            self.wire.abort()
        await asyncio.sleep(0)
        await self.settle()

    async def fresh(self, sasl: SaslSettings | None = None) -> None:
        """A new connection, on which the bot has said its first words."""
        self.connection.configure(replace(self.connection.settings, sasl=sasl))
        await self.lose()
        await self.dialled()

    async def register(self, spoil: Callable[[bytes], bytes] = lambda line: line) -> None:
        """Answer as a server does, until the bot is in its channels; each answer goes through `spoil`."""
        read = 0
        for _ in range(50):
            answers: list[bytes] = []
            while read < len(self.sent):
                answers += answer(self.sent[read])
                read += 1
            if not answers or not self.open:
                break
            await self.feed([b"".join(spoil(each) + b"\r\n" for each in answers)])

    def forget(self) -> None:
        """Drop what is remembered of people over connections: it has bounds of its own, far off in a short run."""
        calls = self.app.calls
        for table in (
            self.app.pending._left,
            calls._pipeline.limits._windows,
            calls._manners._limits._windows,
            calls._manners._loops._rows,
        ):
            table.clear()

    def left(self) -> list[str]:
        """What is left of a connection that is gone, in words; there must be nothing."""
        roster, app = self.connection.roster, self.app
        kept = {
            "users": [user for user in roster.users if not roster.is_me(user)],
            "channels": roster.channels,
            "batches": roster.batches,
            "calls": app.calls._unfinished,
            "lines in hand": self.connection._in_hand,
            "entries": app.keeper.entries._all,
        }
        return [f"{name}: {len(what)}" for name, what in kept.items() if len(what)]


def _untagged(line: bytes) -> bytes:
    """The line without its tags, which a line that waited for the next connection leaves behind."""
    return line.partition(b" ")[2] if line.startswith(b"@") else line


OFFER = (
    b"message-tags server-time account-tag account-notify extended-join multi-prefix userhost-in-names away-notify "
    b"chghost setname cap-notify invite-notify batch echo-message labeled-response sasl=PLAIN"
)


def answer(line: bytes) -> list[bytes]:
    """What a good server says to a line of the bot."""
    words = Line.parse(line)
    first = words.params[0] if words.params else b""
    match words.command, first:
        case b"CAP", b"LS":
            return [b"CAP * LS :" + OFFER]
        case b"CAP", b"REQ":
            return [b"CAP * ACK :" + words.params[1]]
        case b"AUTHENTICATE", b"PLAIN":
            return [b"AUTHENTICATE +"]
        case b"AUTHENTICATE", _:
            return [b":s 900 neverquit neverquit!u@h neverquit :in", b":s 903 neverquit :ok"]
        case b"CAP", b"END":
            tokens = (
                b"CASEMAPPING=rfc1459 PREFIX=(ov)@+ CHANTYPES=# STATUSMSG=@+ WHOX NICKLEN=30 CHANMODES=b,k,l,imnpst"
            )
            return [
                b":s 001 neverquit :Welcome",
                b":s 005 neverquit " + tokens + b" :are supported",
                b":s 422 neverquit :no",
            ]
        case b"JOIN", _:
            joined = []
            for channel in first.split(b","):
                joined += [
                    b":neverquit!u@host JOIN " + channel,
                    b":s 353 neverquit = " + channel + b" :@alice!u@h +bob neverquit",
                ]
                joined.append(b":s 366 neverquit " + channel + b" :End")
            return joined
        case b"PING", _:
            return [b":s PONG s " + first]
        case b"WHO", _:
            return [b":s 315 neverquit " + first + b" :End"]
        case b"MODE", _:
            return [b":s 324 neverquit " + first + b" +nt"]
    return []


def config(folder: Path) -> Config:
    channels = tuple(Channel(name, Secret(KEYS[name]) if name in KEYS else None) for name in CHANNELS)
    admins = (Admin(account=ADMIN, network=NETWORK), Admin(hostmask="*!*@the.one.admin.example"))
    network = Network(
        NETWORK,
        "fuzz.test",
        6667,
        tls=None,
        flood=None,
        reconnect=Reconnect(0, 1),
        channels=channels,
        nick=ME,
        admins=admins,
    )
    return Config(
        networks={NETWORK: network},
        admins=admins,
        plugins=Plugins(directories=(str(folder / "plugins"),)),
        reload=Reload(watch=False),
        state_dir=str(folder / "state"),
    )


SASL = SaslSettings(username=ME, password=Secret("hunter2"), plain_without_tls=True, required=True)


@contextlib.asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Stage]:
    """Start the bot with its first connection open and registered."""
    (folder / "plugins").mkdir(parents=True)
    (folder / "plugins" / "fuzz.py").write_text(plugin())
    settings, clock = config(folder), Clock()
    app = App(settings, backend=Backend.open(settings.state_dir), clock=clock, choice=Random(1))
    stage = Stage(app, clock)
    loggers = [logging.getLogger(name) for name in ("bot", "asyncio", "plugins", "plugin")]
    levels = [each.level for each in loggers]
    app.loop.set_exception_handler(lambda loop, told: stage.fault("the loop caught", repr(told)))
    stage.watch_over()
    for each in loggers:
        each.addHandler(stage.watch)
        each.setLevel(logging.DEBUG)
    try:
        with mock.patch.object(keeper_module, "dial", stage.dial):
            await app.start()
            await stage.dialled()
            await stage.register()
            if not stage.up:
                raise Broken(f"the bot did not register: {stage.sent}")
            yield stage
            await stage.lose()
            await app.close()
    finally:
        mock.patch.stopall()
        for each, level in zip(loggers, levels, strict=True):
            each.removeHandler(stage.watch)
            each.setLevel(level)
