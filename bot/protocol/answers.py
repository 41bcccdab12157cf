"""What the server answers about channels and the people in them: NAMES, WHO, WHOX, topic and modes.

`roster` asks (`ask_who`) and passes the answers on to here. An answer may come late, so a WHOX answer tells an account
only of a nick that has had one owner and account since we asked (the token says when that was), and nothing at all of
one whose host we don't know and who may have another owner now.

Follows https://modern.ircdocs.horse, https://ircv3.net/irc (multi-prefix, userhost-in-names, bot-mode) and
https://ircv3.net/specs/extensions/whox.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bot.protocol import numerics as n
from bot.protocol.message import Message, Source
from bot.protocol.modes import parse_modes
from bot.protocol.people import Applied, Channel, Member, People

_WHOX_FIELDS = "%tcuhnfar"
_WHOX_PARAMS = 9  # our nick, and one for each of the fields
_MAX_TOKEN = 999  # three digits by the specification

NOTHING = Applied()


class Answers(People):
    """People who are asked about."""

    def clear(self) -> None:
        super().clear()
        self._token = 0
        self._asked: dict[str, tuple[int, str]] = {}  # WHOX token -> count when asked, the channel's name

    def questions(self) -> list[Any]:
        """Return what is asked about users and not answered, as JSON values, for `resume`."""
        return [self._token, {token: list(asked) for token, asked in self._asked.items()}, self.count]

    def resume(self, questions: Iterable[Any]) -> None:
        """Take answers to what was asked before us.

        Raises:
            ValueError, TypeError: this is not what `questions` gave.
        """
        token, asked, count = questions
        self._token, self.count = int(token), int(count)
        self._asked = {str(token): (int(at), str(channel)) for token, (at, channel) in asked.items()}

    def ask_who(self, channel: Channel) -> Message:
        """Return the question who is in a channel."""
        channel.asked = True
        if not self.isupport.whox:
            return Message("WHO", (channel.name,))
        self._token = self._token % _MAX_TOKEN + 1
        self._asked[str(self._token)] = (self.count, channel.name)
        return Message("WHO", (channel.name, f"{_WHOX_FIELDS},{self._token}"))

    def ask_no_more(self) -> None:
        """Believe no answer to what was asked up to now."""
        self._asked.clear()

    # People

    def on_names(self, message: Message) -> Applied:
        channel = self.channel(message.param(2))
        if channel is None:
            return NOTHING
        prefixes, folded = self.isupport.prefixes, self.fold(channel.name)
        signs = "".join(prefixes)
        for entry in message.param(3).split(" "):
            source = Source.parse(entry.lstrip(signs) if signs else entry)
            if source.nick:
                user = self.meet(source)
                user.channels.add(folded)
                ranks = {prefixes[sign] for sign in entry[: len(entry) - len(entry.lstrip(signs))]} if signs else ()
                channel.members.setdefault(self.fold(user.nick), set()).update(ranks)
        return NOTHING

    def on_end_of_names(self, message: Message) -> Applied:
        """Ask who they are only now: an answer then is about people whom we have met before we asked."""
        channel = self.channel(message.param(1))
        return Applied(asks=(self.ask_who(channel),)) if channel is not None and not channel.asked else NOTHING

    def on_who(self, message: Message) -> Applied:
        if len(message.params) >= 8:
            _, _, ident, host, _, nick, flags, rest = message.params[:8]
            user = self.user(nick)
            if user is not None and (not user.host or (user.ident, user.host) == (ident, host)):
                self._describe(user, ident, host, flags, rest.partition(" ")[2])
        return NOTHING

    def on_whox(self, message: Message) -> Applied:
        """Take an answer to our own question."""
        asked = self._asked.get(message.param(1))
        if asked is None or len(message.params) != _WHOX_PARAMS:
            return NOTHING
        _, _, _, ident, host, nick, flags, account, realname = message.params
        user = self.user(nick)
        if user is None or (user.host and (user.ident, user.host) != (ident, host)):
            return NOTHING
        same = user.changed <= asked[0]
        if same or user.host:
            self._describe(user, ident, host, flags, realname)
        if same:
            user.account = self.believed(account)
        return NOTHING

    def _describe(self, user: Member, ident: str, host: str, flags: str, realname: str) -> None:
        user.ident, user.host, user.realname, user.away = ident, host, realname, flags.startswith("G")
        if self.isupport.bot:
            user.bot = self.isupport.bot in flags[1:]

    def on_end_of_who(self, message: Message) -> Applied:
        name = message.param(1)
        token = next((token for token, (_, channel) in self._asked.items() if self.same(channel, name)), None)
        if token is not None:
            del self._asked[token]
        return NOTHING

    # Channels

    def on_topic_reply(self, message: Message) -> Applied:
        channel = self.channel(message.param(1))
        if channel is not None:
            if message.command == n.RPL_TOPICWHOTIME:
                channel.topic_by = Source.parse(message.param(2)).nick
            else:
                channel.topic = message.param(2) if message.command == n.RPL_TOPIC else ""
        return NOTHING

    def on_mode_reply(self, message: Message) -> Applied:
        channel = self.channel(message.param(1))
        if channel is not None:
            channel.modes.clear()
            self.change_modes(channel, message.params[2:])
        return NOTHING

    def change_modes(self, channel: Channel, params: tuple[str, ...]) -> None:
        """Take in the parameters of a MODE line or of 324 that follow the channel."""
        ranks = set(self.isupport.prefixes.values())
        for change in parse_modes(params, self.isupport):
            on, mode, argument = change.sign == "+", change.mode, change.argument
            if mode in ranks:
                held = channel.members.get(self.fold(argument or ""))
                if held is not None:
                    (held.add if on else held.discard)(mode)
                continue
            if mode in self.isupport.chanmodes.lists or not (mode.isascii() and mode.isalnum()):
                continue
            if mode == "k" and (not on or argument not in (None, "", "*")):  # servers hide it from those outside
                channel.key = argument if on else None
            if on:
                channel.modes[mode] = argument
            else:
                channel.modes.pop(mode, None)
