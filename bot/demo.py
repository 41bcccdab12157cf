"""`neverquit demo`: an IRC server, the bot and a chat prompt in one terminal, for a first look and for scripts.

At a terminal it is a tiny IRC client: what is typed is said in `#demo` by `you`, an identified admin. With standard
input from elsewhere, each line is said once the one before has been answered in full, and standard output holds the
lines of others, `<nick> text`, and nothing else. State is temporary; the server listens on loopback only, and any IRC
client may join.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from bot import logs
from bot.app import App
from bot.config import Admin, Channel, Config, Network, Plugins, Reload, SaslSettings, Secret
from bot.live.discover import bundled
from bot.live.trial import a_ground
from bot.live.trialorigin import Begun
from bot.prompt import Pipe, Screen, Terminal
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


async def run_demo(base: Config | None = None, trials: Begun | None = None) -> int:
    """Run the demo to the end of its input; return the exit code."""
    plugins = demo_plugins()
    server = Server(name="irc.demo", network=NETWORK, accounts={YOU: PASSWORD, BOT: PASSWORD})
    await _listen(server)
    with tempfile.TemporaryDirectory(prefix="neverquit-demo-") as state:
        config = replace(demo_config(server.port, plugins.absolute(), base), state_dir=state)
        screen: Screen = Terminal(YOU) if sys.stdin.isatty() else Pipe()
        logs.setup(config.log.level, config.log.format, screen if isinstance(screen, Terminal) else None)
        app = App(config, backend=Backend.open(state), ground=a_ground(trials))
        try:
            with screen.opened():
                await _run(app, server, screen, plugins)
        finally:
            await server.stop()
    return 0


async def _run(app: App, server: Server, screen: Screen, plugins: Path) -> None:
    loop = asyncio.get_running_loop()
    # First in the channel is its operator, as a newcomer would expect of their own channel.
    you = await Client.connect(
        "127.0.0.1", server.port, YOU, account=YOU, password=PASSWORD, caps="message-tags server-time"
    )
    try:
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
        with contextlib.suppress(OSError, TimeoutError):
            await you.close()


def demo_plugins() -> Path:
    """Return `./plugins`, or where the shipped ones are."""
    local = Path("plugins")
    return local if local.is_dir() else bundled()


async def _listen(server: Server) -> None:
    try:
        await server.start(port=PORT)
    except OSError:
        await server.start(port=0)


async def _session(screen: Screen, app: App, server: Server, you: Client) -> None:
    async for text in screen.lines():
        text = text.replace("\0", " ").replace("\r", " ")
        if not text.strip():
            continue
        if screen.interactive and text.startswith("/"):
            if not _slash(text, screen, you):
                return
            continue
        you.privmsg(CHANNEL, text)
        if not screen.interactive:
            await answered(app, server, you)


def _slash(text: str, screen: Screen, you: Client) -> bool:
    """Do what a line beginning with `/` asks for; return whether to go on. Nothing of it is said by mistake."""
    verb, _, rest = text[1:].partition(" ")
    target, _, words = rest.strip().partition(" ")
    match verb.lower():
        case "quit" | "exit":
            return False
        case "me" if rest.strip():
            you.privmsg(CHANNEL, f"\x01ACTION {rest}\x01")
        case "msg" if words.strip():
            you.privmsg(target, words)
        case _ if verb.startswith("/"):
            you.privmsg(CHANNEL, text[1:])
        case _:
            screen.note(
                f"/{verb}: there are /me TEXT, /msg NICK TEXT and /quit; // begins a line that is said with its /"
            )
    return True


async def answered(app: App, server: Server, you: Client, network: str = NETWORK) -> None:
    """Wait until all that `you` said has been handled by the bot, and its output has come back to `you`."""
    await _barrier(you)  # the server has relayed it
    if not server.client(BOT):
        return
    await server.barrier(BOT)  # the bot's keeper has it
    await app.keeper.settled(network)  # its handlers have ended and nothing is queued
    await app.networks[network].connection.drained()
    await app.keeper.settled(network)
    await server.barrier(BOT)  # the server has the output
    await _barrier(you)


_pings = 0


async def _barrier(you: Client) -> None:
    global _pings
    _pings += 1
    token = f"demo-{_pings}"
    you.send(f"PING :{token}")
    await you.expect(lambda line: "PONG" in line and line.endswith(token), timeout=60)


def show(line: str, screen: Screen) -> None:
    """Put on the screen what others say in the channel or to `you`, and who comes and goes."""
    try:
        message = Message.parse(line)
    except ValueError:
        return
    if message.source is None or message.source.nick == YOU or not message.source.ident:
        return  # our own, or the server's
    nick, text = message.source.nick, message.param(1)
    match message.command:
        case "PRIVMSG" | "NOTICE" if text.startswith("\x01ACTION "):
            screen.put(nick, strip(text.strip("\x01").removeprefix("ACTION ")))
        case "PRIVMSG" | "NOTICE" if not text.startswith("\x01"):
            screen.put(nick, strip(text))
        case "JOIN":
            screen.note(f"{nick} has joined {message.param(0)}")
        case "PART":
            screen.note(f"{nick} has left {message.param(0)}; /msg {nick} join {CHANNEL} asks a bot back")
        case "QUIT":
            screen.note(f"{nick} has quit ({message.param(0)})")
        case "NICK":
            screen.note(f"{nick} is now {message.param(0)}")


def greet(plugins: Path, port: int) -> None:
    """Tell a newcomer three things to try."""
    dice = plugins / "dice.py"
    shown = dice.relative_to(Path.cwd()) if dice.is_relative_to(Path.cwd()) else dice
    print(
        f"""neverquit demo: you are in {CHANNEL} with the bot, as its admin. Try three things:

  1. say   !roll 2d6
  2. say   !help
  3. open  {shown}  in an editor, change a text, save, ask again:
     the new version answers, and the bot never left. Break it, too.

Any IRC client can join: 127.0.0.1 port {port}, channel {CHANNEL}, with any nick
but {YOU}; SASL with account {YOU} and password {PASSWORD} makes it an admin.
What plugins store lasts until the demo ends: /quit or Ctrl-D.
""",
        file=sys.stderr,
        flush=True,
    )
