"""bot/dispatch/typist.py: the sign that a command is worked on."""

from __future__ import annotations

from itertools import pairwise

import pytest

from bot.dispatch.typist import Typist
from bot.testing import FakeClock

HERE = ("libera", "#a")


class Bench:
    """A typist, and the signs that left, each with the seconds since the beginning."""

    def __init__(self) -> None:
        self.clock, self.signs, self.takes = FakeClock(), list[tuple[float, str]](), True
        self.typist = Typist(self.clock, self.send)

    def send(self, network: str, target: str, state: str) -> bool:
        if self.takes:
            self.signs.append((self.clock() - 1000, state if (network, target) == HERE else f"{state} {target}"))
        return self.takes


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_a_short_call_shows_nothing(bench: Bench) -> None:
    with bench.typist.working(HERE):
        await bench.clock.advance(0.9)
    await bench.clock.advance(60)
    assert bench.signs == []
    assert not bench.typist._places


async def test_a_long_one_shows_it_again_and_again_and_ends_it_if_it_says_nothing(bench: Bench) -> None:
    with bench.typist.working(HERE):
        await bench.clock.advance(10)
    await bench.clock.advance(60)
    assert bench.signs == [(1, "active"), (5, "active"), (9, "active"), (12, "done")]
    assert not bench.typist._places


async def test_what_is_said_ends_the_sign(bench: Bench) -> None:
    with bench.typist.working(HERE):
        await bench.clock.advance(2)
    bench.typist.said(*HERE)  # the last line is said when the call has ended
    await bench.clock.advance(60)
    assert bench.signs == [(1, "active")]


async def test_a_call_that_goes_on_after_a_word_shows_it_again(bench: Bench) -> None:
    with bench.typist.working(HERE):
        await bench.clock.advance(2)
        bench.typist.said(*HERE)
        await bench.clock.advance(4)
    bench.typist.said(*HERE)
    await bench.clock.advance(60)
    assert bench.signs == [(1, "active"), (5, "active")]


async def test_no_two_signs_are_closer_than_three_seconds(bench: Bench) -> None:
    for seconds in (1.5, 1.2, 1.1, 2.5, 0.5, 1.3, 3.9, 1.0, 1.7) * 5:
        with bench.typist.working(HERE):
            await bench.clock.advance(seconds)
        await bench.clock.advance(0.2)
    await bench.clock.advance(60)
    times = [at for at, _ in bench.signs]
    assert len(times) > 10
    assert all(later - earlier >= 3 for earlier, later in pairwise(times))


async def test_calls_at_one_place_share_a_sign_and_places_don_t(bench: Bench) -> None:
    with bench.typist.working(HERE):
        await bench.clock.advance(0.5)
        with bench.typist.working(HERE), bench.typist.working(("libera", "bob")):
            await bench.clock.advance(2)
        await bench.clock.advance(1)
    await bench.clock.advance(60)
    assert bench.signs == [(1, "active"), (1.5, "active bob"), (4, "done"), (4.5, "done bob")]


async def test_a_sign_that_does_not_leave_is_not_ended_either(bench: Bench) -> None:
    bench.takes = False
    with bench.typist.working(HERE):
        await bench.clock.advance(10)
    bench.takes = True
    await bench.clock.advance(60)
    assert bench.signs == []


async def test_an_error_ends_it_like_any_end(bench: Bench) -> None:
    with pytest.raises(ValueError, match="x"), bench.typist.working(HERE):
        await bench.clock.advance(2)
        raise ValueError("x")
    await bench.clock.advance(60)
    assert bench.signs == [(1, "active"), (4, "done")]
