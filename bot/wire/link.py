"""What keeper and worker say to each other: frames, how they are written, and the link inside one process.

One frame is one line of text: a verb, fields parted by single spaces, and for some verbs a payload of raw bytes after
` :`. A payload may hold anything but LF, so no text from IRC or from a plugin can forge a frame. The link opens with
`LINK_VERSION`; a verb or a field added later needs a new version, because a keeper may be years older than its worker.

This file only writes and reads. What a frame means for the socket is `keeper`'s, for the bot `connection`'s.
It imports the standard library only, as the keeper does.
"""

from __future__ import annotations

import asyncio
import contextvars
import re
from collections import deque
from collections.abc import Callable
from typing import NamedTuple, Protocol

LINK_VERSION = 1

#: In place of a network's name, where work is of none.
NOWHERE = "-"

#: Paced lines that a worker may have on their way per network: in the keeper's queue or as credit in its hand. One flow
#: takes no more of them than it leaves (`outbox`).
WINDOW = 64

#: verb -> (its fields by name, whether a payload follows)
PLACE = ("host", "port", "tls", "bind")  # of what `open` says
SHAPES: dict[str, tuple[tuple[str, ...], bool]] = {
    # keeper -> worker
    "hello": (("version", "boot", "window"), False),  # the first frame; boot names this run of the keeper
    "saved": (("number",), True),  # the last checkpoint
    # connected, TLS and its checks included; on attach, on change, and on `open`. since: the last line before this
    # connection came up, by which a checkpoint knows it; fresh: 1 no worker has said anything on it yet, 0 one has;
    # as JSON: the PLACE that it leads to, which the worker before may have chosen
    "up": (("net", "since", "fresh"), True),
    "down": (("net",), True),  # not connected, and why, in words
    "room": (("net", "flow", "lines"), False),  # credits: +n lines of this flow have left, -n are in the queue already
    "line": (("net", "number", "flag"), True),  # flag 0 new, 1 delivered before and unfinished, 2 for state only
    "live": ((), False),  # the backlog ends here
    "marked": (("number",), False),  # everything that was sent before this `mark` has been read
    "stop": ((), True),  # say QUIT everywhere with these words, end the plugins, and go
    "hangup": ((), False),  # read the configuration and all plugins again
    "reserve": ((), True),  # the first frame of a worker that is to wait for another's end: be ready for these settings
    "standby": ((), True),  # the first frame of a successor: be ready to take over; as JSON, what runs now
    "retire": ((), False),  # a successor is ready: ask to be held when that suits, hand over, and go
    "stays": ((), True),  # there will be no successor, and why: go on as if nothing had been asked
    # this line, or work begun under this name (net is then `-`), ended workers and is not delivered any more
    "skipped": (("net", "number"), True),
    "stacks": ((), True),  # as JSON text: where the threads of the worker before were when it ended; before `skipped`
    "news": ((), True),  # a line for the admins about workers
    # both ways
    "config": ((), True),  # the settings in force, opaque to the keeper: base64
    "hand": ((), True),  # what a worker leaves to the next one, opaque to the keeper: base64; for a successor: begin
    "hold": ((), False),  # hand me no more lines; answered by the same: no more will come
    "vitals": ((), True),  # the worker asks how the keeper is, with nothing; the keeper tells, as JSON
    # worker -> keeper
    "ready": ((), False),  # plugins are loaded, or a reload of all is over; from a successor: I could take over now
    "unfit": ((), True),  # from a successor: I can't take over, and why
    "reloading": ((), False),  # a reload of everything begins
    "sound": ((), False),  # an admin has taken all plugins back: no safe mode for the next worker
    # as JSON: how long the keeper has patience (silence_seconds, hold_seconds), and how it logs (level, format)
    "limits": ((), True),
    "status": ((), True),  # how things are, in words, for whoever supervises us both
    "restart": ((), True),  # start a successor from the code on disk; as JSON, what runs now
    "end": (("code",), False),  # everything is closed; start no other, and exit with this code
    "open": (("net",), True),  # dial as this JSON says; nothing happens when up or dialling
    "free": (("net", "flow"), False),  # registered: lines of this flow may leave
    "go": (("net",), False),  # and now those of all flows
    # lane 0 leaves now, 1 in its turn, 2 in its turn and on this connection only, 3 now if nothing waits, else never;
    # flow: to whom, in our words, or `-`
    "say": (("net", "cause/handler", "k", "lane", "flow"), True),
    # the same with several lines, parted by CR, that leave with no other between them: one effect, all or none
    "batch": (("net", "cause/handler", "k", "lane", "flow"), True),
    "cut": (("net", "flow"), False),  # nobody there will have it: forget what waits in this flow
    "begin": (("net", "name"), True),  # an entry for work that no line caused; net is `-` for work of no network
    "done": (("number",), False),  # finished, forget
    "seen": (("number",), False),  # finished, keep for the state of the next worker
    "save": (("number",), True),  # a checkpoint: forget what was `seen` up to this number
    "close": (("net",), True),  # QUIT with these words, and close
    "drop": (("net",), False),  # the network is given up: forget what waits for it, all credits are void
    "mark": (("number",), False),  # say so when this has been read
    "beat": ((), False),  # the worker's loop is turning
}

