"""`Faults`: what the server does wrong on purpose, as one value that a test sets; all of it is off at first.

    server.faults = Faults(silent="registered")             # for connections and lines from now on
    server.faults.turn_away(20, "ERROR :Trying to reconnect too fast.")

Each field names what real servers and networks have been seen to do to a client. The files that would do it right ask
here first: `link` about sockets and bytes, `registering` about the time before 001, `sasl` about its exchange. What is
done once, to one client, is a method of `Server`: `send_raw`, `cut_off`, `mute`, `deafen`, `kill`, `split`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Literal

# Lines that say nothing, or less than they should.
GARBAGE = (
    *(b" ", b"  :", b":", b"@", b"@tag", b"@;;= ", b":only.prefix", b":a!b!c@d@e", b"::", b"\t\t", b"\xff\xfe\xfd"),
    *(b"PRIVMSG", b":x!y@z PRIVMSG #demo", b"QUIT", b"PING", b"001", b"KICK #demo", b"MODE", b"NICK", b":s 353 a ="),
    *(b"000", b"999 a :b", b"1234", b"FROBNICATE now", b":nobody PART", b":x!y@z JOIN", b"CAP", b"AUTHENTICATE"),
    *(
        b":x!y@z PRIVMSG #demo :\x01",
        b":x!y@z NOTICE * :\x01\x01",
        b"BATCH",
        b"BATCH +",
        b"BATCH -none",
        b"730",
        b"FAIL",
    ),
)

Moment = Literal["", "accepted", "registered"]


@dataclass(eq=False)
class Faults:
    """See each field; the value given here is the one that does nothing."""

    silent: Moment = ""  # from when on a client hears nothing: from its connection, or from its 001 (which it hears)
    deaf: Moment = ""  # from when on nothing is read from it
    refusals: deque[tuple[str, ...]] = field(default_factory=deque)  # for one connection each: lines, then the end
    cookie: bool = False  # 001 only after the answer to a PING
    hold_welcome: bool = False  # no 001 before `Server.let_in`
    welcome_nick: str = ""  # the nick that 001 gives the next who registers
    reverse_welcome: bool = False  # the lines from 001 to 376 backwards
    unsaid: frozenset[str] = frozenset()  # numerics that are left out
    cap: Literal["", "unknown", "ignored", "refused"] = ""  # CAP: 421, no answer, every REQ a NAK
    # What is said to this verb and first parameter gets that numeric and nothing else: `{"JOIN #full": "471"}`; the
    # left side is a mask, `NICK *`, without regard to case.
    answers: dict[str, str] = field(default_factory=dict)
    refused_caps: frozenset[str] = frozenset()  # offered, yet a REQ with one of them is a NAK
    # An exchange by AUTHENTICATE: a numeric (902, 904-908) to end it with at its first line; silence; or, with SCRAM, a
    # wrong signature, a nonce that does not continue the client's, a number of iterations nobody should accept.
    sasl: Literal["", "902", "904", "905", "906", "907", "908", "silent", "signature", "nonce", "iterations"] = ""
    segment: int = 0  # bytes written at a time, in one turn of the loop; 0: whole lines
    garbage: tuple[bytes, ...] = ()  # after each line to a registered client one of these, as `GARBAGE`
    flood: tuple[int, float] | None = None  # more lines than this in so many seconds (`Server.now`) end a connection
    cloak: str = ""  # the host that everybody gets, told by 396

    def turn_away(self, times: int, *lines: str) -> None:
        """Greet so many connections with these lines and close them."""
        self.refusals.extend([lines] * times)
