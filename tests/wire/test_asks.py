from __future__ import annotations

from collections.abc import Callable

import pytest
from scripted import FakeClock

from bot.protocol.message import Message
from bot.wire.alarms import Alarms
from bot.wire.asks import ANSWERS, Asks


class Bench:
    def __init__(self) -> None:
        self.clock, self.said = FakeClock(), list[str]()
        self.alarms = Alarms(self.clock)
        self.labelled, self.ends = False, dict[str, Callable[[], None]]()
        self.asks = Asks(self.say, self.alarms, 15)

    def say(self, question: Message, end: Callable[[], None]) -> bool:
        self.said.append(question.encode())
        self.ends[self.said[-1]] = end
        return self.labelled

    def ask(self, *lines: str) -> None:
        self.asks.add([Message.parse(line) for line in lines])


@pytest.fixture
async def bench() -> Bench:
    return Bench()


async def test_questions_are_put_one_at_a_time_in_order(bench: Bench) -> None:
    bench.ask("MODE #a", "WHO #a", "MODE #b")
    assert bench.said == ["MODE #a"]
    bench.asks.answered("324")
    bench.asks.answered("315")
    assert bench.said == ["MODE #a", "WHO #a", "MODE #b"]


async def test_an_unanswered_question_does_not_hold_up_the_next_for_ever(bench: Bench) -> None:
    bench.ask("WHO #a", "WHO #b")
    bench.clock.advance(14)
    bench.alarms.tick()
    assert bench.said == ["WHO #a"]
    bench.clock.advance(1)
    bench.alarms.tick()
    assert bench.said == ["WHO #a", "WHO #b"]


@pytest.mark.parametrize("command", sorted(ANSWERS))
async def test_each_end_or_refusal_counts_as_the_answer(command: str, bench: Bench) -> None:
    bench.ask("WHO #a", "WHO #b")
    bench.asks.answered(command)
    assert bench.said == ["WHO #a", "WHO #b"]


async def test_other_lines_are_no_answer(bench: Bench) -> None:
    bench.ask("WHO #a", "WHO #b")
    bench.asks.answered("352")
    bench.asks.answered("PRIVMSG")
    assert bench.said == ["WHO #a"]


async def test_a_question_that_waits_is_not_asked_twice(bench: Bench) -> None:
    bench.ask("WHO #a", "WHO #b", "WHO #b")
    bench.asks.answered("315")
    bench.asks.answered("315")
    assert bench.said == ["WHO #a", "WHO #b"]


async def test_after_all_answers_the_next_question_is_put_at_once(bench: Bench) -> None:
    bench.ask("WHO #a")
    bench.asks.answered("315")
    bench.ask("WHO #b")
    assert bench.said == ["WHO #a", "WHO #b"]


async def test_when_the_connection_is_gone_nothing_is_asked(bench: Bench) -> None:
    bench.ask("WHO #a", "WHO #b")
    bench.asks.clear()
    bench.clock.advance(60)
    bench.alarms.tick()
    bench.asks.answered("315")
    assert bench.said == ["WHO #a"]


async def test_where_answers_are_labelled_only_the_end_of_its_own_one_counts(bench: Bench) -> None:
    bench.labelled = True
    bench.ask("MODE #a", "WHO #a", "MODE #b")
    bench.asks.answered("324")
    assert bench.said == ["MODE #a"]
    bench.ends["MODE #a"]()
    assert bench.said == ["MODE #a", "WHO #a"]


async def test_a_labelled_answer_that_never_ends_does_not_hold_up_the_next_and_counts_no_more(bench: Bench) -> None:
    bench.labelled = True
    bench.ask("WHO #a", "WHO #b", "WHO #c")
    bench.clock.advance(15)
    bench.alarms.tick()
    bench.ends["WHO #a"]()
    assert bench.said == ["WHO #a", "WHO #b"]


async def test_questions_that_can_not_be_said_are_given_up_however_many(bench: Bench) -> None:
    def drop(question: Message, end: Callable[[], None]) -> bool:
        end()
        return True

    asks = Asks(drop, bench.alarms, 15)
    asks.add([Message("WHO", (f"#{number}",)) for number in range(5000)])
    assert asks.open == [] and bench.alarms.next_at("ask") is None


async def test_a_question_that_no_line_can_hold_is_left_out(bench: Bench) -> None:
    bench.asks.add([Message("WHO", ("#a\rQUIT",)), Message("WHO", ("#b",))])
    assert bench.said == ["WHO #b"]
