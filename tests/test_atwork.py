"""bot/atwork.py: what the worker writes of whose code it runs, and what the keeper makes of it. Real hangs in real
processes: test_hangs.py."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import threading
import weakref
from collections.abc import Iterator
from time import monotonic_ns
from typing import IO

import pytest

from bot import atwork
from bot.atwork import Register, Witness, name, paper
from bot.dispatch.guard import task_factory
from bot.dispatch.owner import Owner
from bot.dispatch.relay import Relay

HOUR = 3_600_000_000_000
SILENT_SECONDS = 5.0
LOOP, STAMP, SEAT, OTHER_SEAT = 0, 3, 6, 9  # places in the page


@pytest.fixture
def file() -> Iterator[IO[bytes]]:
    with paper() as file:
        yield file


@pytest.fixture
def register(file: IO[bytes], monkeypatch: pytest.MonkeyPatch) -> Register:
    """One that is read; its thread stamps as seldom as can be."""
    made = Register()
    made.stamp_seconds = 3600.0
    made.begin(file.fileno())
    monkeypatch.setattr(atwork, "here", made)
    return made


def at_work(file: IO[bytes], place: int = LOOP) -> int:
    """Who is, as the keeper reads it."""
    return int.from_bytes(os.pread(file.fileno(), 8, place * 8), "little")


def test_a_number_stands_for_itself_and_nothing_else_for_a_number() -> None:
    runs = [name(f"t:weather.poll/170000000{number}.000") for number in range(100)]
    assert name("17") == 17 and len(set(runs)) == 100 and min(runs) >= 1 << 63


# -- the worker


async def test_a_line_is_at_work_in_the_steps_of_its_coroutine_and_not_between_them(
    register: Register, file: IO[bytes]
) -> None:
    inside: list[int] = []

    async def call() -> str:
        inside.append(at_work(file))
        await asyncio.sleep(0)
        inside.append(at_work(file))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await asyncio.sleep(3600)
        inside.append(at_work(file))
        return "answer"

    between: list[int] = []
    task = asyncio.get_running_loop().create_task(register.run(call(), 7))
    while not task.done():
        await asyncio.sleep(0)
        between.append(at_work(file))
    assert await task == "answer" and inside == [7, 7, 7] and set(between) == {0}


async def test_what_a_coroutine_raises_or_is_told_to_raise_goes_through(register: Register, file: IO[bytes]) -> None:
    async def fails() -> None:
        raise ValueError("no")

    async def waits() -> None:
        await asyncio.sleep(3600)

    with pytest.raises(ValueError, match="no"):
        await asyncio.create_task(register.run(fails(), 7))
    task = asyncio.get_running_loop().create_task(register.run(waits(), 7))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert at_work(file) == 0


def test_a_coroutine_that_is_given_up_is_closed(register: Register) -> None:
    closed: list[bool] = []

    class Step:
        def __await__(self) -> Iterator[None]:
            yield

    async def call() -> None:
        try:
            await Step()
        finally:
            closed.append(True)

    watched = register.watch(call(), 7)
    watched.send(None)
    watched.close()
    assert closed == [True]


def test_an_exception_that_was_thrown_in_is_not_held(register: Register) -> None:
    """A circle of it, its trace and a frame would keep an old version of a plugin."""

    class Thrown(Exception):
        pass

    class Step:
        def __await__(self) -> Iterator[None]:
            yield

    caught: list[weakref.ref[Thrown]] = []

    async def call() -> None:
        try:
            await Step()
        except Thrown as error:
            caught.append(weakref.ref(error))
            raise

    gc.disable()
    try:
        watched = register.watch(call(), 7)
        watched.send(None)
        with contextlib.suppress(Thrown):
            watched.throw(Thrown())
        assert caught[0]() is None
    finally:
        gc.enable()


async def test_tasks_that_plugin_code_starts_for_a_line_are_its_work_too(register: Register, file: IO[bytes]) -> None:
    inside: list[int] = []

    async def part() -> None:
        inside.append(at_work(file))

    async def call() -> None:
        with Owner("plugin").entered():
            await asyncio.gather(part(), part())

    loop = asyncio.get_running_loop()
    before = loop.get_task_factory()
    loop.set_task_factory(task_factory)
    try:
        await loop.create_task(register.run(call(), 7))
        with Owner("plugin").entered():
            await loop.create_task(part())
    finally:
        loop.set_task_factory(before)
    assert inside == [7, 7, 0]


async def test_a_plain_function_works_in_a_seat_of_its_thread(register: Register, file: IO[bytes]) -> None:
    relay = Relay()

    def plain() -> tuple[int, int, bool]:
        return at_work(file), at_work(file, seat), at_work(file, seat + 2) == threading.get_native_id()

    async def call() -> tuple[int, int, bool]:
        return await relay.submit(plain)

    seat = register._free[-1]
    assert await asyncio.create_task(register.run(call(), 7)) == (0, 7, True)
    assert await call() == (0, 0, True), "no line has called it"
    assert at_work(file, seat) == 0
    relay.stop()
    assert relay._lane is not None
    relay._lane.join(10)
    assert register._free[-1] == seat


def test_a_thread_gets_a_seat_as_long_as_there_is_one_and_leaves_it_at_its_end(register: Register) -> None:
    seats = [register.sit_down() for _ in range(200)]
    assert 0 in seats and len({*seats} - {0}) == len([seat for seat in seats if seat]) > 100
    register.work(0, 7)
    register.rest(0)
    register.stand_up(0)
    register.stand_up(seats[0])
    assert register.sit_down() == seats[0] and register.sit_down() == 0


# -- the keeper


class Seen:
    """A page as a silent worker may leave it, and how much processor its threads use meanwhile."""

    def __init__(self, file: IO[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
        self.file, self.now = file, monotonic_ns()
        self.used: dict[int, float] = {100: 0.0, 101: 0.0, 102: 0.0}  # share of the look
        self._looks = 0
        monkeypatch.setattr(atwork, "_processor_ns", self._processor)
        self.stamped(late_since=HOUR, ago=0)

    def _processor(self, pid: int) -> dict[int, int]:
        self._looks += 1
        return {thread: int(self._looks * share * atwork.LOOK_SECONDS * 1e9) for thread, share in self.used.items()}

    def put(self, place: int, *words: int) -> None:
        os.pwrite(self.file.fileno(), b"".join(word.to_bytes(8, "little") for word in words), place * 8)

    def stamped(self, *, late_since: int = HOUR, ago: int) -> None:
        """The last one was made so long ago, in ns; none was late for so long."""
        self.put(STAMP, self.now - ago, max(1, self.now - late_since))

    def works(self, place: int, who: int, ago: int = HOUR) -> None:
        self.put(place, who, max(1, self.now - ago), {LOOP: 100, SEAT: 101, OTHER_SEAT: 102}[place])

    def witness(self) -> Witness:
        witness = Witness(self.file, 1, SILENT_SECONDS)
        witness.look()
        witness.look()
        return witness

    def guilty(self) -> str | None:
        return self.witness().guilty(["5", "6", "7", "t:a.b/1.000"])


@pytest.fixture
def seen(file: IO[bytes], monkeypatch: pytest.MonkeyPatch) -> Seen:
    return Seen(file, monkeypatch)


def test_who_held_the_loop_while_the_interpreter_was_free_is_guilty(seen: Seen) -> None:
    seen.works(SEAT, 5)
    seen.works(LOOP, 7)
    seen.used[101] = 1.0  # a plain function that computes keeps nobody from anything
    assert seen.guilty() == "7"


def test_a_run_of_a_job_is_found_by_its_name(seen: Seen) -> None:
    seen.works(LOOP, name("t:a.b/1.000"))
    assert seen.guilty() == "t:a.b/1.000"


def test_a_step_that_has_just_begun_is_not(seen: Seen) -> None:
    """Many slow ones are silence too, and none of them is more to blame than the others."""
    seen.works(LOOP, 7, ago=int(SILENT_SECONDS / 4 * 1e9))
    assert seen.guilty() is None


def test_what_is_not_in_hand_any_more_is_not(seen: Seen) -> None:
    seen.works(LOOP, 99)
    assert seen.guilty() is None


def test_nobody_is_when_nothing_that_a_line_called_was_at_work(seen: Seen) -> None:
    seen.works(SEAT, 7)
    assert seen.guilty() is None


@pytest.mark.parametrize(("thread", "who"), [(100, "7"), (101, "5"), (102, None)])
def test_who_held_the_interpreter_is_known_by_the_processor_that_its_thread_used(
    seen: Seen, thread: int, who: str | None
) -> None:
    """A step on the loop may wait for the interpreter that a thread holds, and the other way round."""
    seen.stamped(ago=HOUR)
    seen.works(LOOP, 7)
    seen.works(SEAT, 5)
    seen.used[thread] = 0.9
    assert seen.guilty() == who


@pytest.mark.parametrize("others", [{101: 0.3}, {101: 0.3, 100: 0.3}, {}])
def test_with_the_interpreter_held_nobody_is_unless_one_thread_alone_was_busy(
    seen: Seen, others: dict[int, float]
) -> None:
    seen.stamped(ago=HOUR)
    seen.works(LOOP, 7)
    seen.used |= {102: 0.5 if others else 0.0} | others
    assert seen.guilty() is None


def test_a_thread_that_waits_for_the_interpreter_is_not_busy(seen: Seen) -> None:
    seen.stamped(ago=HOUR)
    seen.works(LOOP, 7)
    seen.works(SEAT, 5)
    seen.used |= {101: 0.5, 100: 0.01}
    assert seen.guilty() == "5"


def test_nobody_is_when_the_interpreter_was_held_for_a_part_of_the_time(seen: Seen) -> None:
    """The step on the loop may have waited for it for that long."""
    seen.works(LOOP, 7)
    seen.used[100] = 1.0
    for late_since, ago in ((int(1e9), 0), (HOUR, int(1.5e9))):
        seen.stamped(late_since=late_since, ago=ago)
        assert seen.guilty() is None


def test_nobody_is_when_the_interpreter_came_free_at_the_last_moment(seen: Seen) -> None:
    seen.stamped(ago=HOUR)
    seen.works(LOOP, 7)
    seen.used[100] = 1.0
    witness = seen.witness()
    seen.stamped(ago=0)
    assert witness.held and witness.guilty(["7"]) is None


def test_a_step_that_ended_in_the_last_moment_is_not(seen: Seen) -> None:
    seen.works(LOOP, 7)
    witness = seen.witness()
    seen.put(LOOP, 0)
    assert witness.guilty(["7"]) is None


def test_of_a_worker_that_never_wrote_nothing_is_known(file: IO[bytes]) -> None:
    witness = Witness(file, 1, SILENT_SECONDS)
    assert not witness.held and witness.guilty(["7"]) is None


def test_a_page_that_somebody_has_cut_off_says_nothing(seen: Seen) -> None:
    seen.works(LOOP, 7)
    witness = seen.witness()
    seen.file.truncate(0)
    assert witness.guilty(["7"]) is None and not seen.witness().held


def test_a_system_that_tells_nothing_of_threads_accuses_nobody(file: IO[bytes]) -> None:
    assert atwork._processor_ns(2**31 - 1) == {}


def test_what_the_worker_writes_lies_behind_the_page(file: IO[bytes]) -> None:
    os.write(file.fileno(), b" stack\n")
    assert not any(os.pread(file.fileno(), atwork.PAGE_BYTES, 0)) and atwork.written(file) == "stack"
