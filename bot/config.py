"""The configuration as frozen values, and what one can do with the file they come from.

Who needs a setting reads it here: `config.networks["libera"].port`. Every value is complete and checked: defaults are
filled in, a network carries its own nick, prefix and admins, paths are absolute. Each key of config.yaml is one field
below, with its default, its limits and its words in one place; the schema, the checks and docs/configuration.md follow
from that. Reading YAML, finding mistakes and their places is left to `bot/configfile.py`, which alone imports yaml and
pydantic; it is loaded by `load`, `parse`, `show` and `schema` only, so that importing this file costs next to nothing
and a worker never needs either package. All durations are decimals, in the unit that the name ends with.
"""

# ruff: noqa: RUF009 - `option` is dataclasses.field with words

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

# What a mechanism list may name, the strongest first: `protocol/sasl.py` speaks them all.
Mechanism = Literal["EXTERNAL", "ECDSA-NIST256P-CHALLENGE", "SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"]


@dataclass(frozen=True, slots=True)
class Shape:
    """What a text must look like: a pattern, and the words that say it to a person."""

    pattern: str
    words: str

    def __get_pydantic_core_schema__(self, source: object, handler: Any) -> dict[str, Any]:
        # The plain form of a core schema, so that this file needs no import for it.
        return {**handler(source), "pattern": self.pattern}


LINE = Shape(r"^[^\x00\r\n]+$", "must be one line of text, not empty")
WORD = Shape(r"^[^\x00-\x20,]+$", "must be one word, without spaces or commas")
HOST = Shape(r"^[^\x00-\x20/@\[\]]+$", "must be a host name or address alone, without scheme, brackets or spaces")
NICK = Shape(
    r"^[^\x00-\x20!@,*?#&+%~$:0-9./\-][^\x00-\x20!@,*?]*$",
    "must be a nick: no spaces, none of ! @ , * ? in it, no digit and no sign such as # or - at its beginning",
)
CHANNEL = Shape(
    r"^[#&+!][^\x00-\x20,\x7f]*$",
    'must be a channel: a name that begins with #, without spaces or commas, in quotes: "#name"; '
    'a key is written {name: "#name", key: "..."}',
)
PREFIX = Shape(r"^[^\x00-\x20]+$", 'must be one or more signs without spaces, in quotes: "!"')
PLUGIN = Shape(r"^[A-Za-z][A-Za-z0-9_]*$", "must be the name of a plugin, that of its file without .py")
HOSTMASK = Shape(r"^[^\x00-\x20!@]+![^\x00-\x20!@]+@[^\x00-\x20!@]+$", 'must be "nick!user@host"')
FINGERPRINT = Shape(
    r"^([0-9A-Fa-f]{64}|[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){31})$", "must be a SHA-256 fingerprint: 64 hexadecimal digits"
)
SHAPES = (LINE, WORD, HOST, NICK, CHANNEL, PREFIX, PLUGIN, HOSTMASK, FINGERPRINT)

Line = Annotated[str, LINE]
Nick = Annotated[str, NICK]
Nicks = tuple[Nick, ...]
Prefixes = tuple[Annotated[str, PREFIX], ...]
PluginNames = tuple[Annotated[str, PLUGIN], ...]


class Secret:
    """A text that never shows itself: `str`, `repr` and formatting give `***`, `reveal()` gives the text.

    Not a `str`, so that joining it into a line by accident is a TypeError and not a leak.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __str__(self) -> str:
        return "***"

    __repr__ = __str__

    def __format__(self, spec: str) -> str:
        return format("***", spec)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: object, handler: Any) -> dict[str, Any]:
        text = LINE.__get_pydantic_core_schema__(str, handler)
        return {"type": "function-after", "function": {"type": "no-info", "function": cls}, "schema": text}


def option(default: Any, words: str, **limits: float) -> Any:
    """A key of the file: its default (or a type that makes it), its words, and its limits in pydantic's names."""
    metadata = {"description": words, **limits}
    if isinstance(default, type):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


