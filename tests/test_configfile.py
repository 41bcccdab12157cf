"""bot/configfile.py: what the keys mean, and every mistake with its place and its words."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot import config
from bot.config import Admin, Channel, Config, Flood, Reconnect, Secret, Tls
from bot.errors import ConfigError

ONE = "networks: {one: {host: irc.example.org}}\n"
TWO = "networks: {one: {host: irc.example.org}, two: {host: irc.example.net}}\n"
SHA = "ab" * 32


def parse(text: str) -> Config:
    return config.parse(text, "/etc/neverquit/c.yaml")


def told(text: str) -> str:
    """Every mistake of a text that has some, one a line, without the file's name."""
    with pytest.raises(ConfigError) as caught:
        parse(text)
    return str(caught.value).replace("/etc/neverquit/c.yaml:", "")


def one(keys: str) -> str:
    """A configuration with one network that has these keys, from line 3, column 5 on."""
    return "networks:\n  one:\n" + "".join(f"    {line}\n" for line in ["host: irc.example.org", *keys.split("\n")])


# What is filled in


def test_every_key_but_networks_has_a_default() -> None:
    read = parse("networks: {}")
    assert read.networks == {}
    assert (read.nick, read.prefix, read.reload, read.log, read.reply_lines) == (
        "neverquit", ("!",), config.Reload(), config.Log(), 8,
    )  # fmt: skip
    assert read.plugins.directories == ("/etc/neverquit/plugins",)
    assert read.state_dir == "/etc/neverquit/state"


def test_a_network_needs_only_a_host() -> None:
    network = parse(ONE).networks["one"]
    assert network == config.Network("one", "irc.example.org")
    assert (network.port, network.tls, network.flood, network.reconnect) == (
        6697,
        Tls(),
        Flood(5, 0.5),
        Reconnect(2, 300),
    )


def test_a_network_takes_from_the_top_level_what_it_does_not_say() -> None:
    text = 'nick: a\nalternative_nicks: [b]\nrealname: c d\nprefix: "."\nadmins: [{hostmask: "*!e@*"}]\n'
    first, second = parse(
        text + "networks: {one: {host: h}, two: {host: h, nick: z, alternative_nicks: [], prefix: [x, y], admins: []}}"
    ).networks.values()
    assert (first.nick, first.alternative_nicks, first.realname, first.prefix) == ("a", ("b",), "c d", (".",))
    assert first.admins == (Admin(hostmask="*!e@*"),)
    assert (second.nick, second.alternative_nicks, second.realname, second.prefix) == ("z", (), "c d", ("x", "y"))
    assert second.admins == ()


@pytest.mark.parametrize(("tls", "port"), [("true", 6697), ("false", 6667), ("{}", 6697)])
def test_the_port_follows_tls(tls: str, port: int) -> None:
    assert parse(one(f"tls: {tls}")).networks["one"].port == port


def test_tls_may_be_true_false_or_a_mapping() -> None:
    assert parse(one("tls: true")).networks["one"].tls == Tls()
    assert parse(one("tls: false")).networks["one"].tls is None
    prints = ":".join(["AB"] * 32)
    assert parse(one(f'tls: {{fingerprints: ["{prints}"]}}')).networks["one"].tls == Tls(fingerprints=(SHA,))


def test_flood_may_be_false() -> None:
    assert parse(one("flood: false")).networks["one"].flood is None
    assert parse(one("flood: {burst: 10}")).networks["one"].flood == Flood(10, 0.5)


def test_channels_are_names_or_mappings() -> None:
    read = parse(one('channels: ["#a", {name: "&b", key: k, disabled: [karma]}]')).networks["one"]
    assert read.channels == (Channel("#a"), Channel("&b", Secret("k"), ("karma",)))


def test_the_account_of_sasl_is_the_nick_unless_it_says_another() -> None:
    assert parse("nick: a\n" + one("sasl: {password: p}")).networks["one"].sasl == config.SaslSettings(
        username="a", password=Secret("p")
    )
    sasl = parse(one("sasl: {username: u, password: p, mechanisms: [SCRAM-SHA-256, PLAIN]}")).networks["one"].sasl
    assert sasl and (sasl.username, sasl.mechanisms) == ("u", ("SCRAM-SHA-256", "PLAIN"))


