"""`neverquit demo`: an IRC server, the bot and a chat prompt in one terminal, for a first look and for scripts.

At a terminal it is a tiny IRC client: what is typed is said in `#demo` by `you`, an identified admin. With standard
input from elsewhere, each line is said once the one before has been answered in full, and standard output holds the
lines of others, `<nick> text`, and nothing else. State is temporary; the server listens on loopback only, and any IRC
client may join.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

from bot import logs
from bot.app import App
from bot.config import Admin, Channel, Config, Network, Plugins, Reload, SaslSettings, Secret
from bot.live.discover import bundled
from bot.protocol.formatting import strip
from bot.protocol.message import Message
from bot.server import Client, Server
from bot.storage import Backend

NETWORK, CHANNEL, BOT, YOU = "demo", "#demo", "neverquit", "you"
PASSWORD = "demo"  # of the account `you`; the server is on loopback only
PORT = 6667  # where IRC clients look first; any free one when it is taken


def demo_config(port: int, plugins: Path, base: Config | None = None) -> Config:
    """Return the configuration of the demo: `base` (for its plugins' settings, say) on the demo's own network."""
    base = base or Config()
    admins = (Admin(account=YOU, network=NETWORK),)
    network = Network(
        name=NETWORK,
        host="127.0.0.1",
        port=port,
        tls=None,
        sasl=SaslSettings(username=BOT, password=Secret(PASSWORD), plain_without_tls=True),
        channels=(Channel(name=CHANNEL),),
        flood=None,
        nick=BOT,
        realname="neverquit demo",
        admins=admins,
        prefix=base.prefix,
    )
    return replace(
        base,
        admins=admins,
        networks={NETWORK: network},
        plugins=replace(base.plugins if base.plugins.settings else Plugins(), directories=(str(plugins),)),
        reload=replace(base.reload if base.reload != Reload() else Reload(), report_to=f"{NETWORK}/{CHANNEL}"),
        log=replace(base.log, level="error"),  # reports are told in the channel; what handlers raise is not
    )


async def run_demo(base: Config | None = None) -> int:
    """Run the demo to the end of its input; return the exit code."""
    plugins = demo_plugins()
    server = Server(name="irc.demo", network=NETWORK, accounts={YOU: PASSWORD, BOT: PASSWORD})
    await _listen(server)
    with tempfile.TemporaryDirectory(prefix="neverquit-demo-") as state:
        config = replace(demo_config(server.port, plugins.absolute(), base), state_dir=state)
        screen = Terminal() if sys.stdin.isatty() else Pipe()
        logs.setup(config.log.level, config.log.format, screen if isinstance(screen, Terminal) else None)
        app = App(config, backend=Backend.open(state))
        loop = asyncio.get_running_loop()
        you: Client | None = None
        try:
            # First in the channel is its operator, as a newcomer would expect of their own channel.
            you = await Client.connect(
                "127.0.0.1", server.port, YOU, account=YOU, password=PASSWORD, caps="message-tags server-time"
            )
            you.send(f"JOIN {CHANNEL}")
            await you.expect(" 366 ")
            you.on_line = lambda line: show(line, screen)
            running = loop.create_task(app.run())
            await you.expect(lambda line: f":{BOT}!" in line and f" JOIN {CHANNEL}" in line, timeout=30)
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, app.stop)
            greet(plugins, server.port)
            session = loop.create_task(_session(screen, app, server, you))
            await asyncio.wait({session, running}, return_when=asyncio.FIRST_COMPLETED)
            session.cancel()
            app.stop("the demo has ended")
            await running
            with contextlib.suppress(asyncio.CancelledError):
                await session  # a failure of its own is no good end
        finally:
            if you is not None:
                with contextlib.suppress(OSError, TimeoutError):
                    await you.close()
            await server.stop()
    return 0


def demo_plugins() -> Path:
    """Return `./plugins`, or where the shipped ones are."""
    local = Path("plugins")
    return local if local.is_dir() else bundled()


async def _listen(server: Server) -> None:
    try:
        await server.start(port=PORT)
    except OSError:
        await server.start(port=0)


async def _session(screen: Terminal | Pipe, app: App, server: Server, you: Client) -> None:
    async for text in screen.lines():
        if not text.strip():
            continue
        for command in ("/quit", "/exit"):
            if text.strip() == command:
                return
        you.privmsg(CHANNEL, text.replace("\0", " ").replace("\r", " "))
        if not screen.interactive:
            await answered(app, server, you)


async def answered(app: App, server: Server, you: Client) -> None:
    """Wait until all that `you` said has been handled by the bot, and its output has come back to `you`."""
    await _barrier(you)  # the server has relayed it
    if not server.client(BOT):
        return
    await server.barrier(BOT)  # the bot's keeper has it
    await app.keeper.settled(NETWORK)  # its handlers have ended and nothing is queued
    await app.networks[NETWORK].connection.drained()
    await app.keeper.settled(NETWORK)
    await server.barrier(BOT)  # the server has the output
    await _barrier(you)


_pings = 0


async def _barrier(you: Client) -> None:
    global _pings
    _pings += 1
    token = f"demo-{_pings}"
    you.send(f"PING :{token}")
    await you.expect(lambda line: "PONG" in line and line.endswith(token), timeout=60)


def show(line: str, screen: Terminal | Pipe) -> None:
    """Put what others say in the channel, or to `you`, on the screen."""
    try:
        message = Message.parse(line)
    except ValueError:
        return
    if message.source is None or message.command not in ("PRIVMSG", "NOTICE") or message.source.nick == YOU:
        return
    if message.command == "NOTICE" and not message.source.ident:
        return  # the server's own
    text = message.param(1)
    if text.startswith("\x01"):
        if not text.startswith("\x01ACTION "):
            return
        text = text.strip("\x01").removeprefix("ACTION ")
    screen.put(message.source.nick, strip(text))


def greet(plugins: Path, port: int) -> None:
    """Tell a newcomer three things to try."""
    dice = plugins / "dice.py"
    print(
        f"""neverquit demo: you are in {CHANNEL} with the bot, and you are its admin. Three things to try:

  1. say    !roll 2d6
  2. say    !help
  3. open   {dice}   in an editor, change a text in it, save, and say !roll 2d6 again:
     the new version answers, and the bot never left. Break the file on purpose, too.

Any IRC client can join: 127.0.0.1 port {port}, channel {CHANNEL} (SASL {YOU} / {PASSWORD} makes it an admin).
/quit or Ctrl-D ends the demo.
""",
        file=sys.stderr,
        flush=True,
    )


class Pipe:
    """Standard input and output that are no terminal."""

    interactive = False

    def put(self, nick: str, text: str) -> None:
        """Write one line to standard output."""
        print(f"<{nick}> {text}", flush=True)

    async def lines(self) -> AsyncIterator[str]:
        """Yield the lines of standard input to its end."""
        async for line in _read_lines(sys.stdin.readline):
            yield line


class Terminal:
    """A prompt that stays below what others say, also while something is being typed."""

    interactive = True
    prompt = f"<{YOU}> "

    def __init__(self) -> None:
        try:
            import readline

            self._typed: Callable[[], str] = readline.get_line_buffer
        except ImportError:
            self._typed = str
        self._bold, self._plain = ("", "") if os.environ.get("NO_COLOR") else ("\x1b[1;36m", "\x1b[0m")

    def put(self, nick: str, text: str) -> None:
        """Write one line above the prompt."""
        self.write(f"{self._bold}<{nick}>{self._plain} {text}\n")

    def write(self, text: str) -> None:
        """Write lines above the prompt; with `flush` this makes it a stream for log records."""
        sys.stdout.write(f"\r\x1b[K{text}{self.prompt}{self._typed()}")
        self.flush()

    def flush(self) -> None:
        """Show what was written."""
        sys.stdout.flush()

    async def lines(self) -> AsyncIterator[str]:
        """Yield what is typed until Ctrl-D."""
        async for line in _read_lines(lambda: input(self.prompt) + "\n"):
            yield line
        print()


async def _read_lines(read: Callable[[], str]) -> AsyncIterator[str]:
    # A thread of our own, and a daemon: a read of the terminal can't be cancelled and must not hold up the end.
    loop, lines = asyncio.get_running_loop(), asyncio.Queue[str | None]()

    def work() -> None:
        while True:
            try:
                line = read()
            except (EOFError, OSError, ValueError, UnicodeDecodeError):
                line = ""
            try:
                loop.call_soon_threadsafe(lines.put_nowait, line.rstrip("\r\n") if line else None)
            except RuntimeError:
                return
            if not line:
                return

    threading.Thread(target=work, name="stdin", daemon=True).start()
    while (line := await lines.get()) is not None:
        yield line
