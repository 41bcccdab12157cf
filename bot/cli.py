"""The program `neverquit`: its commands, signals and exit codes.

    run ctl demo check new init config --version

Exit codes: 0 ok, 1 failed, 2 usage, 69 cannot connect (`run --once`), 78 bad configuration (sysexits.h). Heavy
imports stand inside the commands, so each takes only what it needs; `bot/__main__.py` answers --version without this
file. The only import of typer.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from bot import __version__
from bot.errors import ConfigError, NeverquitError

if TYPE_CHECKING:
    from bot.config import Config
    from bot.live.trialorigin import Begun

FAILED, USAGE, BAD_CONFIG = 1, 2, 78
DEFAULT_CONFIG = Path("config.yaml")

program = typer.Typer(
    name="neverquit",
    help="An IRC bot that you program while it runs.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
configuration = typer.Typer(help="Check, show or describe the configuration.", no_args_is_help=True)
program.add_typer(configuration, name="config")

ConfigFile = Annotated[Path, typer.Option("--config", "-c", metavar="FILE", help="The configuration.")]


@program.callback()
def top(version: Annotated[bool, typer.Option("--version", "-V", help="Print the version and exit.")] = False) -> None:
    """An IRC bot that you program while it runs."""
    if version:
        print(f"neverquit {__version__}")
        raise typer.Exit


# -- run


@program.command()
def run(
    config: ConfigFile = DEFAULT_CONFIG,
    once: Annotated[
        bool, typer.Option("--once", help="Never reconnect; exit 69 if the first connection fails.")
    ] = False,
    single: Annotated[
        bool,
        typer.Option("--single", help="Run in one process, as debuggers need it."),
    ] = False,
) -> None:
    """Connect to the networks of the configuration, and run until told to end."""
    if config == DEFAULT_CONFIG and not config.exists():
        _leave(
            f"there is no {config} here: `neverquit init` writes one to fill in, "
            "`neverquit demo` shows the bot at once without any",
            BAD_CONFIG,
        )
    _open_standard_streams()
    settings = _load(config)
    if not settings.networks:
        _leave(f"{config}: networks: nobody to connect to; add a network there, or try `neverquit demo`", BAD_CONFIG)
    if single or not hasattr(os, "fork"):
        from bot.live.trialorigin import fork_ahead
        from bot.running import run_to_end

        run_to_end(_run(settings, config, once, fork_ahead()))
    _become_the_keeper(settings, config, once)


async def _run(settings: Config, path: Path, once: bool, trials: Begun | None) -> int:
    from bot.control import alone
    from bot.live.trial import a_ground
    from bot.running import Running

    with alone(Path(settings.state_dir)):
        return await Running(settings, path, once=once, ground=a_ground(trials)).run()


def _become_the_keeper(settings: Config, path: Path, once: bool) -> NoReturn:
    """Become the process that holds the connections; it needs nothing of what was imported to check the settings."""
    import json

    from bot.atwork import nameless
    from bot.control import alone
    from bot.reread import packed
    from bot.wire.process import command, hear_later

    try:
        ours = alone(Path(settings.state_dir), inherited=True)
        ours.__enter__()  # for good: the keeper holds it as long as it lives
    except NeverquitError as error:
        _leave(str(error), FAILED)

    options = ["--config", str(path.absolute()), "--parent", str(os.getpid()), *(["--once"] if once else [])]
    try:
        config = packed(settings).decode()
    except Exception as error:
        _leave(f"{path}: these settings can't be handed to the bot's processes: {error}", FAILED)
    orders = {
        "command": command("bot.worker", *options),
        "config": config,
        "log": {"level": settings.log.level, "format": settings.log.format},
    }
    with nameless() as file:  # passwords are in it
        file.write(json.dumps(orders).encode())
        file.seek(0)
        os.set_inheritable(file.fileno(), True)
        sys.stdout.flush(), sys.stderr.flush()
        hear_later()  # until the keeper listens
        try:
            os.execv(sys.executable, command("bot.wire.supervisor", str(file.fileno())))
        except OSError as error:
            _leave(f"{sys.executable} can't be run: {error.strerror}", FAILED)


@program.command()
def demo(
    config: Annotated[
        Path | None, typer.Option("--config", "-c", metavar="FILE", help="For its plugins' settings.")
    ] = None,
) -> None:
    """Start an IRC server, the bot and a chat prompt, all in this terminal. Nothing else is needed."""
    from bot.demo import run_demo

    settings = _load(config) if config is not None else None
    from bot.live.trialorigin import fork_ahead
    from bot.running import run_to_end

    run_to_end(run_demo(settings, fork_ahead()))


@program.command()
def ctl(
    do: Annotated[
        str, typer.Argument(metavar="reload|load|unload|rollback|plugins|status|restart", help="What to do.")
    ],
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="A plugin; reload alone takes all.")] = "",
    which: Annotated[str, typer.Argument(metavar="[N]", help="Of rollback: how many versions back, or a hash.")] = "",
    python: Annotated[str, typer.Option("--python", metavar="PATH", help="Of restart: another interpreter.")] = "",
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Speak to the running bot: for deploy scripts. Exits with 1 if it failed, and says why on standard error."""
    from bot import config as configurations
    from bot import ctl as client

    if do not in client.REQUESTS:
        _leave(f"ctl can't {do}; it knows {', '.join(client.REQUESTS)}", USAGE)
    if not name and do in ("load", "unload", "rollback"):
        _leave(f"say which plugin: neverquit ctl {do} NAME", USAGE)
    try:
        state_dir = configurations.state_dir(config)
    except ConfigError as error:
        print(error, file=sys.stderr)
        raise SystemExit(BAD_CONFIG) from None
    raise SystemExit(client.main(Path(state_dir), do, str(Path(python).absolute()) if python else name, which))