def test_an_account_counts_on_its_network_only() -> None:
    read = parse(TWO + "admins: [{account: alice, network: two}, {hostmask: '*!*@x.org'}]")
    assert read.networks["one"].admins == (Admin(hostmask="*!*@x.org"),)
    assert read.networks["two"].admins == (Admin(account="alice", network="two"), Admin(hostmask="*!*@x.org"))


def test_an_account_needs_no_network_when_there_is_one_or_it_stands_there() -> None:
    alice = Admin(account="alice", network="one")
    assert parse(ONE + "admins: [{account: alice}]").admins == (alice,)
    own = "networks: {one: {host: h, admins: [{account: alice}]}, two: {host: h}}"
    assert parse(own).networks["one"].admins == (alice,)


@pytest.mark.parametrize(
    ("networks", "written", "read"),
    [
        (ONE, "#ops", "one/#ops"),
        (ONE, "#a/b", "one/#a/b"),
        (ONE, "alice", "one/alice"),
        (ONE, "one/#ops", "one/#ops"),
        (TWO, "two/#a/b", "two/#a/b"),
    ],
)
def test_reports_go_to_a_network_and_a_target(networks: str, written: str, read: str) -> None:
    assert parse(networks + f'reload: {{report_to: "{written}"}}').reload.report_to == read


def test_durations_are_decimals_from_zero() -> None:
    read = parse("networks: {}\ntimeouts: {handler_seconds: 0, grace_seconds: 0.25}\nreload: {settle_ms: 2.5}")
    assert (read.timeouts.handler_seconds, read.timeouts.grace_seconds, read.reload.settle_ms) == (0, 0.25, 2.5)


def test_state_is_kept_where_the_service_manager_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/a:/var/lib/b")
    assert parse(ONE).state_dir == "/var/lib/a"
    assert parse(ONE + "state_dir: here").state_dir == "/etc/neverquit/here"


def test_sections_whose_keys_are_all_comments_are_as_good_as_absent() -> None:
    text = "networks:\nplugins:\nreload:\ntimeouts:\nlog:\nadmins:\n"
    assert parse(text) == parse("networks: {}\nadmins: []")
    assert parse("networks: {}\nplugins:\n  directories:\n  settings:\n").plugins == parse("networks: {}").plugins


def test_a_variable_may_give_a_number_or_a_truth_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TLS", "false")
    text = one("port: ${PORT:-7000}\ntls: ${TLS}\npassword: ${PW:-0123}\nflood: {burst: '${BURST:-08.5}'}")
    read = parse(text + 'reload: {watch: "${WATCH:-false}"}')
    network = read.networks["one"]
    assert (network.port, network.tls, network.flood, read.reload.watch) == (7000, None, Flood(8.5, 0.5), False)
    assert network.password == Secret("0123")