# Unknown keys are mistakes; pydantic's own texts, which quote values, are never shown.
_STRICT = {"extra": "forbid", "strict": True, "hide_input_in_errors": True}


@dataclass(frozen=True, slots=True)
class Admin:
    """Who may use admin commands: an account (with its network, after loading) or a hostmask, never both."""

    account: Annotated[str, WORD] | None = option(None, "Services account, the safe way to name an admin.")
    network: str | None = option(
        None, "Network the entry counts for. Needed with `account` when there are several networks."
    )
    hostmask: Annotated[str, HOSTMASK] | None = option(
        None, "`nick!user@host` with `*` and `?`. User and host must not both be wildcards."
    )
    __pydantic_config__ = _STRICT


@dataclass(frozen=True, slots=True)
class Tls:
    """How the server proves itself, and how the bot does."""

    ca_file: Line | None = option(None, "PEM file of authorities to trust instead of the system's.")
    certificate: Line | None = option(None, "PEM file with the bot's own certificate.")
    key: Line | None = option(None, "PEM file with its key, if not in the same file.")
    fingerprints: tuple[Annotated[str, FINGERPRINT], ...] = option(
        (), "SHA-256 fingerprints (hex) of server certificates; one must match, in place of chain and name."
    )
    __pydantic_config__ = _STRICT


@dataclass(frozen=True, slots=True)
class SaslSettings:
    """Identification to services while connecting."""

    mechanisms: tuple[Mechanism, ...] = option(
        (), "What to try, in order. Empty: the strongest first, of those that the secrets here allow."
    )
    username: Line = option("neverquit", "Account to identify as; default: the network's nick.")
    password: Secret | None = option(None, "Its password, for SCRAM and PLAIN.")
    key: Line | None = option(None, "PEM file with the key for ECDSA-NIST256P-CHALLENGE: NIST P-256, not locked.")
    required: bool = option(True, "Whether to leave the network when identification fails.")
    plain_without_tls: bool = option(False, "Allow PLAIN on a network without TLS, where all on the way can read it.")
    __pydantic_config__ = _STRICT


@dataclass(frozen=True, slots=True)
class NickServ:
    """Services that are spoken to by messages, after connecting."""

    service: Annotated[str, WORD] = option("NickServ", "Whom to ask: a nick, or `nick@server`.")
    password: Secret | None = option(
        None, "Password to identify with before the channels are joined. Not used when SASL has done that."
    )
    account: Annotated[str, WORD] | None = option(None, "Account to identify as; default: the network's nick.")
    identify: Line = option("IDENTIFY {account} {password}", "What to say to identify.")
    regain: bool = option(False, "Whether to ask services for the nick when somebody else has it.")
    regain_with: Line = option("REGAIN {nick} {password}", "What to say to get the nick.")
    __pydantic_config__ = _STRICT


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel to join; a plain text in the file means its name."""

    name: Annotated[str, CHANNEL] = field(metadata={"description": 'Name with its sign, in quotes: `"#chat"`.'})
    key: Secret | None = option(None, "Key of the channel.")
    disabled: PluginNames = option((), "Plugins that are silent in this channel.")
    rejoin: bool = option(True, "Whether to come back by itself after a kick, later each time.")
    __pydantic_config__ = _STRICT


@dataclass(frozen=True, slots=True)
class Flood:
    """The pace of sending: a bucket of `burst` lines that refills at `per_second`."""

    burst: float = option(5.0, "Lines that may go at once.", ge=1)
    per_second: float = option(0.5, "Lines a second after that.", gt=0)
    __pydantic_config__ = _STRICT


@dataclass(frozen=True, slots=True)
class Reconnect:
    """How long to wait between attempts to connect (from the minimum, doubling, up to the maximum), and for what."""

    minimum_seconds: float = option(2.0, "First pause before dialling again, in seconds.", ge=0)
    maximum_seconds: float = option(300.0, "Longest pause, in seconds.", ge=0)
    stale_seconds: float = option(
        60.0, "What had waited for longer when the connection was back is not said any more, in seconds.", ge=0
    )
    __pydantic_config__ = _STRICT


@dataclass(frozen=True, slots=True)
class Network:
    """One network. What the file doesn't say is filled in from the top level."""

    name: str = field(metadata={"filled": True})  # the key under `networks`
    host: Annotated[str, HOST] = field(
        metadata={"description": "Host name or address of the server; the one key that a network must have."}
    )
    port: int = option(6697, "Port; 6667 when `tls` is false.", ge=1, le=65535)
    tls: Tls | None = option(Tls(), "`true`, `false`, or a mapping. Certificates are verified.")
    bind: Annotated[str, HOST] | None = option(
        None, "IP address of this machine to connect from; `0.0.0.0` for IPv4 only, `::` for IPv6 only."
    )
    password: Secret | None = option(None, "Server password.")
    sasl: SaslSettings | None = option(None, "Identification to services; absent: none.")
    nickserv: NickServ | None = option(None, "Services by message: identification without SASL, getting the nick back.")
    channels: tuple[Channel, ...] = option((), "Channels to join: names in quotes, or mappings.")
    flood: Flood | None = option(Flood(), "Pace of sending, or `false` for none.")
    reconnect: Reconnect = option(Reconnect(), "Pauses between attempts to connect.")
    typing: bool = option(
        True, "Whether clients may show that the bot works on a command that takes longer than a second."
    )
    nick: Nick = option("neverquit", "As at the top level, for this network.")
    alternative_nicks: Nicks = option(("neverquit_",), "As at the top level, for this network.")
    realname: Line = option("neverquit", "As at the top level, for this network.")
    prefix: Prefixes = option(("!",), "As at the top level, for this network.", min_length=1)
    admins: tuple[Admin, ...] = option((), "Admins of this network, in place of those at the top level.")
    disabled: PluginNames = option((), "Plugins that are silent on this network.")
    __pydantic_config__ = _STRICT