#: No field is empty, holds a space or begins with a colon, so the first ` :` always starts the payload.
_HEAD = re.compile(r"[a-z]+(?: [^ :\x00-\x1f\x7f][^ \x00-\x1f\x7f]*)*")


class LinkError(ValueError):
    """A frame that can't be written, or bytes that are none: a fault of ours, never of the IRC server."""


class Frame(NamedTuple):
    """One frame: `fields` as `SHAPES` names them, all text; `payload` is empty for verbs without one."""

    verb: str
    fields: tuple[str, ...] = ()
    payload: bytes = b""


def encode(frame: Frame) -> bytes:
    """Write a frame as one line, LF included.

    Raises:
        LinkError: unknown verb, wrong number of fields, a field that would not survive, a payload with LF.
    """
    verb, fields, payload = frame
    names, has_payload = _shape(verb)
    head = " ".join((verb, *fields))
    # Counting spaces as well finds the field that holds one.
    if len(fields) != len(names) or head.count(" ") != len(names) or not _HEAD.fullmatch(head):
        raise LinkError(f"{verb} takes the fields {names}, each without spaces, not {fields}")
    if b"\n" in payload or (payload and not has_payload):
        raise LinkError(f"this payload can't follow {verb}")
    try:
        start = head.encode()
    except UnicodeEncodeError as error:
        raise LinkError(f"a field of {verb} is not text") from error
    return b"%b :%b\n" % (start, payload) if has_payload else start + b"\n"


def decode(raw: bytes) -> Frame:
    """Read the line that `encode` wrote; the LF at its end may be gone already.

    Raises:
        LinkError: no frame of this version.
    """
    head, colon, payload = raw.removesuffix(b"\n").partition(b" :")
    try:
        text = head.decode()
    except UnicodeDecodeError as error:
        raise LinkError("a frame's head is not UTF-8") from error
    if not _HEAD.fullmatch(text):  # what a worker may say the keeper must be able to say again
        raise LinkError("a frame's head holds what no field may hold")
    verb, *fields = text.split(" ")
    names, has_payload = _shape(verb)
    if len(fields) != len(names) or bool(colon) != has_payload or b"\n" in payload:
        raise LinkError(f"a {verb} frame has the fields {names}{' and a payload' if has_payload else ''}")
    return Frame(verb, tuple(fields), payload)


def one_line(text: str) -> bytes:
    """Text as the payload of a frame, or as a QUIT's last words: white space of all kinds becomes single spaces."""
    return " ".join(text.replace("\0", " ").split()).encode(errors="replace")


def _shape(verb: str) -> tuple[tuple[str, ...], bool]:
    try:
        return SHAPES[verb]
    except KeyError:
        raise LinkError(f"no frame is called {verb!r} in version {LINK_VERSION} of the link") from None


class LinkEnd(Protocol):
    """One end of a link, however the bytes travel."""

    on_frame: Callable[[Frame], None] | None
    on_close: Callable[[], None] | None
    on_room: Callable[[], None] | None

    @property
    def full(self) -> bool:
        """Whether the other side is behind in reading; `on_room` is called when it has caught up."""

    def send(self, frame: Frame) -> None:
        """Hand a frame over. Raises LinkError if it can't be written; after `close` it goes nowhere."""

    def close(self) -> None:
        """End the link from this side; frames that were not delivered yet never will be, in either direction."""


class MemoryLink:
    """A link inside one process: `keeper` and `worker` are its two ends.

    Each frame is encoded, decoded and delivered by the loop in a call of its own, in the order sent. So `send` never
    runs the other side's code before it returns, just as with a socket.
    """

    def __init__(self) -> None:
        self.keeper = _MemoryEnd()
        self.worker = _MemoryEnd()
        self.keeper.peer, self.worker.peer = self.worker, self.keeper


class _MemoryEnd:
    """One end; made, used and closed on one loop's thread."""

    def __init__(self) -> None:
        self.peer: _MemoryEnd = self
        self.on_close: Callable[[], None] | None = None
        self.on_room: Callable[[], None] | None = None
        self.full = False
        self.closed = False
        self._on_frame: Callable[[Frame], None] | None = None
        self._early: deque[bytes] = deque()
        # Not the sender's context: what the other side starts must not inherit, or keep alive, a plugin's variables.
        self._context = contextvars.copy_context()

    @property
    def on_frame(self) -> Callable[[Frame], None] | None:
        """Who takes the frames; those that come before there is anyone are kept."""
        return self._on_frame

    @on_frame.setter
    def on_frame(self, callback: Callable[[Frame], None] | None) -> None:
        self._on_frame = callback
        if callback is not None and self._early:
            asyncio.get_running_loop().call_soon(self._take_early, context=self._context)

    def send(self, frame: Frame) -> None:
        raw = encode(frame)
        if not self.closed:
            peer = self.peer
            asyncio.get_running_loop().call_soon(peer._take, raw, context=peer._context)

    def close(self) -> None:
        if not self.closed:
            self.closed = self.peer.closed = True
            if self.peer.on_close is not None:
                asyncio.get_running_loop().call_soon(self.peer.on_close, context=self.peer._context)

    def _take(self, raw: bytes) -> None:
        if self.closed:
            return
        if self._on_frame is None or self._early:
            self._early.append(raw)
        else:
            self._on_frame(decode(raw))

    def _take_early(self) -> None:
        while self._early and self._on_frame is not None and not self.closed:
            self._on_frame(decode(self._early.popleft()))