# What is refused


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nick: a", ": networks: is missing; `networks: {}` means none"),
        ("- a", "1:1: must be lines of `key: value`"),
        ("text", "1:1: must be lines of `key: value`"),
        ("!!python/object/apply:os.system [ls]", "1:1: an unquoted ! is a sign of YAML's own"),
        (ONE + "nick: no", '2:7: nick: YAML reads `no` as false: write "no"'),
        (ONE + "nick: true", "2:7: nick: must be a text: put it in quotes"),
        (ONE + "nick: 123", "2:7: nick: must be a text: put it in quotes"),
        (ONE + "nick: {a: b}", "2:7: nick: must be a text; one that begins with {"),
        (ONE + "nick: 'a b'", "2:7: nick: must be a nick: no spaces"),
        (ONE + "nick: '1a'", "2:7: nick: must be a nick"),
        (ONE + "nick:", "2:6: nick: has no value"),
        (ONE + "prefix: !", "2:9: prefix: an unquoted ! is a sign"),
        (ONE + "prefix: []", "2:9: prefix: must have at least one"),
        (ONE + "prefix:", "2:8: prefix: has no value"),
        (ONE + "prefix: ['']", "2:10: prefix.0: must be one or more signs"),
        (ONE + "alternative_nicks: a", "2:20: alternative_nicks: must be a list: [one, two]"),
        (ONE + "realname: 'a\n\n  b'", "2:11: realname: must be one line of text"),
        (ONE + "reply_lines: 0", "2:14: reply_lines: must be 1 or more"),
        (ONE + "reply_lines: 2.5", "2:14: reply_lines: must be a whole number"),
        (ONE + "log: {level: loud}", "2:14: log.level: must be 'debug', 'info', 'warning' or 'error'"),
        (ONE + "log: loud", "2:6: log: must be a mapping with these keys: level, format"),
        (ONE + "reload: {watch: 'yes'}", "2:17: reload.watch: must be true or false, without quotes"),
        (ONE + "reload: {watch: maybe}", "2:17: reload.watch: must be true or false, not a text"),
        (ONE + "reload: {watch: 1}", "2:17: reload.watch: must be true or false"),
        (ONE + "reload: {watch: yes}", '2:17: reload.watch: YAML reads `yes` as true: write "yes" for the'),
        (ONE + "reload: {settle_ms: -1}", "2:21: reload.settle_ms: must be 0 or more"),
        (ONE + "reload: {settle_ms: '4'}", "2:21: reload.settle_ms: must be a number, without quotes"),
        (ONE + "reload: {settle_ms: fast}", "2:21: reload.settle_ms: must be a number, not a text"),
        (ONE + "reload: {settle_ms: '${X:-fast}'}", "2:21: reload.settle_ms: must be a number, not a text"),
        (ONE + "reload: {sweep_seconds: 1:30}", "2:25: reload.sweep_seconds: YAML reads an odd number"),
        (ONE + "reload:\n  report_to: #ops", 'report_to: YAML takes what follows an unquoted # for a comment'),
        (ONE + "reload:\n  report_to: #ops", 'put the whole value in quotes: "#ops"'),
        (ONE + "plugins: {settings: {w: x}}", "2:25: plugins.settings.w: must be a mapping"),
        (ONE + "plugins: {settings: {w: {country: no}}}", "plugins.settings.w.country: YAML reads `no` as false"),
        (ONE + "plugins: {disabled: ['../x']}", "plugins.disabled.0: must be the name of a plugin"),
        ("networks: {a b: {host: h}}", "1:12: networks: the name of a network is letters"),
        ("networks: {one: h}", "1:17: networks.one: must be a mapping with these keys: host, port"),
        ("networks:\n  one:\n", "networks.one.host: is missing"),
        ("networks: [one]", "1:11: networks: must be a mapping"),
        ("networks: {one: {host: h, name: n}}", "1:27: networks.one.name: is not a key here"),
        (one("port: 99999"), "4:11: networks.one.port: must be 65535 or less"),
        (one("port: '6667'"), "4:11: networks.one.port: must be a whole number, without quotes"),
        (one("port: 0123"), "4:11: networks.one.port: YAML reads an odd number"),
        (one("port: ${PORT:-high}"), "4:11: networks.one.port: must be a whole number"),
        ("networks: {one: {host: 'irc://h'}}", "1:24: networks.one.host: must be a host name or address alone"),
        ("networks: {one: {host: 'h:6697'}}", "1:24: networks.one.host: must be the host alone: the port goes under"),
        (one("tls:\nsasl: {password: p}"), "4:9: networks.one.tls: has no value"),
        ("nick: 5\n" + one("sasl: {password: p}"), "1:7: nick: must be a text"),
        (one("password: {a: }"), "4:15: networks.one.password: must be a text"),
        (one("tls:"), "4:9: networks.one.tls: has no value"),
        (one("tls: 'false'"), "4:10: networks.one.tls: must be true, false or a mapping with these keys: ca_file"),
        (one("tls: {ca_file: /nowhere/ca.pem}"), "networks.one.tls.ca_file: there is no such file"),
        (one(f"tls: {{key: {__file__}}}"), "networks.one.tls.key: is the key of which `certificate`?"),
        (one("tls: {fingerprints: [ab]}"), "networks.one.tls.fingerprints.0: must be a SHA-256 fingerprint"),
        (one("flood: true"), "4:12: networks.one.flood: must be false or a mapping with these keys: burst, per_second"),
        (one("flood: {per_second: 0}"), "networks.one.flood.per_second: must be more than 0"),
        (one("reconnect: {maximum_seconds: 1}"), "4:16: networks.one.reconnect: maximum_seconds must not be less"),
        (one("password:"), "4:14: networks.one.password: has no value"),
        (one("password: ''"), "4:15: networks.one.password: must be one line of text, not empty"),
        (one("channels:\n  - #bot"), "5:8: networks.one.channels.0: YAML takes what follows an unquoted #"),
        (one("channels:\n  - #bot"), 'put the whole value in quotes: "#bot"'),
        (one("channels: '#a'"), "4:15: networks.one.channels: must be a list"),
        (one("channels: [a]"), '4:16: networks.one.channels.0: must be a channel: a name that begins with #'),
        (one("channels: ['#a planted']"), "4:16: networks.one.channels.0: must be a channel"),
        (one("channels: [7]"), '4:16: networks.one.channels.0: must be a name in quotes, "#name"'),
        (one("channels: [{key: k}]"), "networks.one.channels.0.name: is missing"),
        (one("sasl: {}"), "4:11: networks.one.sasl.password: is missing; or give a key"),
        (one("sasl: {password: p, mechanisms: [EXTERNAL]}"),
         "networks.one.sasl.mechanisms: EXTERNAL needs the bot's own certificate: tls: {certificate: FILE}"),
        (one("sasl: {password: p, mechanisms: [ECDSA-NIST256P-CHALLENGE]}"), "one.sasl.key: is missing; ECDSA"),
        (one("sasl: {mechanisms: [SCRAM-SHA-256]}"), "networks.one.sasl.password: is missing; SCRAM-SHA-256 needs one"),
        (one("sasl: {password: p, mechanisms: [NTLM]}"), "networks.one.sasl.mechanisms.0: must be 'EXTERNAL', "),
        (one("tls: false\nsasl: {password: p, mechanisms: [PLAIN]}"),
         "5:11: networks.one.sasl: PLAIN would send the password readable"),
        (ONE + "admins: [alice]", "2:10: admins.0: must be a mapping with these keys: account, network, hostmask"),
        (ONE + "admins: [{}]", "2:10: admins.0: must have either `account` or `hostmask`"),
        (ONE + "admins: [{account: a, hostmask: 'a!b@c'}]", "2:10: admins.0: must have either"),
        (ONE + "admins: [{account: a, network: two}]", "2:32: admins.0.network: is not a network of this file"),
        (TWO + "admins: [{account: a}]", "2:10: admins.0.network: must say which network the account is on"),
        (one("admins: [{account: a, network: two}]"), "networks.one.admins.0.network: is not a network"),
        (ONE + "admins: [{hostmask: alice}]", '2:21: admins.0.hostmask: must be "nick!user@host"'),
        (ONE + "admins: [{hostmask: *!*@x}]", "a value that begins with * & or ! must be in quotes"),
        (TWO + "reload: {report_to: '#ops'}", '2:21: reload.report_to: must say which network: "one/#channel"'),
        (TWO + "reload: {report_to: 'three/#ops'}",
         '2:21: reload.report_to: must be "NETWORK/TARGET"; the networks of this file: one, two'),
        (ONE + "reload: {report_to: 'one/'}", '2:21: reload.report_to: must be "NETWORK/TARGET"'),
    ],
)  # fmt: skip
def test_a_mistake_has_its_place_its_key_and_its_words(text: str, words: str) -> None:
    result = told(text)
    assert "\n" not in result, "one mistake is told once"
    assert words in result


