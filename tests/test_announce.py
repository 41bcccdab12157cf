"""Reports: in the order in which things happened, and none of a failure that was mended in the meantime."""

from __future__ import annotations

import asyncio
import io
import logging

from bot import logs
from bot.announce import Announcer
from bot.live.report import Entry, Report


class Channel:
    """What an announcer says, and a way to wait for it."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.more = asyncio.Event()
        self.mended, self.turns_busy = False, 0
        self.announcer = Announcer(
            lambda: ("net", "#ops"),
            lambda network: True,
            lambda *names: False,
            self.say,
            lambda entry: not self.mended,
            self.busy,
        )

    def busy(self) -> bool:
        self.turns_busy -= 1
        return self.turns_busy >= 0

    def say(self, place: tuple[str, str], text: str) -> None:
        self.said.append(text)
        self.more.set()


def report(text: str, ok: bool) -> Report:
    return Report((Entry(text, (text,), ok),))


async def test_a_success_is_told_at_once() -> None:
    channel = Channel()
    channel.announcer.settled(report("live", True))
    assert channel.said == ["live"]


async def test_a_failure_waits_for_a_moment() -> None:
    channel = Channel()
    channel.announcer.settled(report("broken", False))
    assert channel.said == []
    await channel.more.wait()
    assert channel.said == ["broken"]


async def test_a_failure_that_is_mended_while_it_waits_is_not_told() -> None:
    channel = Channel()
    channel.announcer.settled(report("broken", False))
    channel.mended = True
    channel.announcer.settled(report("live", True))
    assert channel.said == ["live"]


async def test_a_failure_waits_for_the_end_of_the_reload_that_may_mend_it() -> None:
    channel = Channel()
    channel.turns_busy = 3
    channel.announcer.settled(report("broken", False))
    await channel.more.wait()
    assert channel.said == ["broken"] and channel.turns_busy < 0


async def test_a_newer_report_does_not_overtake_one_that_waits() -> None:
    channel = Channel()
    channel.announcer.settled(report("broken", False))
    channel.announcer.settled(report("live", True))
    assert channel.said == ["broken", "live"]


async def test_an_empty_report_hurries_nothing() -> None:
    channel = Channel()
    channel.announcer.settled(report("broken", False))
    channel.announcer.settled(Report())
    assert channel.said == []


async def test_many_different_reports_are_all_in_the_log() -> None:
    """The log folds what is the same; a developer's tenth broken save in a minute is not."""
    logs.setup(stream=(stream := io.StringIO()))
    try:
        for number in range(3 * logs.SAME_PER_MINUTE):
            Channel().announcer.report(report(f"broken {number}", False))
    finally:
        logging.getLogger().removeHandler(logs._handler)  # type: ignore[arg-type]  # set up above
    assert stream.getvalue().count("bot.announce: broken ") == 3 * logs.SAME_PER_MINUTE


async def test_what_was_told_already_is_not_told_again() -> None:
    channel = Channel()
    channel.announcer.report(Report((Entry("live", ("live",), True, again=True),)))
    channel.announcer.report(report("other", True))
    assert channel.said == ["other"]
