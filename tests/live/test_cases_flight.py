"""Cases 60 and L12: calls that are under way while newer versions go live. A gate holds them, no clock."""

from __future__ import annotations

import pytest
from stage import Stage, both_modes

gate = pytest.mark.parametrize("stage", [{"before": "60_gate"}], indirect=True, ids=["gate"])


@both_modes
@gate
async def test_60_all_lines_of_a_generator_are_of_its_own_version_in_order(stage: Stage) -> None:
    assert await stage.ask("!lines") == ["line 1 V1"]
    answers = []
    for version in range(2, 6):
        await stage.edit("gate.py", f"VERSION = {version - 1}", f"VERSION = {version}")
        await stage.report(rf"gate g{version - 1} -> g{version} .*")
        assert await stage.ask("!open") == [f"opened V{version}"]
        answers.append(await stage.talk.next())
    assert answers == [f"line {number} V1" for number in range(2, 6)]


@both_modes
@gate
async def test_l12_calls_of_four_versions_end_on_their_own(stage: Stage) -> None:
    for version in range(2, 5):
        assert await stage.ask("!wait") == []
        await stage.edit("gate.py", f"VERSION = {version - 1}", f"VERSION = {version}")
        await stage.report(rf"gate g{version - 1} -> g{version} .*")
    assert await stage.ask("!wait") == []
    assert (await stage.order("!version gate")).endswith(" 1 in flight")
    assert await stage.order("!open") == "opened V4"
    assert sorted([await stage.talk.next() for _ in range(4)]) == [f"waited V{version}" for version in range(1, 5)]
