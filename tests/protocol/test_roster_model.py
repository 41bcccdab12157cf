"""roster.py against a small network that is simulated: whatever happens there, the roster holds what is true.

The network has a few people and channels, and tells us what a server tells a client with the capabilities that were
drawn; the roster's questions are answered later than they are put. After every step the roster is compared with it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bot.protocol.casemap import fold
from bot.protocol.message import Message
from bot.protocol.registration import Identity, Registration
from bot.protocol.roster import Applied, Roster
from bot.protocol.snapshot import parts, restore
from bot.protocol.splits import REMEMBERED_SECONDS

CAPS = (
    *("account-notify", "account-tag", "extended-join", "away-notify", "chghost", "setname", "multi-prefix"),
    *("userhost-in-names", "batch", "server-time", "message-tags"),
)
NICKS = ("alice", "Bob", "carl[x]", "dan", "eve|", "Frank")
SPARE = ("other", "[z]", "Bob_", "CARL{X}", "ALICE")
CHANNELS = ("#a", "#B[1]", "&c")
RANKS = {"q": "~", "o": "@", "v": "+"}
PEOPLE = st.integers(0, len(NICKS) - 1)
ANYBODY = st.integers(-1, len(NICKS) - 1)  # -1 is the bot
CHANNEL = st.sampled_from(CHANNELS)
WORD = st.sampled_from(["x", "y1", "z.example"])


@dataclass(eq=False)
class Person:
    nick: str
    ident: str
    host: str
    account: str | None = None
    realname: str = "Some One"
    away: bool = False
    bot: bool = False
    online: bool = True
    split: dict[str, set[str]] | None = None  # the channels it was in when its server was lost
    lost_from: frozenset[str] = frozenset()  # those of them in which we saw it go
    lost_at: float = 0.0

    @property
    def mask(self) -> str:
        return f"{self.nick}!{self.ident}@{self.host}"


@dataclass
class Place:
    name: str
    members: dict[Person, set[str]] = field(default_factory=dict)
    topic: str = ""


class Simulation(RuleBasedStateMachine):
    @initialize(caps=st.sets(st.sampled_from(CAPS)), whox=st.booleans(), early=st.booleans(), at_once=st.booleans())
    def connect(self, caps: set[str], whox: bool, early: bool, at_once: bool) -> None:
        self.caps, self.whox = caps, whox
        self.me = Person("neverquit", "~n", "bot.example")
        self.people = [Person(nick, f"i{at}", f"h{at}.example") for at, nick in enumerate(NICKS)]
        self.places = {name: Place(name) for name in CHANNELS}
        self.now, self.clock, self.ids = 1000.0, 0, 0
        self.questions: list[Message] = []
        self.applied: list[Applied] = []
        self.sure: set[Person] = set()  # of whom the server has told us the account, the real name and absence
        self.roster = Roster()
        self.roster.caps = set(caps)
        self.server("001 neverquit :Welcome")
        tokens = f"PREFIX=(qov)~@+ CHANTYPES=#& BOT=B {'WHOX' if whox else ''}"
        self.server(f"005 neverquit {tokens} :are supported")
        if early:
            self.server("PONG irc.test :time")
        for at, person in enumerate(self.people):
            person.account, person.away, person.bot = ("acc", None)[at % 2], at == 2, at == 3
            self.places["#a"].members[person] = set(("", "o", "qv", "ov")[at % 4])
            if at % 2:
                self.places["#B[1]"].members[person] = set("v")
        self.join(-1, "#a")
        self.join(-1, "#B[1]")
        if at_once:
            self.answer_all()
            if whox:
                self.sure = set(self.people)
                assert all(self.roster.users[fold(one.nick)].bot == one.bot for one in self.people)

    # -- what the server says

    def line(self, text: str, author: Person | None = None, **tags: str) -> Applied:
        self.clock += 1
        if "server-time" in self.caps:
            tags.setdefault(
                "time", f"2026-01-01T{self.clock // 3600:02}:{self.clock // 60 % 60:02}:{self.clock % 60:02}.0Z"
            )
        if author is not None and author.account and "account-tag" in self.caps:
            tags["account"] = author.account
        if author is not None and author.bot and "message-tags" in self.caps:
            tags["bot"] = ""
        source = f":{author.mask}" if author is not None else ":irc.test"
        block = "@" + ";".join(f"{name}={value}" if value else name for name, value in tags.items()) + " "
        applied = self.roster.apply(Message.parse(f"{block if tags else ''}{source} {text}"), self.now)
        self.questions += applied.asks
        self.applied.append(applied)
        return applied

    def server(self, text: str, **tags: str) -> Applied:
        return self.line(text, **tags)

    def seen(self, person: Person) -> bool:
        return person is self.me or any(
            person in place.members and self.me in place.members for place in self.places.values()
        )

    def who(self, at: int) -> Person:
        return self.me if at < 0 else self.people[at]

    def taken(self, nick: str) -> Person | None:
        everybody = [self.me, *self.people]
        return next((one for one in everybody if one.online and fold(one.nick) == fold(nick)), None)

    def _joins(self, person: Person, place: Place, ranks: Iterable[str] = (), **tags: str) -> Applied | None:
        """Somebody is in a channel from now on; tell us if we are there."""
        place.members[person] = set(ranks)
        if self.me not in place.members:
            return None
        extended = f" {person.account or '*'} :{person.realname}" if "extended-join" in self.caps else ""
        applied = self.line(f"JOIN {place.name}{extended}", person, **tags)
        if person is not self.me:
            if "extended-join" in self.caps:
                self.sure.add(person)
            if person.away and "away-notify" in self.caps:
                self.line("AWAY :gone", person)
            if ranks:
                self.server(f"MODE {place.name} +{''.join(ranks)} {' '.join(person.nick for _ in ranks)}")
        return applied

    def _leaves(self, person: Person, *names: str) -> None:
        for name in names or CHANNELS:
            self.places[name].members.pop(person, None)
        self.sure = {one for one in self.sure if self.seen(one)}

    # -- what happens

    @rule(at=ANYBODY, name=CHANNEL)
    def join(self, at: int, name: str) -> None:
        person, place = self.who(at), self.places[name]
        if not person.online or person in place.members:
            return
        applied = self._joins(person, place, "" if place.members else "o")
        if person is self.me:
            if place.topic:
                self.server(f"332 neverquit {name} :{place.topic}")
            for one, ranks in place.members.items():
                signs = "".join(RANKS[rank] for rank in RANKS if rank in ranks)
                signs = signs if "multi-prefix" in self.caps else signs[:1]
                shown = one.mask if "userhost-in-names" in self.caps else one.nick
                self.server(f"353 {self.me.nick} = {name} :{signs}{shown}")
            self.server(f"366 {self.me.nick} {name} :End")
        elif applied is not None:
            assert not applied.split and applied.channels == (name,)

    @rule(at=ANYBODY, name=CHANNEL, by=st.none() | PEOPLE)
    def leave(self, at: int, name: str, by: int | None) -> None:
        person, place = self.who(at), self.places[name]
        if person not in place.members:
            return
        if self.me in place.members:
            if by is not None and self.people[by] in place.members:
                self.line(f"KICK {name.upper()} {person.nick.upper()} :out", self.people[by])
            else:
                self.line(f"PART {name} :bye", person)
        self._leaves(person, name)

    @rule(at=PEOPLE, reason=st.sampled_from(["Quit: a.b c.d", "Ping timeout", "a.b", "1.5 is it"]))
    def quit(self, at: int, reason: str) -> None:
        person = self.people[at]
        if person.online:
            if self.seen(person):
                assert not self.line(f"QUIT :{reason}", person).split
            self._leaves(person)
            person.online = False

    @rule(at=PEOPLE, nick=st.sampled_from(NICKS + SPARE), host=WORD)
    def come(self, at: int, nick: str, host: str) -> None:
        """Somebody connects, perhaps with a nick that was another's."""
        person = self.people[at]
        if not person.online and person.split is None and self.taken(nick) is None:
            self.ids += 1
            self.people[at] = Person(nick, "~new", f"{self.ids}.{host}")

    @rule(at=ANYBODY, nick=st.sampled_from(NICKS + SPARE))
    def rename(self, at: int, nick: str) -> None:
        person = self.who(at)
        if person.online and self.taken(nick) in (None, person) and nick != person.nick:
            if self.seen(person):
                self.line(f"NICK {nick}", person)
            person.nick = nick

    @rule(name=CHANNEL, changes=st.lists(st.tuples(st.booleans(), st.sampled_from("qov"), ANYBODY), max_size=6))
    def modes(self, name: str, changes: list[tuple[bool, str, int]]) -> None:
        place, letters, nicks = self.places[name], "", []
        for on, rank, at in changes:
            person = self.who(at)
            if person in place.members:
                (place.members[person].add if on else place.members[person].discard)(rank)
                letters += f"{'+' if on else '-'}{rank}n"
                nicks.append(person.nick)
        if letters and self.me in place.members:
            self.server(f"MODE {name} {letters} {' '.join(nicks)}")

    @rule(at=PEOPLE, account=st.none() | st.sampled_from(["acc", "Other"]))
    def account(self, at: int, account: str | None) -> None:
        person = self.people[at]
        person.account = account if person.online else None
        if person.online and "account-notify" in self.caps and self.seen(person):
            self.line(f"ACCOUNT {account or '*'}", person)

    @rule(at=ANYBODY, ident=st.sampled_from(["x", "y"]), host=WORD)
    def change_host(self, at: int, ident: str, host: str) -> None:
        person = self.who(at)
        if not person.online or (person.ident, person.host) == (ident, host):
            return
        told = self.seen(person)
        if person is self.me and "chghost" not in self.caps:
            person.ident, person.host = ident, host
            self.server(f"396 {person.nick} {ident}@{host} :is your host")
            return
        if told and "chghost" in self.caps:
            self.line(f"CHGHOST {ident} {host}", person)
        elif told:
            self.line("QUIT :Changing host", person)
            self.sure.discard(person)
        person.ident, person.host = ident, host
        if told and "chghost" not in self.caps:
            for place in self.places.values():
                if person in place.members:
                    self._joins(person, place, sorted(place.members[person]))

    @rule(at=PEOPLE, away=st.booleans())
    def be_away(self, at: int, away: bool) -> None:
        person = self.people[at]
        person.away = away
        if "away-notify" in self.caps and self.seen(person):
            self.line("AWAY :lunch" if away else "AWAY", person)

    @rule(at=PEOPLE, name=WORD)
    def set_name(self, at: int, name: str) -> None:
        person = self.people[at]
        person.realname = f"{name} {at}"
        if "setname" in self.caps and self.seen(person):
            self.line(f"SETNAME :{person.realname}", person)

    @rule(at=ANYBODY, name=CHANNEL, topic=st.sampled_from(["", "news", "a : b"]))
    def set_topic(self, at: int, name: str, topic: str) -> None:
        self.places[name].topic = topic
        if self.me in self.places[name].members:
            self.line(f"TOPIC {name} :{topic}", self.who(at) if self.who(at).online else None)

    @rule(at=PEOPLE, is_bot=st.booleans())
    def speak(self, at: int, is_bot: bool) -> None:
        person = self.people[at]
        person.bot = is_bot or person.bot
        if person.online:
            applied = self.line("PRIVMSG neverquit :hello", person)
            assert applied.member is not None and applied.member.nick == person.nick
            assert applied.member.bot or not person.bot or "message-tags" not in self.caps

    # -- netsplits

    def _batch(self, kind: str, wanted: bool) -> dict[str, str]:
        if not (wanted and "batch" in self.caps):
            return {}
        self.ids += 1
        self.server(f"BATCH +{self.ids} {kind}")
        return {"batch": str(self.ids)}

    @rule(lost=st.sets(PEOPLE, min_size=1), batch=st.booleans())
    def netsplit(self, lost: set[int], batch: bool) -> None:
        told: dict[str, set[str]] = {}
        tags = self._batch("netsplit hub.example leaf.example", batch)
        for person in [self.people[at] for at in sorted(lost)]:
            if not person.online:
                continue
            shown = [place for place in self.places.values() if {person, self.me} <= place.members.keys()]
            for place in shown:
                told.setdefault(place.name, set()).add(person.nick)
            person.split = {
                name: place.members[person] for name, place in self.places.items() if person in place.members
            }
            if shown:
                assert self.line("QUIT :hub.example leaf.example", person, **tags).split
            person.lost_from, person.lost_at = frozenset(place.name for place in shown), self.now
            self._leaves(person)
            person.online = False
        self._told("netsplit", told, tags)

    @rule(batch=st.booleans(), seconds=st.sampled_from([0, 60, 600]))
    def netjoin(self, batch: bool, seconds: int) -> None:
        self.now += seconds
        told: dict[str, set[str]] = {}
        tags = self._batch("netjoin hub.example leaf.example", batch)
        for person in self.people:
            if person.split is None:
                continue
            channels, person.split = person.split, None
            if self.taken(person.nick) is not None:
                continue  # killed as the second of that nick
            person.online = True
            for name, ranks in channels.items():
                applied = self._joins(person, self.places[name], sorted(ranks), **tags)
                if applied is not None:
                    known = name in person.lost_from and self.now - person.lost_at <= REMEMBERED_SECONDS
                    assert applied.split == (known or bool(tags))
                    if applied.split:
                        told.setdefault(name, set()).add(person.nick)
        self._told("netjoin", told, tags)

    def _told(self, name: str, told: dict[str, set[str]], tags: dict[str, str]) -> None:
        if tags:
            self.server(f"BATCH -{tags['batch']}")
        else:
            self.now += 3
        due = self.roster.splits.due(self.now)
        assert {split.channel: set(split.nicks) for split in due} == told
        assert all((split.name, split.servers) == (name, ("hub.example", "leaf.example")) for split in due)

    # -- what was said before, questions, and the next worker

    @precondition(lambda self: "batch" in self.caps)
    @rule(lines=st.lists(st.tuples(PEOPLE, st.sampled_from(["JOIN", "PART", "PRIVMSG", "TOPIC", "MODE"]), CHANNEL)))
    def replay(self, lines: list[tuple[int, str, str]]) -> None:
        tags = self._batch("chathistory #a", True)
        for at, verb, name in lines:
            person = self.people[at]
            applied = self.line(f"{verb} {name} +o-v :x", person, **tags)
            assert applied.history
            assert self.line("QUIT :long ago", person, **tags).history
            assert self.line(f"NICK {self.me.nick}", person, **tags).history
        self.server(f"BATCH -{tags['batch']}")

    @precondition(lambda self: "server-time" in self.caps)
    @rule(at=PEOPLE, verb=st.sampled_from(["PRIVMSG #a :!x", "JOIN #a", "QUIT :x", "NICK neverquit", "ACCOUNT acc"]))
    def replay_without_a_batch(self, at: int, verb: str) -> None:
        person = self.people[at]
        if fold(person.nick) != fold(self.me.nick):  # of ourselves we believe everything
            assert self.line(verb, person, time="2025-12-31T12:00:00.000Z").history

    @rule()
    def answer(self) -> None:
        """The server comes to the oldest question."""
        if not self.questions:
            return
        question = self.questions.pop(0)
        place, nick = self.places[question.param(0)], self.me.nick
        if question.command == "MODE":
            self.server(f"324 {nick} {place.name} +nt")
            return
        fields, _, token = question.param(1).partition(",")
        for one in place.members if self.me in place.members else ():
            flags = ("G" if one.away else "H") + ("B" if one.bot else "")
            if fields:
                named = f"{token} {place.name} {one.ident} {one.host} {one.nick} {flags}"
                self.server(f"354 {nick} {named} {one.account or '0'} :{one.realname}")
            else:
                self.server(
                    f"352 {nick} {place.name} {one.ident} {one.host} irc.test {one.nick} {flags} :0 {one.realname}"
                )
        self.server(f"315 {nick} {place.name} :End")

    @rule()
    def answer_all(self) -> None:
        while self.questions:
            self.answer()

    @rule()
    def another_worker(self) -> None:
        """The roster goes on in another process."""
        snapshot = [
            (name, json.loads(json.dumps(value)))
            for name, value in parts(self.roster, Registration(Identity("x"), True))
        ]
        after = Roster()
        restore(after, snapshot, self.roster.caps)
        self.roster = after

    # -- what is true

    @invariant()
    def the_roster_holds_what_is_true(self) -> None:
        if not hasattr(self, "roster"):
            return
        roster = self.roster
        assert roster.nick == self.me.nick
        ours = {fold(name): place for name, place in self.places.items() if self.me in place.members}
        assert roster.channels.keys() == ours.keys()
        seen = [self.me, *(one for one in self.people if self.seen(one))]
        assert roster.users.keys() == {fold(one.nick) for one in seen}
        for name, place in ours.items():
            known = roster.channels[name]
            assert (known.name, known.topic) == (place.name, place.topic)
            assert known.members.keys() == {fold(one.nick) for one in place.members}
            for one, ranks in place.members.items():
                held = known.members[fold(one.nick)]
                assert held == ranks if "multi-prefix" in self.caps else held <= ranks
        for one in seen:
            self._is_true(one)

    def _is_true(self, one: Person) -> None:
        user = self.roster.users[fold(one.nick)]
        assert user.nick == one.nick
        assert user.channels == {fold(name) for name in CHANNELS if {one, self.me} <= self.places[name].members.keys()}
        assert user.host == "" or (user.ident, user.host) == (one.ident, one.host)
        if "account-notify" not in self.caps:
            assert user.account is None
        elif one is not self.me:
            assert user.account == one.account if one in self.sure else user.account in (None, one.account)
        if one in self.sure and "setname" in self.caps:
            assert user.realname == one.realname
        if one in self.sure and "away-notify" in self.caps:
            assert user.away == one.away
        assert one.bot or not user.bot


Simulation.TestCase.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)
TestSimulation: Callable[[], object] = Simulation.TestCase