@pytest.mark.parametrize("mask", ["*!*@*", "*!?*@**", "alice!*@*", "*!~*@*", "*!*@*.*", "*!*@*:*"])
def test_hostmasks_that_leave_user_and_host_open_are_refused(mask: str) -> None:
    assert "2:21: admins.0.hostmask: is too wide" in told(ONE + f'admins: [{{hostmask: "{mask}"}}]')


def test_plain_without_tls_can_be_allowed() -> None:
    sasl = parse(one("tls: false\nsasl: {password: p, plain_without_tls: true}")).networks["one"].sasl
    assert sasl and sasl.plain_without_tls


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("network: {}", "1:1: network: is not a key here; did you mean `networks`?"),
        (ONE + "Nick: a", "2:1: Nick: is not a key here; did you mean `nick`?"),
        (ONE + "reply-lines: 1", "did you mean `reply_lines`?"),
        (ONE + "channels: []", "2:1: channels: is not a key here; it goes to `networks.NAME.channels`"),
        (ONE + "port: 1", "2:1: port: is not a key here; it goes to `networks.NAME.port`"),
        (one("sasl: {passwrd: a, password: b}"),
         "4:12: networks.one.sasl.passwrd: is not a key here; did you mean `password`?"),
        (ONE + "log: {colour: red}", "2:7: log.colour: is not a key here; there are: level, format"),
        (one("sasl: {username: a, password:b}"), "networks.one.sasl: write a space after the colon of a key"),
        (ONE + "plugins: {hidden: []}", "2:11: plugins.hidden: is not a key here"),
    ],
)  # fmt: skip
def test_an_unknown_key_is_told_with_the_one_that_was_meant(text: str, words: str) -> None:
    assert words in told(text)


