"""bot/announce.py: reports to the configured place, once to each reader, kept while it can't be reached."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from bot.announce import HELD, Announcer, Place
from bot.errors import UserError
from bot.live.report import Entry, Report


class Bench:
    def __init__(self) -> None:
        self.place: Place | None = ("libera", "#ops")
        self.reachable = True
        self.said: list[tuple[Place, str]] = []
        self.announcer = Announcer(
            self._place,
            lambda network: self.reachable,
            lambda network, one, other: one.lower() == other.lower(),
            lambda place, text: self.said.append((place, text)),
        )

    def _place(self) -> Place | None:
        if self.place == ("", ""):
            raise UserError("no such network")
        return self.place

    @property
    def texts(self) -> list[str]:
        return [text for _, text in self.said]


GOOD, BAD = Entry("a loaded g1", ("a",), True), Entry("b not loaded: x", ("b",), False)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_report_is_said_at_the_place(bench: Bench) -> None:
    bench.announcer.report(Report((GOOD,)))
    assert bench.said == [(("libera", "#ops"), "a loaded g1")]


def test_an_empty_report_is_not_said(bench: Bench) -> None:
    bench.announcer.report(Report())
    assert bench.said == []


@pytest.mark.parametrize(("entries", "level"), [((GOOD,), logging.INFO), ((GOOD, BAD), logging.WARNING)])
def test_every_report_is_logged(bench: Bench, caplog: Any, entries: tuple[Entry, ...], level: int) -> None:
    caplog.set_level(logging.INFO)
    bench.announcer.report(Report(entries))
    assert [record.levelno for record in caplog.records] == [level]


def test_of_a_start_only_what_went_wrong_is_said(bench: Bench) -> None:
    bench.announcer.report(Report((GOOD,)), starting=True)
    bench.announcer.report(Report((GOOD, BAD)), starting=True)
    assert bench.texts == ["b not loaded: x"]


def test_who_asked_there_is_not_told_twice(bench: Bench) -> None:
    bench.announcer.report(Report((GOOD,)), asked_at=("libera", "#OPS"))
    assert bench.said == []


@pytest.mark.parametrize("asked_at", [("libera", "#other"), ("oftc", "#ops"), ("libera", "nick")])
def test_who_asked_elsewhere_does_not_keep_it_from_the_place(bench: Bench, asked_at: Place) -> None:
    bench.announcer.report(Report((GOOD,)), asked_at=asked_at)
    assert bench.texts == ["a loaded g1"]


def test_without_a_place_the_log_is_enough(bench: Bench) -> None:
    bench.place = None
    bench.announcer.tell("hello")
    assert bench.said == []


def test_a_place_that_cannot_be_is_logged(bench: Bench, caplog: Any) -> None:
    bench.place = ("", "")
    bench.announcer.tell("hello")
    assert "reload.report_to: no such network" in caplog.text


def test_what_cannot_be_said_yet_is_kept_in_order(bench: Bench) -> None:
    bench.reachable = False
    for text in ("one", "two"):
        bench.announcer.tell(text)
    assert bench.said == []
    bench.reachable = True
    bench.announcer.release()
    bench.announcer.release()
    assert bench.texts == ["one", "two"]


def test_of_many_the_newest_are_kept(bench: Bench) -> None:
    bench.reachable = False
    for number in range(HELD + 5):
        bench.announcer.tell(str(number))
    bench.reachable = True
    bench.announcer.release()
    assert bench.texts == [str(number) for number in range(5, HELD + 5)]


def test_what_still_cannot_be_said_is_kept_on(bench: Bench) -> None:
    bench.reachable = False
    bench.announcer.tell("one")
    bench.announcer.release()
    bench.reachable = True
    bench.announcer.release()
    assert bench.texts == ["one"]
