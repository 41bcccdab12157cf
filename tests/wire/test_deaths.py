"""bot/wire/deaths.py: whose fault the death of a worker was, how long the next one waits, and when it comes without
plugins."""

from __future__ import annotations

import signal

import pytest

from bot.wire.deaths import (
    ASKED_TO_END,
    BACKOFF_SECONDS,
    FAULT_WINDOW_SECONDS,
    FAULTS_AT_ONCE,
    FAULTS_TO_SAFETY,
    KILLS_AS_FAULT,
    Deaths,
    asked_to_end,
)

KILLED = -signal.SIGKILL


def fault(
    deaths: Deaths, code: int, *, silent: bool = False, stopped: bool = False, done: int = 0, oldest: str | None = None
) -> bool:
    return deaths.own_fault(code, silent=silent, stopped=stopped, finished=done, oldest=oldest)


@pytest.mark.parametrize("code", [0, 1, 3, -signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS])
def test_an_exit_and_a_signal_of_its_own_are_its_fault(code: int) -> None:
    assert fault(Deaths(), code)


@pytest.mark.parametrize("code", [KILLED, -signal.SIGHUP, -signal.SIGUSR1])
def test_a_kill_from_outside_is_not(code: int) -> None:
    assert not fault(Deaths(), code)


def test_silence_is_its_fault_unless_somebody_has_stopped_it() -> None:
    assert fault(Deaths(), KILLED, silent=True)
    assert not fault(Deaths(), KILLED, silent=True, stopped=True)


@pytest.mark.parametrize("code", [-signal.SIGTERM, -signal.SIGINT, ASKED_TO_END])
def test_some_ends_end_the_bot(code: int) -> None:
    assert asked_to_end(code)


def test_kills_never_count_while_lines_are_finished() -> None:
    deaths = Deaths()
    assert not any(fault(deaths, KILLED, done=number, oldest=str(number)) for number in range(1, 201))


def test_five_kills_in_a_row_with_nothing_finished_count() -> None:
    deaths = Deaths()
    assert [fault(deaths, KILLED, done=7) for _ in range(KILLS_AS_FAULT)] == [False] * (KILLS_AS_FAULT - 1) + [True]


def test_five_kills_in_a_row_with_one_line_in_hand_count_though_others_are_finished() -> None:
    deaths = Deaths()
    kills = [fault(deaths, KILLED, done=number, oldest="9") for number in range(1, KILLS_AS_FAULT + 1)]
    assert kills == [False] * (KILLS_AS_FAULT - 1) + [True]


def test_a_finished_line_begins_the_row_anew() -> None:
    deaths = Deaths()
    assert not any(fault(deaths, KILLED, done=1) for _ in range(KILLS_AS_FAULT - 1))
    assert not any(fault(deaths, KILLED, done=2) for _ in range(KILLS_AS_FAULT - 1))


def test_the_first_faults_are_answered_at_once_and_further_ones_later_and_later() -> None:
    deaths, pauses = Deaths(), []
    for now in range(FAULTS_AT_ONCE + len(BACKOFF_SECONDS) + 2):
        deaths.died(now, own_fault=True)
        pauses.append(deaths.pause())
    assert pauses == [0.0] * FAULTS_AT_ONCE + [*BACKOFF_SECONDS, BACKOFF_SECONDS[-1], BACKOFF_SECONDS[-1]]


def test_kills_from_outside_are_counted_but_never_waited_for() -> None:
    deaths = Deaths()
    for now in range(100):
        deaths.died(now, own_fault=False)
    assert (deaths.count, deaths.pause(), deaths.safe) == (100, 0.0, False)


def test_a_kill_from_outside_is_answered_at_once_whatever_was_before() -> None:
    deaths = Deaths()
    for now in range(FAULTS_AT_ONCE + 1):
        deaths.died(now, own_fault=True)
    deaths.died(10.0, own_fault=False)
    assert deaths.pause() == 0.0


def test_many_faults_end_in_safe_mode_and_few_in_a_long_time_do_not() -> None:
    often, seldom = Deaths(), Deaths()
    for number in range(FAULTS_TO_SAFETY):
        assert not often.safe
        often.died(number, own_fault=True)
        seldom.died(number * FAULT_WINDOW_SECONDS, own_fault=True)
    assert often.safe and not seldom.safe and seldom.pause() == 0.0


def test_deaths_that_a_line_has_caused_and_those_before_a_word_do_not_end_in_safe_mode() -> None:
    deaths = Deaths()
    for number in range(FAULTS_TO_SAFETY - 1):
        deaths.died(number, own_fault=True)
    deaths.died(10, own_fault=True, by_line=2)
    assert (deaths.recent, deaths.safe, deaths.pause()) == (FAULTS_TO_SAFETY - 2, False, 0.0)
    for number in range(FAULTS_TO_SAFETY):  # an update that is half done
        deaths.died(20 + number, own_fault=True, spoken=False)
    assert (deaths.safe, deaths.pause()) == (False, BACKOFF_SECONDS[-1])
    deaths.died(30, own_fault=True)
    assert not deaths.safe
    deaths.died(31, own_fault=True)
    assert deaths.safe


@pytest.mark.parametrize("needed", [2, KILLS_AS_FAULT])
def test_deaths_that_a_line_explains_do_not_count(needed: int) -> None:
    deaths = Deaths()
    for poison in range(3):
        for number in range(needed):
            deaths.died(10 * poison + number, own_fault=True, by_line=needed * (number == needed - 1))
    assert (deaths.recent, deaths.pause(), deaths.safe) == (0, 0.0, False)


def test_safe_mode_lasts_until_it_is_forgiven() -> None:
    deaths = Deaths()
    for number in range(FAULTS_TO_SAFETY):
        deaths.died(number, own_fault=True)
    deaths.died(10 * FAULT_WINDOW_SECONDS, own_fault=False)
    assert deaths.safe
    deaths.forgive()
    assert not deaths.safe and deaths.pause() == 0.0
