"""bot/live/rehearsal.py: everything is tried once, before it is needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from test_reload import Bench, says

from bot.live.compiled import Compiled, compile_unit
from bot.live.discover import Discovery, Unit
from bot.live.plan import Patience
from bot.live.rehearsal import Rehearsal
from bot.live.trial import Kept, Settings, Verdict


class Ground:
    """Notes what it is asked to do; nothing fails on it."""

    def __init__(self) -> None:
        self.compiled: list[str] = []
        self.proved: list[tuple[str, ...]] = []

    async def compile(self, units: Sequence[Unit]) -> list[Compiled]:
        self.compiled += [unit.name for unit in units]
        return [compile_unit(unit) for unit in units]

    async def prove(
        self,
        groups: Sequence[Sequence[Compiled]],
        around: Mapping[str, Compiled],
        settings: Settings,
        seconds: float,
        kept: Kept = MappingProxyType({}),
    ) -> list[Verdict]:
        self.proved += [tuple(sorted(one.unit.name for one in group)) for group in groups]
        return [Verdict(None, 0.0, (), ("json",)) for _ in groups]

    def prepare(self) -> None: ...
    def over(self) -> None: ...
    def rest(self) -> None: ...

    async def close(self) -> None: ...


def write(folder: Path, files: Mapping[str, str]) -> None:
    folder.mkdir()
    for name, source in files.items():
        (folder / f"{name}.py").write_text(source)


async def rehearsed(folder: Path, **files: str) -> tuple[Ground, Rehearsal, dict[str, Any]]:
    write(folder, files)
    ground = Ground()
    rehearsal = Rehearsal(ground)
    failed = await rehearsal.rehearse(Discovery([folder]), {"off"}, lambda name: {}, Patience())
    return ground, rehearsal, failed


async def test_the_first_load_finds_all_of_it_done(tmp_path: Path) -> None:
    shared = "from plugins._common import x\n"
    files = {"a": shared + says("1"), "b": shared + says("2", "tell"), "c": says("3", "sing"), "_common": "x = 1\n"}
    ground, rehearsal, failed = await rehearsed(tmp_path / "p", off=says("4", "hum"), **files)
    assert failed == {} and sorted(ground.compiled) == ["_common", "a", "b", "c"]
    assert sorted(ground.proved) == [("_common", "a", "b"), ("c",)]
    bench = Bench(tmp_path / "p", ground=rehearsal)
    bench.off = {"off"}
    try:
        assert "a loaded g1" in await bench.settle() and bench.answer("tell") == "2"
        assert len(ground.compiled) == 4 and len(ground.proved) == 2
    finally:
        await bench.close()


async def test_what_has_changed_since_and_all_that_comes_later_is_tried_as_ever(tmp_path: Path) -> None:
    ground, rehearsal, _ = await rehearsed(tmp_path / "p", a=says("1"), b=says("2", "tell"))
    (tmp_path / "p" / "a.py").write_text(says("other"))
    bench = Bench(tmp_path / "p", ground=rehearsal)
    try:
        await bench.settle()
        assert ground.proved[2:] == [("a",)] and bench.answer("say") == "other"
        assert await bench.save(b=says("new", "tell")) == "b g1 -> g2: ~tell"
        assert ground.proved[3:] == [("b",)]
    finally:
        await bench.close()


async def test_what_can_not_be_loaded_is_told_with_its_digest_for_the_whole_group(tmp_path: Path) -> None:
    _, _, failed = await rehearsed(
        tmp_path / "p", a="from plugins._common import x\n", _common="def x(\n", good=says("1")
    )
    assert set(failed) == {"a", "_common"}
    digest, why = failed["a"]
    assert len(digest) == 40 and str(why).startswith("_common.py:1: SyntaxError")
