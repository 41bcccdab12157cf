"""How long to wait before the next try: exponential back-off with real jitter. Pure: it waits for nobody.

The wait is drawn evenly from the upper half of each step, so that a thousand bots that lost the same server in the
same second do not come back in the same second, and no bot comes back at once.
"""

from __future__ import annotations

import re
from random import Random

THROTTLED_SECONDS = 60.0  # servers count attempts over one to several minutes, and each new one may begin that anew

#: How servers say that we come too often, or from too many connections of which some may soon be gone: ircu, hybrid and
#: its kin (`Trying to reconnect too fast.`), InspIRCd (`too many times in too short a duration`), UnrealIRCd, Ergo.
_THROTTLED = re.compile(r"throttl|too fast|too quickly|too many|wait a while|try again later", re.IGNORECASE)


def patience(reason: str) -> float:
    """Return the least wait, in seconds, that a server asks for by the words it ended a connection with."""
    return THROTTLED_SECONDS if _THROTTLED.search(reason) else 0.0


class Backoff:
    """Waits that double from `minimum` to `maximum` seconds until things were `stable` again.

    Args:
        minimum: no wait is shorter, in seconds; the first is at most twice as long.
        maximum: no wait is longer, in seconds.
        random: where the jitter comes from; a test passes a seeded one.
    """

    def __init__(self, minimum: float, maximum: float, random: Random | None = None) -> None:
        self.between(minimum, maximum)
        self.tries = 0
        self._random = random if random is not None else Random()

    def between(self, minimum: float, maximum: float) -> None:
        """Keep to other limits from the next wait on."""
        self.minimum = max(0.0, minimum)
        self.maximum = max(self.minimum, maximum)

    def next(self, least: float = 0.0) -> float:
        """The seconds to wait now; each call makes the next wait longer.

        Args:
            least: wait so long, in seconds, and some more; never beyond the maximum.
        """
        # 64 doublings are beyond any cap, and a bot that fails for years must not overflow; a minimum of 0 still grows.
        self.tries = min(self.tries + 1, 64)
        step = min(self.maximum, max(self.minimum, 0.1) * 2**self.tries)
        step = min(self.maximum, max(step, 2 * least))
        return self._random.uniform(max(self.minimum, step / 2), step)

    def stable(self) -> None:
        """Begin again at the minimum. A connection that came up and fell at once is not stable."""
        self.tries = 0
