"""The plugins that are measured, and how they are written."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import sources
from bot.check import check


@pytest.mark.parametrize("lines", [50, 100, 150, 500])
def test_a_plugin_has_about_the_lines_that_were_asked_for_and_no_fault(lines: int, tmp_path: Path) -> None:
    sources.write_all(tmp_path, 1, lines=lines)
    text = (tmp_path / "p000.py").read_text()
    assert abs(text.count("\n") - lines) <= 5 and check([tmp_path]) == []


def test_all_versions_have_one_length() -> None:
    assert len({len(sources.plugin("p000", version)) for version in (0, 7, 123456)}) == 1


@pytest.mark.parametrize("way", sources.WAYS.values(), ids=sources.WAYS)
def test_each_way_of_saving_leaves_the_new_source_and_no_other_file(way: sources.Way, tmp_path: Path) -> None:
    sources.write_all(tmp_path, 1)
    way(tmp_path / "p000.py", sources.plugin("p000", 1))
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"p000.py": sources.plugin("p000", 1)}


@pytest.mark.parametrize("lines", [50, 500])
def test_the_first_of_two_chunks_is_valid_but_knows_that_it_is_torn(lines: int) -> None:
    first = sources.first_chunk(sources.plugin("p000", 1, lines).encode())
    compile(first, "p000.py", "exec")
    assert b"def version" in first and b"TAIL =" not in first
