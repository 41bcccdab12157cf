"""bot/live/probation.py: the rule, and what is counted."""

from __future__ import annotations

from typing import Any

import pytest

from bot.config import Reload
from bot.dispatch.owner import Owner
from bot.live.discover import Unit
from bot.live.loader import Image
from bot.live.outcome import START_FAILED, Commit
from bot.live.probation import Probation, Tally, Verdict, is_worse


@pytest.mark.parametrize(
    ("new", "old", "worse"),
    [
        ((5, 5), (0, 4), True),  # five of five, after four without a failure
        ((5, 5), (0, 3), False),  # after three that proves too little
        ((5, 5), (0, 0), False),  # nobody called the old one
        ((4, 4), (0, 1000), False),  # too few failures
        ((6, 8), (0, 200), True),
        ((5, 10), (0, 9), True),  # every second one
        ((5, 11), (0, 9), False),
        ((5, 5), (50, 100), False),  # it always failed often: an API that is down
        ((20, 1000), (0, 1000), True),
        ((20, 1000), (5, 1000), False),
    ],
)
def test_the_rule(new: tuple[int, int], old: tuple[int, int], worse: bool) -> None:
    assert is_worse(Tally(2, new[1], new[0]), Tally(1, old[1], old[0]), 5, 5.0) is worse


class Court:
    """A probation, a clock, and what it condemned."""

    def __init__(self, **options: Any) -> None:
        self.now, self.verdicts = 100.0, list[Verdict]()
        self.settings = Reload(**options)
        self.probation = Probation(lambda: self.settings, self.verdicts.append, lambda: self.now)
        self.live: dict[str, Image] = {}
        self.generations: dict[str, int] = {}

    def commit(self, cause: str = "saved", **contents: tuple[str, ...] | str) -> None:
        """Commit units by name: a digest, and the names of what it imports."""
        new = {}
        for name, what in contents.items():
            digest, *imports = (what,) if isinstance(what, str) else what
            owner = None
            if not name.startswith("_"):
                self.generations[name] = self.generations.get(name, 0) + 1
                owner = Owner(name, digest)
                owner.generation = self.generations[name]
            new[name] = Image(Unit(name, {}, digest), {}, frozenset(imports), name, owner)
        before = {name: self.live[name] for name in new if name in self.live}
        self.live |= new
        self.probation.committed(Commit(new, before, frozenset(), cause))

    def call(self, plugin: str, well: int = 0, badly: int = 0, owner: Owner | None = None) -> None:
        owner = owner or self.live[plugin].owner
        assert owner is not None
        for failed in [False] * well + [True] * badly:
            self.probation.ended(owner, failed)

    @property
    def backs(self) -> list[dict[str, str]]:
        return [{name: unit.digest for name, unit in verdict.back.items()} for verdict in self.verdicts]


@pytest.fixture
def court() -> Court:
    court = Court()
    court.commit(weather="a")
    court.call("weather", well=200)
    court.commit(weather="b")
    return court


def test_the_verdict_says_how_often_each_failed(court: Court) -> None:
    court.call("weather", well=2)
    court.now += 40
    court.call("weather", badly=5)
    (verdict,) = court.verdicts
    assert (verdict.plugin, verdict.why) == ("weather", "g2 failed 5 of 7 calls in 40 s (g1: 0 of 200)")
    assert court.backs == [{"weather": "a"}]


def test_it_is_told_once(court: Court) -> None:
    court.call("weather", badly=50)
    assert len(court.verdicts) == 1


def test_after_its_time_a_version_may_fail_as_it_likes(court: Court) -> None:
    court.now += 120.1
    court.call("weather", badly=50)
    assert court.verdicts == []


def test_it_can_be_off() -> None:
    court = Court(probation_seconds=0.0)
    court.commit(weather="a")
    court.call("weather", well=200)
    court.commit(weather="b")
    court.now += 0.001
    court.call("weather", badly=50)
    assert court.verdicts == []


def test_how_many_failures_it_takes_is_a_setting() -> None:
    court = Court(probation_failures=2, probation_factor=1.0)
    court.commit(weather="a")
    court.call("weather", well=9)
    court.commit(weather="b")
    court.call("weather", badly=2)
    assert len(court.verdicts) == 1


