"""Lines as servers send them, as bytes, and ways to spoil them.

Everything is chosen by the `random.Random` that is given, so a seed says it all, and hypothesis can put its own in the
place and make what failed small. The same few people and channels come again and again, or the bot would know nobody
that a line is about. Beside the grammar stand real lines, recorded from InspIRCd with Atheme and from ngircd.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random

SEEDS = tuple((Path(__file__).parent / "seeds.txt").read_bytes().splitlines())

ME, SERVER = "neverquit", "irc.fuzz.test"
NICKS = (
    *("alice", "bob", "Bob", "[x]", "{X}", "x\\y", "X|Y", "n~", "N^", ME, ME.upper(), f"{ME}_", "carol", "dave-1"),
    *("\u00e9t\u00e9", "\u212aelvin", "n" * 60, "*", "NickServ", SERVER),
)
CHANNELS = (
    *("#a", "#b", "#A", "#[c]", "#{C}", "&local", "+plus", "!AB12c", "#\u00e9", "#a\u00a0b", "@#a", "+#b", "#", "0"),
)
HOSTS = ("host.example", "127.0.0.1", "::1", "a/vhost/x", "evil!x@y", "h" * 63, "")
IDENTS = ("u", "~u", "", "u@x")
ACCOUNTS = ("alice", "*", "0", "", "bob", "root")
WORDS = (
    *("a", "reason here", "", ":", ": :", " lead", "tr ail ", "*", "0", "-1", "1700000000", "x" * 400, "\u2028"),
    *("\u0130",),
)
CAPS = (
    *("message-tags", "server-time", "account-tag", "account-notify", "extended-join", "multi-prefix", "batch"),
    *("chghost", "userhost-in-names", "away-notify", "setname", "cap-notify", "invite-notify", "echo-message"),
    *("labeled-response", "sasl", "sasl=PLAIN", "sasl=EXTERNAL,SCRAM-SHA-256,PLAIN", "sts=port=6697,duration=0"),
    *("sts=duration=x", "tls", "draft/multiline=max-bytes=4096,max-lines=24", "standard-replies"),
    *("draft/chathistory", "-batch", "~x", "=y", "a=b=c", "inspircd.org/poison", "bot", "monitor"),
    *("extended-monitor", "utf8only", "no-implicit-names", "-", "=", "x" * 200),
)
TOKENS = (
    *("CASEMAPPING=ascii", "CASEMAPPING=rfc1459", "CASEMAPPING=rfc1459-strict", "CASEMAPPING=what", "CASEMAPPING"),
    *("PREFIX=(ov)@+", "PREFIX=(qaohv)~&@%+", "PREFIX=", "PREFIX=ov", "PREFIX=(ov)@", "PREFIX=(oo)@@", "-PREFIX"),
    *("CHANTYPES=#", "CHANTYPES=", "CHANTYPES=#&+!", "-CHANTYPES", "STATUSMSG=@+", "STATUSMSG=#"),
    *("CHANMODES=b,k,l,imnpst", "CHANMODES=", "CHANMODES=beI,k,l,i,j", "CHANMODES=1", "NICKLEN=30", "NICKLEN=0"),
    *("NICKLEN=99999", "NICKLEN=x", "LINELEN=2048", "LINELEN=1", "LINELEN=99999", "NETWORK=a\\x20b", "NETWORK="),
    *("WHOX", "WHOX=1", "-WHOX", "LOAD=1", "__CLASS__=x", "SET", "TARGMAX=A,B", "CHANLIMIT=#100", "MAXLIST=b:x"),
    *("UTF8ONLY", "-UTF8ONLY", "BOT=B", "BOT=bb", "=", "MONITOR=100", "MONITOR", "-MONITOR", "ELIST=", "EXCEPTS"),
    *("INVEX=\\xff", "MODES=", "TOPICLEN=9", "x" * 100, "-", "--"),
)
TEXTS = (
    *("hello", "!echo a", "!echo  two  words ", "!ECHO x", "neverquit: echo hi", "neverquit, !echo hi"),
    *("echo private", "!", "!!", "x++ y++", "!add 1 2", "!add x", "!add 1e999", "!add --times=3 1", '!add "'),
    *("!help", "!help add", "!plugins", "!more", "!version", "!version fuzz", "!reload all", "!quit", "!say #b x"),
    *("!join #evil", "!part #a", "!load os", "!unload fuzz", "!fuzz.echo x", "!lines 20", "!lines 2", "!secret"),
    *("!enable fuzz", "!nosuch", "\x01ACTION waves\x01", "\x01ACTION", "\x01\x01", "\x01VERSION\x01"),
    *("\x01PING a\x10rQUIT\x01", "\x01DCC SEND a 1 2 3\x01", "\x01", "\x01CLIENTINFO\x01\x01TIME\x01"),
    *("\x01PING\x01", "\x02bold\x02 \x0304,12col\x03", "\x04ff00ff,x\x04", "\x03", "\x1d\x1f\x1e\x11\x16\x0f"),
    *("\0nul", "\x7f\x1b[31m", "!echo \x01x\x01", "\u00e9\u00e9", "\U0001f600\U0001f468\u200d\U0001f469"),
    *("a\u0301" * 50, "!echo " + "\u20ac" * 200, "x" * 450, "!echo " + "y" * 440),
)
TAGS = (
    *("account=alice", "account=root", "account", "account=", "time=2020-01-01T00:00:00.000Z", "time=x"),
    *("time=9999-99-99T99:99:99.999Z", "time=2039-01-01T00:00:00.000Z", "msgid=abc", "msgid=", "batch=h1"),
    *("batch=n1", "batch=", "batch", "label=1", "label=x", "+draft/reply=abc", "+typing=active", "bot"),
    *("a=\\:\\s\\\\\\r\\n\\", "=", "", "k" * 100, "a=1;a=2", "+x/y", "draft/multiline-concat", "inspircd.org/bot"),
    *("\u00e9=\u00e9",),
)
MODES = (
    *("+o", "-o+v", "+b", "+k", "-k", "+l", "+ntsl", "+ooo", "-", "+", "o", "+q-q", "++--", "+\u00e9"),
    *("+" + "v" * 50,),
)
BATCHES = (
    *("chathistory", "draft/chathistory", "netsplit", "netjoin", "labeled-response", "znc.in/playback"),
    *("draft/multiline", "x", ""),
)
REFS = ("+h1", "-h1", "+n1", "-n1", "+", "-", "h1", "", "+x", "-x", "+" + "r" * 80)
VERBS = (
    *("PING", "PONG", "WALLOPS", "KILL", "PASS", "SQUIT", "FROBNICATE", "DISCONNECT", "TAGMSG", "privmsg", "000"),
    *("1234", "\u0130"),
)
SIGNS = b" :@!#;=\\,\x00\x01\x02\x03\x0f\x10\t\r\x7f\x80\xc3\xe9\xff+-*?~&"

Make = Callable[[Random], Iterable[str]]  # the words of a line behind its source; the last may hold spaces


def _nick(random: Random) -> str:
    return random.choice(NICKS)


def _channel(random: Random) -> str:
    return random.choice(CHANNELS)


def _target(random: Random) -> str:
    return random.choice((_channel, _channel, _nick))(random)


def _names(random: Random, pool: Iterable[str], most: int, joint: str = " ") -> str:
    pool = tuple(pool)
    return joint.join(random.choice(pool) for _ in range(random.randint(0, most)))


def _names_reply(random: Random) -> Iterable[str]:
    people = " ".join(
        random.choice(("", "@", "+", "@+", "~&@%+")) + _nick(random) + random.choice(("", "!u@h", "!u@", "@"))
        for _ in range(random.randint(0, 8))
    )
    return ME, random.choice("=@*"), _channel(random), people


def _whox(random: Random) -> Iterable[str]:
    flags, account = random.choice(("H", "G@", "H*+", "")), random.choice(ACCOUNTS)
    host, token = random.choice(HOSTS) or "h", random.choice(("1", "2", "152", "x"))
    return ME, token, _channel(random), random.choice(IDENTS) or "u", host, _nick(random), flags, account, "real name"


def _numeric(random: Random) -> str:
    common = (
        *("001", "002", "004", "005", "221", "301", "324", "331", "332", "333", "353", "354", "366", "376", "401"),
    )
    refusals = ("403", "404", "410", "421", "422", "431", "432", "433", "436", "437", "439", "447", "451", "462", "464")
    others = ("465", "471", "473", "474", "475", "477", "482", "730", "731", "732", "733", "734", "900", "901", "902")
    sasl = ("903", "904", "905", "906", "907", "908", f"{random.randint(0, 999):03}")
    return random.choice(common + refusals + others + sasl)


LINES: tuple[tuple[str, Make], ...] = (
    ("PRIVMSG", lambda r: (_target(r), r.choice(TEXTS))),
    *[("PRIVMSG", lambda r: (r.choice(("#a", "#b", ME)), r.choice(TEXTS)))] * 6,
    ("NOTICE", lambda r: (_target(r), r.choice(TEXTS))),
    ("JOIN", lambda r: (_channel(r),)),
    ("JOIN", lambda r: (_channel(r), r.choice(ACCOUNTS), "real name")),
    ("JOIN", lambda r: (_names(r, CHANNELS, 4, ","),)),
    ("PART", lambda r: (_names(r, CHANNELS, 3, ","), r.choice(WORDS))),
    ("QUIT", lambda r: (r.choice((*WORDS, "a.example b.example", "*.net *.split")),)),
    ("KICK", lambda r: (_channel(r), _nick(r), r.choice(WORDS))),
    ("NICK", lambda r: (_nick(r),)),
    ("MODE", lambda r: (_target(r), r.choice(MODES), *(_nick(r) for _ in range(r.randint(0, 3))))),
    ("TOPIC", lambda r: (_channel(r), r.choice(TEXTS))),
    ("INVITE", lambda r: (_nick(r), _channel(r))),
    ("ACCOUNT", lambda r: (r.choice(ACCOUNTS),)),
    ("AWAY", lambda r: (r.choice(WORDS),)),
    ("CHGHOST", lambda r: (r.choice(IDENTS) or "u", r.choice(HOSTS))),
    ("SETNAME", lambda r: (r.choice(WORDS),)),
    ("BATCH", lambda r: (r.choice(REFS), r.choice(BATCHES), _channel(r))),
    ("BATCH", lambda r: (r.choice(REFS),)),
    ("CAP", lambda r: (r.choice(("*", ME)), r.choice(("ACK", "NAK", "NEW", "DEL", "LIST")), _names(r, CAPS, 5))),
    ("CAP", lambda r: ("*", "LS", *r.choice(((), ("*",))), _names(r, CAPS, 12))),
    ("AUTHENTICATE", lambda r: (r.choice(("+", "", "cj1h", "*", "x" * 400, "=", "cj1hLHM9YixpPTE=", "v=")),)),
    ("ERROR", lambda r: (r.choice(("Closing Link: x (K-Lined)", "", "throttled")),)),
    ("PING", lambda r: (r.choice(("token", "two words", "", ":x")),)),
    ("PONG", lambda r: (SERVER, "keeper")),
    ("TAGMSG", lambda r: (_target(r),)),
    ("FAIL", lambda r: (r.choice(("*", "JOIN")), r.choice(("INVALID_UTF8", "X")), "context", r.choice(WORDS))),
    ("NOTE", lambda r: ("*", "CODE", r.choice(WORDS))),
    ("WARN", lambda r: ("*", "CODE", r.choice(WORDS))),
    ("001", lambda r: (_nick(r), "Welcome")),
    ("005", lambda r: (ME, *(r.choice(TOKENS) for _ in range(r.randint(0, 8))), "are supported")),
    ("324", lambda r: (ME, _channel(r), r.choice(MODES), "key", "7")),
    ("332", lambda r: (ME, _channel(r), r.choice(TEXTS))),
    ("333", lambda r: (ME, _channel(r), _nick(r), "1700000000")),
    ("352", lambda r: (ME, _channel(r), "u", r.choice(HOSTS) or "h", SERVER, _nick(r), r.choice("HG"), "0 real")),
    ("353", _names_reply),
    ("353", _names_reply),
    ("354", _whox),
    ("315", lambda r: (ME, _channel(r), "End")),
    ("366", lambda r: (ME, _channel(r), "End")),
    ("730", lambda r: (ME, _names(r, NICKS, 3, ","))),
    ("731", lambda r: (ME, _names(r, NICKS, 3, ","))),
    ("900", lambda r: (ME, f"{ME}!u@h", r.choice(ACCOUNTS), "You are logged in")),
)  # fmt: skip


def _source(random: Random) -> str:
    kind = random.randrange(12)
    if kind < 9:
        nick = random.choice(NICKS)
        return f":{nick}!{random.choice(IDENTS)}@{random.choice(HOSTS)} "
    return random.choice((f":{SERVER} ", "", f":{_nick(random)} ", ":!@ ", ": ", ":a!b!c@d@e ", ":nick@host "))


def _tags(random: Random) -> str:
    chosen = ";".join(random.choice(TAGS) for _ in range(random.randint(1, 4)))
    return f"@{chosen} "


def line(random: Random) -> bytes:
    """A line as it should be, more or less."""
    kind = random.randrange(20)
    if kind == 0:
        return random.choice(SEEDS)
    if kind == 1:
        words = (_numeric(random), ME, *(random.choice(WORDS + NICKS + CHANNELS) for _ in range(random.randint(0, 4))))
    elif kind == 2:
        words = (random.choice(VERBS), *(random.choice(WORDS) for _ in range(random.randint(0, 3))))
    else:
        verb, make = random.choice(LINES)
        words = (verb, *make(random))
    *middle, last = words
    text = " ".join([*middle, f":{last}" if middle else last])
    numeric = words[0].isdigit() and random.randrange(8) > 0
    source = f":{SERVER} " if numeric else _source(random)
    tags = _tags(random) if random.randrange(4) == 0 else ""
    return f"{tags}{source}{text}".encode(errors="surrogatepass")


# -- spoiling


def _cut(random: Random, raw: bytes) -> bytes:
    return raw[: random.randint(0, len(raw))]


def _without(random: Random, raw: bytes) -> bytes:
    words = raw.split(b" ")
    del words[random.randrange(len(words))]
    return b" ".join(words)


def _doubled(random: Random, raw: bytes) -> bytes:
    words = raw.split(b" ")
    at = random.randrange(len(words))
    return b" ".join([*words[:at], *[words[at]] * random.randint(2, 4), *words[at + 1 :]])


def _swapped(random: Random, raw: bytes) -> bytes:
    words = raw.split(b" ")
    one, other = random.randrange(len(words)), random.randrange(len(words))
    words[one], words[other] = words[other], words[one]
    return b" ".join(words)


def _signs(random: Random, raw: bytes) -> bytes:
    made = bytearray(raw)
    for _ in range(random.randint(1, 4)):
        made.insert(random.randint(0, len(made)), random.choice(SIGNS))
    return bytes(made)


def _flipped(random: Random, raw: bytes) -> bytes:
    made = bytearray(raw or b"x")
    for _ in range(random.randint(1, 3)):
        made[random.randrange(len(made))] = random.randrange(256)
    return bytes(made)


def _spliced(random: Random, raw: bytes) -> bytes:
    other = line(random)
    return raw[: random.randint(0, len(raw))] + other[random.randint(0, len(other)) :]


def _long(random: Random, raw: bytes) -> bytes:
    at = random.randint(0, len(raw))
    filling = random.choice((b"x", b" ", b":", b"a=b;", b"\xc3\xa9", b" n", b"+o"))
    return raw[:at] + filling * random.choice((30, 300, 3000)) + raw[at:]


def _case(random: Random, raw: bytes) -> bytes:
    return raw.lower() if random.randrange(2) else raw.upper()


SPOILED: tuple[Callable[[Random, bytes], bytes], ...] = (
    *(_cut, _cut, _without, _without, _doubled, _swapped, _swapped, _signs, _signs, _flipped, _spliced, _case),
)


def spoil(random: Random, raw: bytes) -> bytes:
    """A line with a few things wrong."""
    for _ in range(random.randint(1, 3)):
        raw = random.choice(SPOILED)(random, raw)
    return raw


def hostile(random: Random, raw: bytes) -> bytes:
    """What a bad server says where a good one says `raw`: mostly that, or something like it, or that and more."""
    kind = random.randrange(10)
    if kind < 6:
        return raw
    return (spoil(random, raw), raw + b"\r\n" + line(random), line(random) + b"\r\n" + raw, raw + b"\n" + raw)[kind - 6]


def spoiled(random: Random) -> bytes:
    """A line as it should not be, or noise."""
    kind = random.randrange(40)
    if kind == 0:
        return bytes(random.randrange(256) for _ in range(random.randint(0, 60)))
    if kind == 1:
        return bytes(random.choice(SIGNS + b"aA1") for _ in range(random.randint(0, 40)))
    if kind == 2:
        return _long(random, line(random))
    return spoil(random, line(random))


def stream(random: Random, count: int) -> bytes:
    """So many lines with their ends, most of them spoiled; a spoiled one may hold line ends of its own."""
    parts = []
    for _ in range(count):
        parts.append(line(random) if random.randrange(5) < 2 else spoiled(random))
        parts.append(random.choice((b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r\r\n", b"\n\n")))
    return b"".join(parts)


def segments(random: Random, data: bytes) -> Iterable[bytes]:
    """The same bytes in pieces, as a network may bring them: all at once, by the line, or by one byte."""
    size = random.choice((1, 7, 60, 500, 4096, len(data)))
    at = 0
    while at < len(data):
        step = random.randint(1, max(1, size))
        yield data[at : at + step]
        at += step