# -- plugins


@program.command()
def check(
    paths: Annotated[list[Path] | None, typer.Argument(help="Plugin files or folders; by default ./plugins.")] = None,
) -> None:
    """Load plugin files without connecting, and print what is wrong as FILE:LINE:COL: text."""
    from bot.check import check as look

    places = paths or [Path("plugins")]
    for path in places:
        if not path.exists():
            _leave(f"{path}: no such file or folder", USAGE)
    faults = look(places)
    for fault in faults:
        print(fault)
    if faults:
        raise SystemExit(FAILED)


@program.command()
def new(
    name: Annotated[str, typer.Argument(help="The plugin's name, also that of its first command.")],
    directory: Annotated[Path, typer.Option("--directory", "-d", help="The plugins folder.")] = Path("plugins"),
) -> None:
    """Write a small plugin NAME into the plugins folder, to begin with."""
    from bot.check import TEMPLATE, unfit

    path = directory / f"{name}.py"
    if path.exists() or (directory / name).exists():
        _leave(f"{path} is there already", FAILED)
    if why := unfit(name, directory):
        _leave(why, USAGE)
    directory.mkdir(parents=True, exist_ok=True)
    path.write_text(TEMPLATE.replace("NAME", name), encoding="utf-8")
    print(f"{path}: say !{name} in a channel; edit and save it, and the bot has the new version at once")


@program.command()
def init(config: ConfigFile = DEFAULT_CONFIG) -> None:
    """Write a config.yaml to fill in, and an empty folder for plugins."""
    if config.exists():
        _leave(f"{config} is there already; nothing was changed", FAILED)
    from bot.config import template

    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(template(), encoding="utf-8")
    config.chmod(0o600)  # passwords will stand in it
    plugins = config.parent / "plugins"
    plugins.mkdir(exist_ok=True)
    print(f"{config}: fill in a network, then `neverquit config check` and `neverquit run`")
    if not any(plugins.iterdir()):
        from bot.live.discover import bundled

        begin = "neverquit new hello" + ("" if config.parent == Path() else f" -d {plugins}")
        shipped = ", ".join(sorted(path.stem for path in bundled().glob("[!_]*.py")))
        print(f"{plugins}/: empty, for plugins of your own; `{begin}` begins one")
        print(f"To have those that come with the bot ({shipped}), write in {config.name}:")
        print("plugins: {directories: [plugins, bundled]}")


# -- configuration


@configuration.command("check")
def config_check(config: ConfigFile = DEFAULT_CONFIG) -> None:
    """Tell every mistake of the configuration with its place; exit 78 if there is one."""
    from bot.live.discover import Discovery, directories
    from bot.live.installed import Installed
    from bot.places import misspelt

    settings = _load(config)
    lacks = "" if settings.networks else ", but it names no network yet: run would have nobody to connect to"
    print(f"{config}: good{lacks}")
    there = Discovery(directories(settings.plugins.directories), elsewhere=Installed()).sweep()
    for note in misspelt(settings, {*there.units, *there.odd}, {}):
        print(f"{config}: {note}")


@configuration.command("show")
def config_show(config: ConfigFile = DEFAULT_CONFIG) -> None:
    """Print the values in force as YAML; secrets as ***."""
    from bot.config import show

    print(show(_load(config)), end="")


@configuration.command("schema")
def config_schema() -> None:
    """Print the JSON Schema of config.yaml, for editors."""
    import json

    from bot.config import schema as describe

    print(json.dumps(describe(), indent=2))


# -- shared


def _load(path: Path) -> Config:
    from bot import config

    try:
        return config.load(path)
    except ConfigError as error:
        print(error, file=sys.stderr)
        raise SystemExit(BAD_CONFIG) from None


def _open_standard_streams() -> None:
    """Let the standard streams lead nowhere where whoever started us has closed them: else sockets get their numbers,
    and what is printed goes to IRC, or to the processes that trials run in."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            os.dup2(opened, number)
            if opened != number:
                os.close(opened)
            os.set_inheritable(number, True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115  # for as long as we live


def _leave(text: str, code: int) -> NoReturn:
    print(f"neverquit: {text}", file=sys.stderr)
    raise SystemExit(code)
