"""bot/live/reload.py: the transaction, with real files, real builds and a small host. The catalogue of edits is
test_cases*.py."""

from __future__ import annotations

import asyncio
import gc
import io
import logging
import re
import sys
import weakref
from collections.abc import AsyncIterator, Collection, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sources import write

from bot.api.context import Context
from bot.api.declare import Command
from bot.dispatch.guard import task_factory
from bot.dispatch.owner import Owner
from bot.dispatch.relay import Relay
from bot.dispatch.table import Handler, Table
from bot.live.discover import Discovery
from bot.live.handoff import Shelf
from bot.live.loader import Image
from bot.live.names import install
from bot.live.plan import Patience, Pin
from bot.live.reload import Reloader
from bot.storage import Backend


class Gate(asyncio.Event):
    """An event that tells whether anyone has waited for it."""

    asked = False

    async def wait(self) -> Any:
        self.asked = True
        return await super().wait()


class Bench:
    """A reloader over one folder, and what it told its host."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.backend = Backend.memory()
        self.relay = Relay()
        self.told: list[str] = []
        self.off: set[str] = set()
        self.now = 100.0
        self.gate = Gate()
        self.claims: dict[str, Any] = options.pop("claims", {})
        self.reloader = Reloader(
            Discovery([folder]),
            self,
            self.relay,
            Shelf(self.backend),
            self.claims,
            **{
                "patience": Patience(grace=5.0, import_=5.0, setup=5.0),
                "disabled": lambda: self.off,
                "clock": lambda: self.now,
                **options,
            },
        )

    # the host

    def context(self, owner: Owner, key: str) -> Context:
        made: Any = SimpleNamespace(
            owner=owner,
            spawn=owner.spawn,
            enter=owner.enter,
            told=self.told.append,
            opened=io.StringIO,
            forever=asyncio.Event().wait,
            gate=self.gate,
        )
        found: Context = made
        return found

    def settings(self, plugin: str) -> Mapping[str, Any]:
        return {}

    def committed(self, table: Table, plugins: Mapping[str, Image]) -> None:
        self.told += [f"committed {name}" for name in plugins]

    def unloaded(self, plugins: Collection[str]) -> None:
        self.told += [f"unloaded {name}" for name in sorted(plugins)]

    def notice(self, text: str) -> None:
        self.told.append(text)

    # what a test does

    async def save(self, *force: str, **files: str) -> str:
        """Write files and settle; give the report, without digests and times."""
        write(self.folder, **files)
        return await self.settle(*force)

    async def settle(self, *force: str, everything: bool = False) -> str:
        return plain(str(await self.reloader.settle(force, everything=everything)))

    async def remove(self, *names: str) -> str:
        for name in names:
            (self.folder / f"{name}.py").unlink()
        await self.reloader.settle()
        self.now += 10
        return await self.settle()

    def answer(self, command: str) -> Any:
        """Call a command of the live table, if there is one."""
        handler = self.reloader.table.find(command)
        return handler.function(None) if handler else None

    async def close(self) -> None:
        await self.reloader.close()
        self.relay.stop()
        self.backend.close()


def plain(report: str) -> str:
    """`weather g1 -> g2 (1a2b3c4 -> 5d6e7f8): ~a, 9 ms` without what differs from run to run."""
    return re.sub(r"(, | )\d+ ms", "", re.sub(r" \([0-9a-f]{7}( -> [0-9a-f]{7})?\)", "", report))


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    asyncio.get_running_loop().set_task_factory(task_factory)
    install([])
    made = Bench(tmp_path / "plugins")
    yield made
    await made.close()


def says(text: str, command: str = "say", more: str = "") -> str:
    """A plugin whose command answers a text."""
    head = f"from bot import command, setup, start, teardown, keep\n{more}\n"
    return f"{head}@command('{command}')\ndef {command}(ctx): return {text!r}\n"


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def until(done: Any) -> None:
    """Let the loop turn until something is so."""
    async with asyncio.timeout(10):
        while not done():  # noqa: ASYNC110  # there is no event for it, and a turn of the loop is no sleep
            await asyncio.sleep(0)


# --- what goes live


async def test_a_new_file_is_loaded(bench: Bench) -> None:
    assert await bench.save(a=says("1")) == "a loaded g1"
    assert bench.answer("say") == "1"


async def test_a_changed_file_is_a_new_generation(bench: Bench) -> None:
    await bench.save(a=says("1"))
    assert await bench.save(a=says("2")) == "a g1 -> g2: ~say"
    assert bench.answer("say") == "2"


async def test_without_a_change_there_is_no_report_and_no_commit(bench: Bench) -> None:
    await bench.save(a=says("1"))
    commits = bench.reloader.commits
    assert await bench.settle() == "" and bench.reloader.commits == commits


async def test_a_plugin_that_is_asked_for_is_made_anew(bench: Bench) -> None:
    await bench.save(a=says("1"))
    assert await bench.settle("a") == "a g1 -> g2:"


async def test_a_removed_file_is_unloaded(bench: Bench) -> None:
    await bench.save(a=says("1"))
    assert await bench.remove("a") == "a unloaded"
    assert bench.answer("say") is None and "plugins.a" not in sys.modules


async def test_generations_go_on_over_a_gap(bench: Bench) -> None:
    await bench.save(a=says("1"))
    await bench.remove("a")
    assert await bench.save(a=says("2")) == "a loaded g2"


async def test_several_files_are_one_report(bench: Bench) -> None:
    report = await bench.save(a=says("1", "a"), b=says("1", "b"), c=says("1", "c"), d=says("1", "d"))
    assert report == "a loaded g1; b loaded g1; c loaded g1; +1 more"


async def test_the_host_is_told_within_the_commit(bench: Bench) -> None:
    await bench.save(a=says("1"))
    await bench.remove("a")
    assert bench.told == ["committed a", "unloaded a"]


# --- what fails


FAULTS = {
    "syntax": ("def f(:", "a.py:1: SyntaxError: invalid syntax"),
    "import": ("\n1/0", "a.py:2: ZeroDivisionError: division by zero"),
    "declaration": ("from bot import command\n@command('x')\ndef f(): ...", "a.py:2: TypeError: f() must take ctx"),
    "setup": (says("2", more="@setup\ndef s(ctx): 1/0"), "a.py:3: setup: ZeroDivisionError: division by zero"),
    "exit": ("raise SystemExit", "a.py:1: SystemExit"),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_version_that_fails_leaves_the_old_one_answering(bench: Bench, fault: str) -> None:
    text, words = FAULTS[fault]
    await bench.save(a=says("1"))
    before, commits = bench.reloader.live, bench.reloader.commits
    report = await bench.save(a=text)
    assert report.startswith(f"a stays g1: {words}") and report.endswith("; the old version goes on answering")
    assert bench.answer("say") == "1"
    assert (bench.reloader.live, bench.reloader.commits) == (before, commits)
    assert sys.modules["plugins.a"] is before["a"].modules["plugins.a"]


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_first_version_that_fails_is_not_loaded(bench: Bench, fault: str) -> None:
    text, words = FAULTS[fault]
    assert (await bench.save(a=text)).startswith(f"a not loaded: {words}")
    assert bench.reloader.live == {} and "plugins.a" not in sys.modules


async def test_the_same_failure_is_told_once(bench: Bench) -> None:
    await bench.save(a="x =")
    assert await bench.settle() == ""


async def test_a_failure_that_is_asked_for_is_told_again(bench: Bench) -> None:
    first = await bench.save(a="x =")
    assert await bench.settle("a") == first


async def test_mending_the_file_takes_it_live(bench: Bench) -> None:
    await bench.save(a=says("1"))
    await bench.save(a="x =")
    assert await bench.save(a=says("2")) == "a g1 -> g2: ~say"


async def test_going_back_to_what_is_live_says_nothing(bench: Bench) -> None:
    await bench.save(a=says("1"))
    await bench.save(a="x =")
    assert await bench.save(a=says("1")) == ""


async def test_a_failure_is_news_until_the_files_change(bench: Bench) -> None:
    write(bench.folder, a="x =")
    (entry,) = (await bench.reloader.settle()).entries
    assert bench.reloader.still_failed(entry)
    await bench.save(a=says("1"))
    assert not bench.reloader.still_failed(entry)


async def test_what_a_failed_version_kept_is_forgotten(bench: Bench) -> None:
    kept = "box = keep('box', list)\nbox.append(1)\n"
    await bench.save(a=says("1", more=kept + "1/0"))
    await bench.save(a=says("1", more=kept))
    assert bench.reloader.live["a"].modules["plugins.a"].box == [1]


async def test_what_a_failed_setup_has_entered_is_left(bench: Bench) -> None:
    more = (
        "import contextlib\n@contextlib.contextmanager\ndef thing(ctx):\n    yield\n    ctx.told('left')\n"
        "@setup\ndef s(ctx):\n    ctx.enter(thing(ctx))\n@setup\ndef t(ctx): 1/0"
    )
    await bench.save(a=says("1", more=more))
    assert "left" in bench.told


async def test_an_endless_import_is_ended(tmp_path: Path, bench: Bench) -> None:
    bench.reloader.patience = Patience(import_=0.05)
    report = await bench.save(a="\nwhile True: pass")
    assert report == "a not loaded: a.py:2: the import took longer than 0.05 s"
    assert await bench.save(b=says("1")) == "b loaded g1"


async def test_a_fault_of_our_own_is_told_and_costs_nothing(bench: Bench, monkeypatch: Any, caplog: Any) -> None:
    await bench.save(a=says("1"))

    async def fail(*arguments: Any, **options: Any) -> Any:
        raise KeyError("ours")

    monkeypatch.setattr(bench.reloader._planner, "plan", fail)
    assert await bench.save(a=says("2")) == (
        "the reload failed inside the bot; everything stays as it was, see the log"
    )
    assert bench.answer("say") == "1"
    monkeypatch.undo()
    assert await bench.settle() == "a g1 -> g2: ~say"
    assert [record.levelno for record in caplog.records if record.exc_info] == [logging.ERROR]


async def test_what_fails_in_the_middle_of_the_commit_is_logged_and_the_commit_is_whole(
    bench: Bench, monkeypatch: Any, caplog: Any
) -> None:
    await bench.save(a=says("1"), b=says("1", "b"), c=says("1", "c"))
    was = [bench.reloader.live[name].owner for name in "ab"]

    def committed(table: Table, plugins: Mapping[str, Image]) -> None:
        Bench.committed(bench, table, plugins)
        if "a" in plugins:
            raise KeyError("jobs")

    def unloaded(plugins: Collection[str]) -> None:
        raise KeyError("jobs")

    monkeypatch.setattr(bench, "committed", committed)
    monkeypatch.setattr(bench, "unloaded", unloaded)
    bench.told.clear()
    assert await bench.save(a=says("2"), b=says("2", "b")) == "a g1 -> g2: ~say; b g1 -> g2: ~b"
    assert bench.told == ["committed a", "committed b"] and bench.reloader.commits == 2
    assert await bench.settle() == ""
    await until(lambda: all(owner and owner.retired for owner in was))
    assert "a step of the commit failed" in caplog.text


async def test_a_disk_that_takes_no_claims_costs_no_reload(tmp_path: Path, bench: Bench, caplog: Any) -> None:
    class Disk(dict[str, Any]):
        def __setitem__(self, key: str, value: Any) -> None:
            raise OSError("full")

    second = Bench(bench.folder, claims=Disk())
    assert await second.save(a=says("1")) == "a loaded g1"
    assert await second.save(a=says("2", "tell")) == "a g1 -> g2: +tell -say"
    assert second.answer("tell") == "2" and "could not be written down" in caplog.text
    await second.close()


async def test_what_setup_opened_is_closed_if_the_commit_is_never_reached(bench: Bench, monkeypatch: Any) -> None:
    more = (
        "from contextlib import contextmanager\n@contextmanager\ndef port(ctx):\n    ctx.told('open')\n    yield\n"
        "    ctx.told('close')\n@setup\ndef u(ctx): ctx.enter(port(ctx))"
    )

    def fail(*arguments: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(bench.reloader._live, "table_of", fail)
    assert "everything stays as it was" in await bench.save(a=says("1", more=more))
    assert bench.told == ["open", "close"]


# --- groups


async def test_a_shared_module_takes_its_importers_along_in_one_commit(bench: Bench) -> None:
    importer = "from plugins._common import x\nfrom bot import command\n@command('{0}')\ndef {0}(ctx): return x"
    await bench.save(_common="x = 1", a=importer.format("a"), b=importer.format("b"))
    commits = bench.reloader.commits
    assert await bench.save(_common="x = 2") == "a g1 -> g2:; b g1 -> g2:"
    assert (bench.answer("a"), bench.answer("b"), bench.reloader.commits) == (2, 2, commits + 1)


async def test_a_group_goes_live_as_a_whole_or_not_at_all(bench: Bench) -> None:
    await bench.save(_common="x = 1", a="from plugins._common import x", b="from plugins import _common\n_common.x")
    report = await bench.save(_common="y = 1")
    assert report.startswith("a stays g1 (also b): a.py:1: ImportError: cannot import name 'x'")
    assert bench.reloader.live["b"].owner.generation == 1  # type: ignore[union-attr]


async def test_a_group_that_fails_does_not_hold_up_another(bench: Bench) -> None:
    report = await bench.save(a="x =", b=says("1"))
    assert report == "a not loaded: a.py:1: SyntaxError: invalid syntax; b loaded g1"


async def test_mending_one_member_retries_its_group(bench: Bench) -> None:
    await bench.save(_common="x =", a="from plugins._common import x", b="from plugins._common import x")
    assert await bench.save(_common="x = 1") == "a loaded g1; b loaded g1"


async def test_a_shared_module_that_is_removed_under_its_importers_stays(bench: Bench) -> None:
    await bench.save(_common="x = 1", a="from plugins._common import x")
    report = await bench.remove("_common")
    assert "_common.py: the file is gone, but a still imports it" in report and report.startswith("a stays g1")


async def test_a_shared_module_that_nobody_imports_any_more_goes(bench: Bench) -> None:
    await bench.save(_common="x = 1", a="from plugins._common import x")
    await bench.save(a="x = 1")
    assert set(bench.reloader.live) == {"a"}


# --- commands belong to somebody


async def test_a_newcomer_that_claims_a_taken_command_is_refused_and_told_once(bench: Bench) -> None:
    await bench.save(a=says("1"))
    assert await bench.save(b=says("2")) == (
        "b not loaded: b.py:3: !say belongs to a; b loads by itself when a lets go of it"
    )
    assert await bench.settle() == "" and bench.answer("say") == "1"


async def test_a_newcomer_loads_by_itself_when_the_owner_goes(bench: Bench) -> None:
    await bench.save(a=says("1"))
    await bench.save(b=says("2"))
    assert await bench.remove("a") in ("b loaded g1; a unloaded", "a unloaded; b loaded g1")
    assert bench.answer("say") == "2"


async def test_a_newcomer_whose_file_is_gone_waits_no_longer(bench: Bench) -> None:
    await bench.save(a=says("1"))
    await bench.save(b=says("2"))
    assert bench.reloader.failed == {"b"}
    await bench.remove("b")
    assert bench.reloader.failed == set()


async def test_an_owner_that_comes_back_takes_its_command_back(bench: Bench) -> None:
    await bench.save(a=says("1"))
    await bench.save(b=says("2"))
    await bench.remove("a")
    await bench.save(a=says("1"))
    assert bench.answer("say") == "1" and set(bench.reloader.plugins()) == {"a"}


@pytest.mark.parametrize("fault", FAULTS)
async def test_an_owner_that_comes_back_broken_takes_nothing(bench: Bench, fault: str) -> None:
    await bench.save(a=says("1"))
    await bench.save(b=says("2"))
    await bench.remove("a")
    await bench.save(a=FAULTS[fault][0])
    assert bench.answer("say") == "2"


async def test_two_that_swap_their_commands_go_live_together(bench: Bench) -> None:
    await bench.save(a=says("1", "one"), b=says("2", "two"))
    await bench.save(a=says("1", "two"), b=says("2", "one"))
    assert (bench.answer("one"), bench.answer("two")) == ("2", "1")


async def test_a_built_in_command_cannot_be_claimed(tmp_path: Path, bench: Bench) -> None:
    built_in = Handler("bot", "bot.help", lambda ctx: "help", Command("help", (), (), True, None), Owner("bot"), False)
    other = Bench(tmp_path / "other", built_in={"help": built_in})
    report = await other.save(a=says("1", "help"))
    assert report == "a not loaded: a.py:3: !help is built in and can't be claimed; rename the command"
    assert other.reloader.table.find("help") is built_in
    await other.close()


async def test_an_alias_that_clashes_drops_only_itself(bench: Bench) -> None:
    await bench.save(a=says("1"))
    report = await bench.save(b="from bot import command\n@command('b', 'say')\ndef b(ctx): return 2")
    assert report == "b loaded g1; b: the alias !say belongs to a; !b.say works"
    assert (bench.answer("say"), bench.answer("b.say")) == ("1", 2)


async def test_the_ledger_outlives_the_bot(tmp_path: Path, bench: Bench) -> None:
    await bench.save(b=says("2"))
    await bench.reloader.close()
    install([])
    second = Bench(bench.folder, claims=bench.claims)
    write(second.folder, a=says("1"))
    await second.reloader.settle()
    assert second.answer("say") == "2"
    await second.close()


# --- off and on


async def test_unload_takes_a_plugin_out_until_it_is_loaded(bench: Bench) -> None:
    await bench.save(a=says("1"))
    assert str(await bench.reloader.unload("a")) == "a unloaded"
    assert await bench.settle() == "" and list(bench.reloader.stopped) == ["a"]
    assert plain(str(await bench.reloader.load("a"))) == "a loaded g2"


async def test_a_load_right_after_an_unload_loads(bench: Bench) -> None:
    await bench.save(a=says("1"))
    told = await asyncio.gather(bench.reloader.unload("a"), bench.reloader.load("a"))
    assert [plain(str(report)) for report in told] == ["a unloaded", "a loaded g2"]


async def test_unload_ends_with_a_change_of_content(bench: Bench) -> None:
    await bench.save(a=says("1"))
    await bench.reloader.unload("a")
    assert await bench.save(a=says("2")) == "a loaded g2"


async def test_unload_takes_a_plugin_out_whose_file_is_broken(bench: Bench) -> None:
    await bench.save(a=says("1"))
    await bench.save(a="x =")
    assert str(await bench.reloader.unload("a")) == "a unloaded"
    assert await bench.settle() == "" and list(bench.reloader.stopped) == ["a"]
    assert await bench.save(a=says("2")) == "a loaded g2"


async def test_what_is_not_live_cannot_be_unloaded(bench: Bench) -> None:
    assert not await bench.reloader.unload("nothing")


async def test_reloading_everything_leaves_out_what_was_unloaded(bench: Bench) -> None:
    await bench.save(a=says("1"), b=says("2", "tell"))
    await bench.reloader.unload("a")
    assert await bench.settle(everything=True) == "b g1 -> g2:"
    assert set(bench.reloader.stopped) == {"a"}


async def test_what_others_import_cannot_be_unloaded_and_the_refusal_says_why(bench: Bench) -> None:
    await bench.save(q=says("1", "q"), p=says("2", "p", "from plugins import q"))
    why = "q stays g1 (also p): q.py: p imports it; unload p first; the old version goes on answering"
    for _ in "again":
        assert plain(str(await bench.reloader.unload("q"))) == why
    assert not bench.reloader.stopped and bench.answer("q") == "1"
    assert await bench.settle() == ""
    await bench.reloader.unload("p")
    assert plain(str(await bench.reloader.unload("q"))) == "q unloaded"


async def test_an_unload_that_fails_inside_the_bot_is_told_too(bench: Bench, monkeypatch: Any) -> None:
    await bench.save(a=says("1"))
    monkeypatch.setattr(bench.reloader._live, "table_of", None)
    assert "everything stays as it was" in str(await bench.reloader.unload("a"))
    assert not bench.reloader.stopped and bench.answer("say") == "1"


async def test_a_disabled_plugin_goes_and_comes(bench: Bench) -> None:
    await bench.save(a=says("1"))
    bench.off = {"a"}
    assert await bench.settle() == "a unloaded"
    bench.off = set()
    assert await bench.settle() == "a loaded g2"


async def test_known_are_all_plugins_on_disk_or_live(bench: Bench) -> None:
    await bench.save(a=says("1"), b="x =", _common="")
    assert bench.reloader.known() == {"a", "b"}


# --- hooks and what they start


async def test_setup_runs_before_the_commit_and_what_it_spawns_after(bench: Bench) -> None:
    more = (
        "async def work(ctx): ctx.told('work')\n"
        "@setup\ndef s(ctx):\n    ctx.told('setup')\n    ctx.spawn(work(ctx), 'work')"
    )
    await bench.save(a=says("1", more=more))
    await turns()
    assert bench.told == ["setup", "committed a", "work"]


async def test_the_old_version_is_torn_down_after_the_commit(bench: Bench) -> None:
    await bench.save(a=says("1", more="@teardown\ndef t(ctx): ctx.told('teardown 1')"))
    await bench.save(a=says("2"))
    await until(lambda: "teardown 1" in bench.told)
    assert bench.told == ["committed a", "committed a", "teardown 1"]


async def test_a_teardown_that_fails_is_logged_and_no_more(bench: Bench, caplog: Any) -> None:
    await bench.save(a=says("1", more="@teardown\ndef t(ctx): raise SystemExit"))
    await bench.save(a=says("2"))
    await until(lambda: "a g1: teardown failed" in caplog.text)


async def test_start_runs_after_the_old_version_has_let_go(bench: Bench) -> None:
    more = (
        "import contextlib\n@contextlib.contextmanager\ndef port(ctx):\n    ctx.told('open {0}')\n    yield\n"
        "    ctx.told('close {0}')\n@start\ndef s(ctx): ctx.enter(port(ctx))"
    )
    await bench.save(a=says("1", more=more.format(1)))
    await bench.save(a=says("2", more=more.format(2)))
    assert [line for line in bench.told if not line.startswith("committed")] == ["open 1", "close 1", "open 2"]


async def test_where_start_fails_the_old_version_is_committed_again(bench: Bench) -> None:
    await bench.save(a=says("1", more="@start\ndef s(ctx): ctx.told('start 1')"))
    report = await bench.save(a=says("2", more="@start\ndef s(ctx): 1/0"))
    assert "a stays g1: a.py:3: start: ZeroDivisionError" in report
    assert bench.answer("say") == "1" and bench.told.count("start 1") == 2
    assert await bench.settle() == ""


START_FAILS = "@start\ndef s(ctx): 1/0"


async def test_what_start_opened_and_teardown_closes_is_closed_before_the_next_start(bench: Bench) -> None:
    more = (
        "@start\ndef s(ctx): ctx.told('open {0}')\n@teardown\ndef t(ctx): ctx.told('close {0}')\n"
        "@setup\ndef u(ctx): ctx.told('setup {0}')"
    )
    await bench.save(a=says("1", more=more.format(1)))
    bench.told.clear()
    await bench.save(a=says("2", more=more.format(2)))
    assert bench.told == ["setup 2", "committed a", "close 1", "open 2"]
    assert not bench.reloader._live._retiring  # and it is not torn down again


async def test_calls_in_flight_finish_before_a_start(bench: Bench) -> None:
    more = "import asyncio\n@start\ndef s(ctx): ctx.told('start {0}')"
    await bench.save(a=says("1", more=more.format(1)))
    owner = bench.reloader.live["a"].owner
    assert owner is not None
    released = asyncio.Event()

    async def call() -> None:
        await released.wait()
        bench.told.append("call ended")

    task = asyncio.get_running_loop().create_task(call())
    owner.calls[task] = lambda: None
    task.add_done_callback(lambda _: owner.calls.pop(task))
    saved = asyncio.create_task(bench.save(a=says("2", more=more.format(2))))
    await until(lambda: bench.answer("say") == "2")
    released.set()
    assert await saved == "a g1 -> g2: ~say"
    assert bench.told[-2:] == ["call ended", "start 2"]


async def test_the_way_back_sets_the_old_version_up_again(bench: Bench) -> None:
    more = "box = []\n@setup\ndef u(ctx): box.append(ctx.enter(ctx.opened())); ctx.spawn(ctx.forever())"
    says_box = more + "\n@command('closed')\ndef c(ctx): return box[0].closed"
    await bench.save(a=says("1", more=says_box))
    assert "stays g1" in await bench.save(a=says("2", more=f"{says_box}\n{START_FAILS}"))
    owner = bench.reloader.live["a"].owner
    assert owner is not None and owner.generation == 1 and len(owner.tasks) == 1
    assert bench.answer("say") == "1" and bench.answer("closed") is False
    assert "a g1 -> g2" in await bench.save(a=says("3"))


async def test_the_way_back_has_the_shared_modules_that_it_had(bench: Bench) -> None:
    more = "from plugins._shared import word\n@command('word')\ndef w(ctx): return word"
    await bench.save(_shared="word = 'old'", a=says("1", more=more))
    await bench.save(_shared="word = 'new'", a=says("2", more=f"{more}\n{START_FAILS}"))
    assert (bench.answer("say"), bench.answer("word")) == ("1", "old")


async def test_the_way_back_notes_the_claims_of_the_old_version(bench: Bench) -> None:
    await bench.save(a=says("1", "one"))
    await bench.save(a=says("2", "two", START_FAILS))
    assert bench.claims == {"one": ["a"]}


async def test_what_cannot_come_back_is_not_live_and_the_report_says_so(bench: Bench, tmp_path: Path) -> None:
    once = f"import pathlib\nif pathlib.Path({str(tmp_path / 'gone')!r}).exists(): raise OSError('second time')"
    await bench.save(a=says("1", more=once))
    touch = f"import pathlib\npathlib.Path({str(tmp_path / 'gone')!r}).touch()"
    report = await bench.save(a=says("2", more=f"{touch}\n{START_FAILS}"))
    assert report.startswith("a not loaded: a.py:5: start: ZeroDivisionError")
    assert "the version before can't come back: a.py:3: OSError: second time" in report
    assert bench.answer("say") is None and await bench.settle() == ""


async def test_where_the_first_start_fails_nothing_is_live(bench: Bench) -> None:
    report = await bench.save(a=says("1", more="@start\ndef s(ctx): 1/0"))
    assert "a not loaded: a.py:3: start: ZeroDivisionError" in report
    assert bench.answer("say") is None and "plugins.a" not in sys.modules


# --- the old generation


async def test_calls_in_flight_finish_on_their_version(bench: Bench) -> None:
    await bench.save(a=says("1"))
    owner = bench.reloader.live["a"].owner
    assert owner is not None
    go = asyncio.Event()
    call = asyncio.create_task(go.wait())
    owner.calls[call] = lambda: bench.told.append("cut short")
    await bench.save(a=says("2"))
    await turns()
    assert not owner.retired
    go.set()
    await call
    del owner.calls[call]
    await until(lambda: owner.retired)
    assert "cut short" not in bench.told


async def test_background_tasks_end_with_their_version(bench: Bench) -> None:
    more = (
        "import asyncio\nasync def work(ctx):\n    try:\n        await asyncio.Event().wait()\n"
        "    finally:\n        ctx.told('ended')\n@setup\ndef s(ctx): ctx.spawn(work(ctx), None)"
    )
    await bench.save(a=says("1", more=more))
    await turns()
    await bench.save(a=says("2"))
    await until(lambda: "ended" in bench.told)


async def test_an_old_version_is_forgotten(bench: Bench) -> None:
    await bench.save(a=says("1"))
    old = weakref.ref(bench.reloader.live["a"].modules["plugins.a"])
    await bench.save(a=says("2"))
    await until(lambda: not bench.reloader._live._retiring)
    gc.collect()
    assert old() is None


async def test_an_old_version_is_forgotten_though_its_shared_module_lives_on(bench: Bench) -> None:
    shared = "from plugins._shared import word"
    await bench.save(_shared="word = 1", a=says("1", more=shared))
    old = weakref.ref(bench.reloader.live["a"].handlers[0].function)
    await bench.save(a=says("2", more=shared))
    await until(lambda: not bench.reloader._live._retiring)
    gc.collect()
    assert old() is None


async def test_what_is_kept_is_the_same_object_in_the_next_version(bench: Bench) -> None:
    text = says("1", more="box = keep('box', list)")
    await bench.save(a=text)
    old = bench.reloader.live["a"].modules["plugins.a"].box
    assert await bench.save(a=text + "#") == "a g1 -> g2: state kept"
    assert bench.reloader.live["a"].modules["plugins.a"].box is old


# --- one at a time, and the end


async def test_two_that_ask_at_once_make_one_change(bench: Bench) -> None:
    write(bench.folder, a=says("1"))
    reports = await asyncio.gather(bench.settle(), bench.settle())
    assert sorted(reports) == ["", "a loaded g1"]


async def test_a_caller_who_goes_does_not_cut_the_transaction(bench: Bench) -> None:
    await bench.save(a=says("1"))
    write(bench.folder, a=says("2", more="@setup\nasync def u(ctx): await ctx.gate.wait()"))
    asked = asyncio.create_task(bench.settle())
    await until(lambda: bench.gate.asked)
    asked.cancel()
    await asyncio.wait([asked])
    bench.gate.set()
    assert asked.cancelled() and await bench.settle() == ""
    assert bench.answer("say") == "2"


async def test_closing_cuts_a_transaction_short_and_what_setup_opened_is_closed(tmp_path: Path, bench: Bench) -> None:
    second = Bench(bench.folder)
    more = (
        "from contextlib import contextmanager\n@contextmanager\ndef port(ctx):\n    yield\n    ctx.told('close')\n"
        "@setup\nasync def u(ctx):\n    ctx.enter(port(ctx))\n    await ctx.gate.wait()"
    )
    write(second.folder, a=says("1", more=more))
    asked = asyncio.create_task(second.settle())
    await until(lambda: second.gate.asked)
    await second.close()
    await asyncio.wait([asked])
    assert second.told == ["close"]


async def test_closing_tears_everything_down_and_leaves_no_name(bench: Bench) -> None:
    await bench.save(a=says("1", more="@teardown\ndef t(ctx): ctx.told('teardown')"))
    await bench.reloader.close()
    assert "teardown" in bench.told and bench.answer("say") is None
    assert not [name for name in sys.modules if name.startswith("plugins")]


# --- pins


async def test_a_mistake_that_is_undone_behind_a_pin_is_nothing_to_tell(bench: Bench) -> None:
    """What the file holds again is not what is live."""
    await bench.save(a="x = 1")
    old = bench.reloader.live["a"].unit
    await bench.save(a="x = 2")
    there = (await bench.reloader.on_disk(()))["a"].digest
    await bench.reloader.settle({"a"}, pins={"a": Pin(old, there)})
    assert "a stays g3" in await bench.save(a="(")
    assert bench.reloader.failed == {"a"}
    bench.now += 10
    assert await bench.save(a="x = 2") == ""
    assert bench.reloader.failed == set() and bench.reloader.live["a"].unit is old
    await bench.save(a="x = 1")
    assert bench.reloader.pinned == {}
