"""BATCH from a client: `draft/multiline`, one message of several lines.

Who knows multiline hears it as one batch; to others each line is a message of its own, blank ones left out. Limits are
in the value of the capability. Follows https://ircv3.net/specs/extensions/multiline.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from bot.protocol.message import Message
from bot.server.peer import Peer, Said
from bot.server.talking import audience, client_tags
from bot.server.verbs import Refused, verb

CAP, CONCAT = "draft/multiline", "draft/multiline-concat"


@dataclass(slots=True)
class Batch:
    """One that a client has opened and not closed yet."""

    name: str
    target: str
    label: str  # of the line that opened it; the answer comes with its end
    tags: dict[str, str]
    command: str = ""
    lines: list[tuple[bool, str]] = field(default_factory=list)  # whether it goes on with the line before, and its text
    wrong: tuple[str, ...] = ()  # the standard reply that its end will get: code, context, text

    def take(self, me: Peer, heard: Message) -> None:
        """Take in a line that carries the tag of this batch."""
        me.label, me.answer = "", None
        limits = dict(pair.partition("=")[::2] for pair in me.server.caps.get(CAP, "").split(","))
        concat, text = CONCAT in heard.tags, heard.param(1)
        self.lines.append((concat, text))
        self.command = self.command or heard.command
        size = sum(len(text.encode("utf-8", "replace")) + (not concat) for concat, text in self.lines) - 1
        if heard.tags["batch"] != self.name or heard.command not in ("PRIVMSG", "NOTICE") or not heard.params:
            self.wrong = self.wrong or ("MULTILINE_INVALID", "Only the lines of one message belong into its batch")
        elif heard.command != self.command or (concat and not text):
            self.wrong = self.wrong or ("MULTILINE_INVALID", "The lines of a batch don't fit together")
        elif heard.param(0) != self.target:
            self.wrong = self.wrong or (
                "MULTILINE_INVALID_TARGET",
                self.target,
                heard.param(0),
                "One target for a batch",
            )
        elif size > int(limits.get("max-bytes") or 4096):
            self.wrong = self.wrong or ("MULTILINE_MAX_BYTES", limits.get("max-bytes", ""), "Too many bytes in a batch")
        elif limits.get("max-lines") and len(self.lines) > int(limits["max-lines"]):
            self.wrong = self.wrong or ("MULTILINE_MAX_LINES", limits["max-lines"], "Too many lines in a batch")
        if self.wrong:
            self.lines = self.lines[:1]  # bounded, whatever else comes


@verb("BATCH")
def batch(me: Peer, name: str, kind: str = "", target: str = "") -> None:
    if CAP not in me.caps:
        raise Refused("421", "BATCH")
    if name.startswith("+") and me.batch is None and kind == CAP and target:
        tags = client_tags(me, me.heard.tags)
        me.batch, me.label, me.answer = Batch(name[1:], target, me.label, tags), "", None
    elif name.startswith("-") and me.batch and me.batch.name == name[1:]:
        done, me.batch = me.batch, None
        me.label, me.answer = done.label, [] if done.label else None
        finish(me, done)
    else:
        me.batch = None
        me.fail("BATCH", "MULTILINE_INVALID", text="Not a batch that can be opened or closed here")


def finish(me: Peer, done: Batch) -> None:
    if done.wrong or not any(text for _, text in done.lines):
        code, *context, text = done.wrong or ("MULTILINE_INVALID", "A message without text")
        return me.fail("BATCH", code, *context, text=text)
    me.heard = Message(done.command, (done.target,))
    channel, to, shown = audience(me, done.target)
    tags = me.server.new_id() | done.tags
    answer, me.answer = me.answer, None  # as in `speak`
    for place, reader in enumerate([*to, me] if "echo-message" in me.caps else to):
        if place == len(to):
            me.answer = answer
        if {CAP, "batch"} <= reader.caps:
            _as_batch(me, reader, shown, done, tags)
        else:
            for number, (_, text) in enumerate(filter(lambda line: line[1], done.lines)):
                me.server.relay([reader], me, done.command, shown, text=text, tags={} if number else tags)
    me.answer = answer
    if channel:
        for _, text in done.lines:
            me.server.remember(channel, Said(me.server.now(), me.mask, done.command, text, tags))
    return None


def _as_batch(me: Peer, reader: Peer, shown: str, done: Batch, tags: dict[str, str]) -> None:
    relay, name = me.server.relay, me.server.new_batch()
    relay([reader], me, "BATCH", f"+{name}", CAP, shown, tags=tags)
    for concat, text in done.lines:
        relay([reader], me, done.command, shown, text=text, tags={"batch": name} | ({CONCAT: ""} if concat else {}))
    relay([reader], me.server.name, "BATCH", f"-{name}")