@dataclass(frozen=True, slots=True)
class Plugins:
    """Where plugins come from, and what they are told."""

    directories: tuple[Line, ...] = option(
        ("plugins",), "Folders of plugin files; earlier ones win. `bundled`: those that come with the program."
    )
    disabled: PluginNames = option((), "Plugins that are not loaded.")
    settings: Mapping[str, Mapping[str, Any]] = option(dict, "Settings by plugin name; each plugin says what it takes.")
    hidden: tuple[Secret, ...] = field(default=(), metadata={"filled": True})  # texts in `settings` not to be shown
    __pydantic_config__ = _STRICT


@dataclass(frozen=True, slots=True)
class Reload:
    """How saved plugin files are noticed, and who is told."""

    watch: bool = option(True, "Whether saved files go live by themselves.")
    settle_ms: float = option(4.0, "Quiet after the last event on a file before it goes live, in milliseconds.", ge=0)
    delete_grace_ms: float = option(150.0, "How long a file may be missing before it unloads, in milliseconds.", ge=0)
    sweep_seconds: float = option(
        2.0,
        "Pause between full looks at the folders, in seconds; 0: none. Where the system has no file events (limits of "
        "inotify, network file systems) they are looked at every 0.25 s at the latest.",
        ge=0,
    )
    probation_seconds: float = option(
        120.0,
        "A new version that fails far more often than the one before is taken back so long, in seconds; 0: never.",
        ge=0,
    )
    probation_failures: int = option(5, "Failures of a new version before it is taken back.", ge=1)
    probation_factor: float = option(5.0, "How many times as often as the one before it has to fail.", ge=1)
    report_to: Annotated[str, WORD] | None = option(
        None, "Where reports go: NETWORK/TARGET, or TARGET with one network. Absent: the log."
    )
    __pydantic_config__ = _STRICT


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long things may take, in seconds."""

    handler_seconds: float = option(30.0, "One run of a handler, in seconds.", ge=0)
    import_seconds: float = option(5.0, "Running a plugin file, in seconds.", ge=0)
    setup_seconds: float = option(5.0, "`@setup` of a plugin, in seconds.", ge=0)
    grace_seconds: float = option(30.0, "Handlers of an old generation to finish, in seconds.", ge=0)
    silence_seconds: float = option(
        5.0, "A worker without a sign of life before it is replaced, in seconds; 0: never.", ge=0
    )
    hold_seconds: float = option(
        600.0, "The connection without a worker that is ready before QUIT and exit code 1, in seconds.", ge=0
    )
    __pydantic_config__ = _STRICT


@dataclass(frozen=True, slots=True)
class Log:
    """What is logged, to standard error."""

    level: Literal["debug", "info", "warning", "error"] = option("info", "Least grave level that is written.")
    format: Literal["text", "json"] = option("text", "`text`, or `json` for one object a line.")
    __pydantic_config__ = _STRICT


@dataclass(frozen=True, slots=True)
class Config:
    """All of config.yaml."""

    nick: Nick = option("neverquit", "Nick, unless a network has its own.")
    alternative_nicks: Nicks = option(("neverquit_",), "Nicks to try, in order, when the first is taken.")
    realname: Line = option("neverquit", "What WHOIS shows as the real name.")
    prefix: Prefixes = option(
        ("!",),
        "What begins a command in a channel: a text or a list of texts; the first is shown in help.",
        min_length=1,
    )
    admins: tuple[Admin, ...] = option((), "Who may use admin commands.")
    networks: Mapping[str, Network] = option(dict, "Networks to be on, by a name of your choice.")
    plugins: Plugins = option(Plugins(), "Where plugins come from, and their settings.")
    reload: Reload = option(Reload(), "How saved plugin files go live.")
    timeouts: Timeouts = option(Timeouts(), "How long things may take.")
    reply_lines: int = option(8, "Lines of one answer before `!more` is needed.", ge=1)
    ctcp: bool = option(True, "Whether CTCP questions are answered: VERSION, PING, TIME, CLIENTINFO, SOURCE.")
    reserve: bool = option(
        True, "A second worker, started and waiting, so that a crash costs a third of a second; it takes memory."
    )
    state_dir: Line = option("state", "Folder for what the bot remembers; default `$STATE_DIRECTORY` when set.")
    log: Log = option(Log(), "What is logged, and how.")
    __pydantic_config__ = _STRICT

    def secrets(self) -> Iterator[Secret]:
        """Every secret in force, for `logs.redact`."""
        for network in self.networks.values():
            services = (network.sasl, network.nickserv)
            optional = [network.password, *(each.password for each in services if each is not None)]
            optional += [channel.key for channel in network.channels]
            yield from (secret for secret in optional if secret)
        yield from self.plugins.hidden


def load(path: str | Path) -> Config:
    """Read a configuration file.

    Raises:
        ConfigError: with every mistake; also when the file can't be read.
    """
    from bot import configfile

    return configfile.load(Path(path))


def state_dir(path: str | Path) -> str:
    """Read nothing of a configuration file but where its state is.

    A script that speaks to the bot may lack the variables that the bot's passwords come from.

    Raises:
        ConfigError: the file can't be read, or says it wrongly.
    """
    from bot import configfile

    return configfile.state_dir(Path(path))


def parse(text: str, file: str) -> Config:
    """Read a configuration from text; `file` is its name in mistakes, and relative paths are taken from its folder.

    Raises:
        ConfigError: with every mistake.
    """
    from bot import configfile

    return configfile.parse(text, file)


def show(config: Config) -> str:
    """The values in force as YAML that could be read again, but for secrets, which are `***`."""
    from bot import configfile

    return configfile.show(config)


def template() -> str:
    """The shipped config.yaml, which connects to nothing and explains every key."""
    inside = Path(__file__).with_name("config.yaml")  # where the wheel puts it
    return (inside if inside.is_file() else Path(__file__).parent.parent / "config.yaml").read_text("utf-8")


def schema() -> dict[str, Any]:
    """JSON Schema of the file, for editors."""
    from bot import configfile

    return configfile.schema()