def test_a_first_version_has_nothing_to_go_back_to() -> None:
    court = Court()
    court.commit(weather="a")
    court.call("weather", badly=50)
    assert court.verdicts == []


def test_calls_of_the_old_version_that_end_late_are_its_own(court: Court) -> None:
    old = Owner("weather", "a")
    old.generation = 1
    court.call("weather", badly=50, owner=old)
    assert court.verdicts == []


def test_what_was_gone_back_to_is_not_on_probation(court: Court) -> None:
    court.call("weather", badly=5)
    court.commit("probation", weather="a")
    court.call("weather", badly=50)
    assert len(court.verdicts) == 1


@pytest.mark.parametrize("cause", ["rollback by alice", START_FAILED])
def test_what_an_admin_went_back_to_is_not_on_probation(court: Court, cause: str) -> None:
    court.commit(cause, weather="a")
    court.call("weather", badly=50)
    assert court.verdicts == []


def test_the_same_pair_is_judged_once(court: Court) -> None:
    court.call("weather", badly=5)
    court.commit("probation", weather="a")
    court.call("weather", well=200)
    court.commit("reload by alice", weather="b")
    court.call("weather", badly=50)
    assert len(court.verdicts) == 1
    court.commit(weather="c")
    court.commit(weather="a")
    court.call("weather", well=2000)
    court.commit(weather="d")
    court.call("weather", badly=50)
    assert len(court.verdicts) == 2


def test_a_rebuild_of_the_same_content_goes_on_where_it_was(court: Court) -> None:
    court.call("weather", badly=4)
    court.commit("reload by alice", weather="b")
    court.call("weather", badly=1)
    assert [verdict.why for verdict in court.verdicts] == ["g3 failed 5 of 5 calls in 0 s (g1: 0 of 200)"]


def test_a_shared_module_that_changed_goes_back_in_place_of_its_user() -> None:
    court = Court()
    court.commit(_common="a", p1=("p", "_common"), p2=("q", "_common"))
    court.call("p1", well=100)
    court.commit(_common="b", p1=("p", "_common"), p2=("q", "_common"))
    court.call("p1", badly=5)
    assert court.backs == [{"_common": "a"}]


def test_what_changed_together_goes_back_together() -> None:
    court = Court()
    court.commit(_common="a", p1=("p", "_common"))
    court.call("p1", well=100)
    court.commit(_common="b", p1=("p2", "_common"))
    court.call("p1", badly=5)
    assert court.backs == [{"_common": "a", "p1": "p"}]


def test_a_plugin_that_went_and_came_begins_anew(court: Court) -> None:
    image = court.live.pop("weather")
    court.probation.committed(Commit({}, {"weather": image}, frozenset({"weather"}), "unload"))
    court.commit(weather="c")
    court.call("weather", badly=50)
    assert court.verdicts == []


def moved(court: Court, back: dict[str, Unit]) -> Court:
    """The same bot in another worker: its plugins are live there for the first time."""
    there = Court()
    there.generations = dict(court.generations)
    there.commit(**{name: image.unit.digest for name, image in court.live.items()})
    for standing in court.probation.standing():
        there.probation.go_on(standing, back if standing["back"] else {})
    return there


def test_another_worker_judges_on_from_where_this_one_stood(court: Court) -> None:
    court.call("weather", well=2, badly=4)
    court.now += 30
    there = moved(court, {"weather": Unit("weather", {}, "a")})
    there.now += 10
    there.call("weather", badly=1)
    (verdict,) = there.verdicts
    assert verdict.why == "g3 failed 5 of 7 calls in 40 s (g1: 0 of 200)" and there.backs == [{"weather": "a"}]


def test_what_was_judged_is_not_judged_again_there(court: Court) -> None:
    court.call("weather", badly=5)
    there = moved(court, {"weather": Unit("weather", {}, "a")})
    there.call("weather", badly=50)
    assert there.verdicts == []


def test_another_content_begins_anew_there(court: Court) -> None:
    court.call("weather", badly=4)
    there = Court()
    there.commit(weather="c")
    for standing in court.probation.standing():
        there.probation.go_on(standing, {"weather": Unit("weather", {}, "a")})
    there.call("weather", badly=50)
    assert there.verdicts == []