def test_every_mistake_is_told_at_once_in_the_order_of_the_file() -> None:
    text = "nick: no\nnick: b\nfoo: 1\n" + one("port: 0\nchannels:\n  - #a\n  - b\nsasl: {password: 012}").replace(
        "host: ", "hst: "
    )
    lines = told(text).split("\n")
    assert [line.split(": ")[1] for line in lines] == [
        "nick", "nick", "foo", "networks.one.host", "networks.one.hst", "networks.one.port",
        "networks.one.channels.0", "networks.one.channels.1", "networks.one.sasl.password",
    ]  # fmt: skip
    assert lines == sorted(lines, key=lambda line: [int(n) for n in re.findall(r"\d+", line)[:2]])


def test_a_mistake_at_the_top_level_is_not_told_again_for_each_network() -> None:
    assert told(TWO + "nick: a b").count("\n") == 0
    assert told(TWO + "admins: [{hostmask: x}]").count("\n") == 0


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("{acount: alice}", "2:11: admins.0.acount: is not a key here; did you mean `account`?"),
        ("{account: alice, network: one, port: 1}", "2:41: admins.0.port: is not a key here"),
        ("{account: alice, network: one, port: }", "2:41: admins.0: is not a key here"),
    ],
)
def test_an_unknown_key_of_an_inherited_admin_is_told_once_and_where_it_stands(entry: str, words: str) -> None:
    result = told(TWO + f"admins: [{entry}]")
    assert "\n" not in result and result.startswith(words)


def test_an_admin_of_two_kinds_is_told_besides_an_unknown_key() -> None:
    assert told(ONE + "admins: [{account: a, hostmask: 'a!b@c', foo: d}]").count("\n") == 1


@pytest.mark.parametrize("value", ["true", "[4]", "{a: b}"])
def test_quotes_and_texts_are_not_spoken_of_where_there_are_none(value: str) -> None:
    assert told(ONE + f"reload:\n  settle_ms: {value}").endswith("reload.settle_ms: must be a number")


# What is never shown

