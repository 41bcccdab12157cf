"""What may be said on one network now, and to whom: the flow of each line, what waits for a channel, who refuses us.

`connection` hands every line that is not urgent to `say`, and tells what happens. The rules (in words for users:
docs/irc.md):

- Each target is a flow; flows take turns (`outbox`, `protocol.sendqueue`).
- Words to a channel outlive a connection, for a while: they leave when the channel has been joined again, and are
  dropped when that is refused. Words to a nick and questions to the server end with their connection: who has the nick
  on the next one nobody can tell. So do private answers to a line that came before it.
- A target that has refused what we said three times within half a minute is not spoken to for as long, or until
  something there changes. Three, since channels refuse single lines for their colours or words, with 404 too.

Which targets refuse us is forgotten by a worker that ends: its successor learns it from the next refusal. RFC 2812
section 5.2 has the numerics; 439, 477, 531 and 716 are those of ircu, Bahamut, InspIRCd and ircd-ratbox.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, Iterable

from bot.protocol.casemap import fold
from bot.protocol.message import Message
from bot.protocol.roster import Roster
from bot.wire.alarms import Alarms
from bot.wire.bare import bare
from bot.wire.link import Frame
from bot.wire.outbox import NOT_SENT, Outbox
from bot.wire.rejoin import REFUSALS

log = logging.getLogger(__name__)

SETTLE_SECONDS = 10.0  # for the channels to be joined; servers that wait for services take some seconds
REFUSED_SECONDS = 30.0
REFUSALS_IN_A_ROW = 3
MAX_TOLD = 500

#: Numerics whose second parameter is a target that is not there, or did not take what we said,
UNREACHED = frozenset({"401", "403", "404", "407", "439", "477", "531", "716"})
#: and those that something else we did was refused with.
REFUSED = UNREACHED | {"437", "447", "482"}

_TARGET = re.compile(r"(?:@[^ ]+ +)?(?::[^ ]+ +)?(?:PRIVMSG|NOTICE|TAGMSG) +([^ ]+)", re.IGNORECASE)
_UNFIT = re.compile(r"[\x00-\x20\x7f\ud800-\udfff]")
_SIGNS = tuple("#&+!")  # of channels, also before a server has told its own
_RANKS = tuple("~&@%+")  # before a channel's name: to those of a rank in it


def _bare(frame: Frame) -> Frame:
    """A line that waits for another connection; a batch stays one effect, of lines each for itself."""
    return frame._replace(payload=bare(frame.payload).replace(b"\n", b"\r"))


class Speech:
    """The words of one network's connection.

    Args:
        send: hands a frame to the link.
        name: the network's.
        clock: seconds, the one of the alarms; the name `settle` in these is used here.
    """

    def __init__(
        self,
        send: Callable[[Frame], None],
        outbox: Outbox,
        roster: Roster,
        alarms: Alarms,
        clock: Callable[[], float],
        name: str,
    ) -> None:
        self._send, self._outbox, self._roster = send, outbox, roster
        self._alarms, self._clock, self._name = alarms, clock, name
        self._since: int | None = None  # the last line before this connection; None: there is none
        self._awaited: dict[str, str] = {}  # flows of channels that we are about to be in, and their names
        self._refused: dict[str, list[float]] = {}  # folded target -> when it did not take what we said
        self._told: dict[tuple[str, str], None] = {}  # refusals that were logged: numeric, folded target
        self._spoken: dict[str, None] = {}  # folded targets that we have spoken to

    def say(self, line: str, raw: bytes, key: str, k: int, verb: str = "say") -> Awaitable[bool]:
        """Send a line in its turn, or drop it where nobody should have it.

        Args:
            verb: `batch` if `raw` is several lines, of which `line` is one.
        """
        found = _TARGET.match(line)
        target = found[1] if found else ""
        flow = self.flow(target)
        lasting = self._is_channel(target)
        if self._is_refused(target) or not (lasting or self._is_for_now(key)):
            return NOT_SENT
        if (folded := self._roster.fold(target)) not in self._spoken:
            if len(self._spoken) >= MAX_TOLD:
                del self._spoken[next(iter(self._spoken))]
            self._spoken[folded] = None
        return self._outbox.say(Frame(verb, (self._name, key, str(k), "1" if lasting else "2", flow), raw))

    def flow(self, target: str) -> str:
        """The flow of a target, in signs that a frame can hold; two that differ in odd signs may be one."""
        if target[:1] in _RANKS and target[1:2] in _SIGNS:
            target = target[1:]
        # By the widest mapping always: a flow must be the same on the next connection, before 005.
        return _UNFIT.sub("?", fold(target[:100], "rfc1459")).lstrip(":") or "-"

    def _is_channel(self, target: str) -> bool:
        return target[:1] in _SIGNS or target[:1] in _RANKS or self._roster.is_channel(target)

    def _is_for_now(self, key: str) -> bool:
        """Whether what is of one connection only is of the present one."""
        cause = key.rpartition("/")[0]
        return self._since is not None and not (cause.isdecimal() and int(cause) <= self._since)

    def _is_refused(self, target: str) -> bool:
        # By the server's own mapping and with its sign: `#a` is not refused where `@#a` is.
        times = self._refused.get(self._roster.fold(target), [])
        return len(times) >= REFUSALS_IN_A_ROW and self._clock() < times[-1] + REFUSED_SECONDS

    # -- told by the connection

    def begin(self, since: int) -> None:
        """The connection is up, not registered yet. `since`: the number of the last line before it."""
        self._since = since

    def arrive(self, channels: Iterable[str], stale_seconds: float) -> None:
        """Registered; these channels are about to be joined.

        Args:
            stale_seconds: what waits for longer is not said any more.
        """
        now = self._clock()
        if lines := self._outbox.drop(lambda _, at: at < now - stale_seconds):
            log.warning(
                "%s: %d lines had waited for too long when the connection was back; not sent", self._name, lines
            )
        self._await(channels)

    def take_over(self, absent: Iterable[str]) -> None:
        """Registered under a worker before, who may have ended while the channels were joined.

        Args:
            absent: channels to be in, and not joined as far as we know by now.
        """
        self._await(absent)
        for channel in self._roster.channels.values():
            self._send(Frame("free", (self._name, self.flow(channel.name))))

    def _await(self, channels: Iterable[str]) -> None:
        self._send(Frame("free", (self._name, "-")))
        self._awaited = {self.flow(channel): channel for channel in channels}
        self._alarms.after(SETTLE_SECONDS, "settle", self._settled)
        self._look_settled()

    def leave(self) -> None:
        """The connection is gone; its alarms are cancelled already. What was for it alone is dropped."""
        self._since = None
        self._awaited.clear()
        self._refused.clear()
        self._told.clear()
        self._spoken.clear()
        self._outbox.drop(lambda frame, _: frame.fields[3] == "2")
        self._outbox.change(_bare)

    def heard(self, message: Message, told: bool = False) -> None:
        """A line came, and the roster has it.

        Args:
            told: it is logged already: `labels` knows what line of ours it answers, or `rejoin` tries again.
        """
        command = message.command
        if command in REFUSED or command in REFUSALS:
            self._was_refused(message, told)
        elif command == "JOIN":
            if message.source is not None and self._roster.is_me(message.source.nick):
                for channel in message.param(0).split(","):
                    self._joined(channel)
        elif self._refused and message.source is not None:
            # Whoever speaks is there, and a mode may be why a channel refused us.
            self._refused.pop(self._roster.fold(message.param(0) if command == "MODE" else message.source.nick), None)

    # -- channels that are joined again

    def _joined(self, channel: str) -> None:
        self._refused.pop(self._roster.fold(channel), None)
        flow = self.flow(channel)
        if self._awaited.pop(flow, None) is not None:
            self._send(Frame("free", (self._name, flow)))
            self._look_settled()

    def _look_settled(self) -> None:
        if all(map(self._is_refused, self._awaited.values())):
            self._settled()

    def _settled(self) -> None:
        """Nobody has to wait any longer."""
        self._alarms.cancel("settle")
        for flow, channel in self._awaited.items():
            self._cut(flow, channel, "it could not be joined again")
        self._awaited.clear()
        self._send(Frame("go", (self._name,)))

    # -- targets that refuse us

    def _was_refused(self, message: Message, told: bool) -> None:
        command, target = message.command, message.param(1) if len(message.params) > 2 else ""  # 447 may name none
        folded, outside = self._roster.fold(target), self._roster.channel(target) is None
        if outside and command in REFUSALS and self.flow(target) in self._awaited:
            self._mark(folded, REFUSALS_IN_A_ROW)
            self._look_settled()
            return
        # Of a JOIN, WHO or MODE: the business of `presence`, and about nothing that was said.
        if ((outside and command in REFUSALS) or command in UNREACHED) and folded not in self._spoken:
            return
        if command in REFUSED and not told and (command, folded) not in self._told:
            if len(self._told) >= MAX_TOLD:
                del self._told[next(iter(self._told))]
            self._told[command, folded] = None
            level = logging.WARNING if self._is_channel(target) else logging.INFO
            what = f"{target}: {message.param(-1)}" if target else message.param(-1)
            log.log(level, "%s: refused (%s): %s", self._name, command, what)
        if command in UNREACHED and target:  # of a line without one all questions to the server would wait
            self._mark(folded)
            if self._is_refused(target) and folded == self.flow(target):
                self._cut(folded)

    def _mark(self, folded: str, times: int = 1) -> None:
        now = self._clock()
        if folded not in self._refused and len(self._refused) >= MAX_TOLD:
            del self._refused[next(iter(self._refused))]
        recent = [at for at in self._refused.get(folded, ()) if now < at + REFUSED_SECONDS]
        self._refused[folded] = [*recent, *[now] * times][-REFUSALS_IN_A_ROW:]

    def _cut(self, flow: str, channel: str = "", why: str = "") -> None:
        """Forget what waits for a target."""
        lines = self._outbox.drop(lambda frame, _: frame.fields[4] == flow)
        if lines and why:
            log.warning("%s: %d lines for %s were not sent: %s", self._name, lines, channel, why)
        self._send(Frame("cut", (self._name, flow)))