PLACES = (
    "networks: {{one: {{host: h, password: {0}}}}}",
    "networks:\n  one:\n    host: h\n    password: {0}\n",
    "networks:\n  one:\n    host: h\n    sasl: {0}\n",
    "networks:\n  one:\n    host: h\n    sasl:\n      password: {0}\n      mechanisms: [PLAIN]\n",
    "networks:\n  one:\n    host: h\n    channels:\n      - {{name: '#a', key: {0}}}\n      - {0}\n",
    "networks: {{}}\nplugins: {{settings: {{weather: {{api_key: {0}}}}}}}",
    "networks: {{}}\nplugins:\n  settings:\n    weather:\n      token: {0}\n",
    "networks:\n  one:\n    host: {0}\n    port: {0}\n    tls: {0}\n    flood: {0}\n    admins: {0}\n",
    "networks: {{one: {{host: h, sasl: {{username: u, password:{0}}}}}}}",
    "networks: {{one: {{host: h, sasl: {{{0}}}}}}}",
)
FORMS = (
    "{{PLANTED: no}}",
    "PLANTED",
    "'PLANTED",
    '"PLANTED',
    '"PLANTED"x',
    "PLANTED #PLANTED",
    "PLANTED: PLANTED",
    "{{PLANTED}}",
    "{{PLANTED: 1}}",
    "[PLANTED]",
    "[PLANTED",
    "*PLANTED",
    "&PLANTED",
    "&PLANTED x",
    "!PLANTED",
    "!!PLANTED x",
    "!P!LANTED x",
    "@PLANTED",
    "%PLANTED",
    "`PLANTED",
    "|PLANTED",
    ">PLANTED",
    "- PLANTED",
    "? PLANTED",
    '"\\PLANTED"',
    '"\\xPLANTED"',
    "PLANTED\n  PLANTED",
    "PLANTED\nPLANTED",
    "'PLANTED ${{'",
    "'PLANTED ${{UNSET}}'",
    "'PLANTED\\0'",
    '"PLANTED\\n"',
    '"PLANTED\\0"',
    '"PLANTED\\ud800"',
    "\tPLANTED",
    "PLANTED\x07",
    "'${{FROM_OUTSIDE}}'",
    "'${{LINES_OUTSIDE}}'",
    "'${{file:{path}}}'",
    "<<: PLANTED",
    "!!int PLANTED",
    "!!bool PLANTED",
    "!!float PLANTED",
    "!!null PLANTED",
    "!!timestamp PLANTED",
    "!!binary PLANTED",
    "'#PLANTED PLANTED'",
    "PLANTED/PLANTED",
)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("form", FORMS)
def test_no_message_shows_a_value_whatever_is_wrong(
    place: str, form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each form of a password in each place: read, or refused without showing it; never another exception."""
    (tmp_path / "file").write_text("PLANTED\nPLANTED\n")
    monkeypatch.setenv("FROM_OUTSIDE", "PLANTED")
    monkeypatch.setenv("LINES_OUTSIDE", "PLANTED\nPLANTED")
    text = place.format(form.format(path=tmp_path / "file") if "{{" in form else form)
    try:
        output = repr(config.parse(text, "c.yaml")) if "host: {0}" not in place and "weather" not in place else ""
    except ConfigError as error:
        output = f"{error} {error!r} {error.__cause__}"
        assert error.__suppress_context__ or error.__context__ is None
    unknown_key = re.search(r"(sasl: |- ){+PLANTED: ", text)  # a key is shown, or nobody could find it
    assert "PLANTED" not in output or unknown_key


@given(st.randoms(use_true_random=False))
def test_a_damaged_file_is_read_or_refused_with_mistakes(chance: random.Random) -> None:
    text = (Path(__file__).parent.parent / "config.yaml").read_text()
    text = re.sub(r"(?m)^(\s*)#(?=[\w-])", r"\1", text)
    for _ in range(chance.randint(1, 6)):
        start = chance.randrange(len(text))
        put = chance.choice(["", "\n", ":", "#", "[", "- ", "'", " ", "no", "0", "~", "{}", "!"])
        text = text[:start] + put + text[start + chance.randint(0, 9) :]
    try:
        parse(text)
    except ConfigError as error:
        assert error.mistakes
