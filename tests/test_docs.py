"""README.md and docs/plugins.md: what they show works as it is written there."""

from __future__ import annotations

import re
import shutil
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from bot.api.events import FIELDS
from bot.check import check
from bot.protocol.isupport import _READERS
from bot.protocol.registration import WANTED
from bot.testing import Bot, fits, read_examples

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "CHANGELOG.md", "SECURITY.md", *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")))
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: str, language: str) -> dict[str, str]:
    """The fenced blocks of a page, by `page:line`."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = [match for match in FENCED.finditer(text) if match[1] == language]
    return {f"{page}:{text.count(chr(10), 0, match.start()) + 1}": match[2] for match in found}


SHOWN = {**blocks("README.md", "python"), **blocks("docs/plugins.md", "python")}
TESTS = {place: text for place, text in SHOWN.items() if "def test_" in text}
PLUGINS = {place: text for place, text in SHOWN.items() if place not in TESTS}

each_plugin = pytest.mark.parametrize("source", [pytest.param(text, id=place) for place, text in PLUGINS.items()])


def test_there_are_plugins_and_tests_among_the_blocks() -> None:
    assert len(PLUGINS) >= 7 and len(TESTS) >= 1 and blocks("README.md", "python")


@each_plugin
def test_a_block_is_a_plugin_without_a_fault(source: str, tmp_path: Path) -> None:
    (tmp_path / "weather.py").write_text(source)
    assert check([tmp_path]) == []


@each_plugin
async def test_a_block_goes_live_and_answers_as_its_examples_say(source: str, bot: Bot) -> None:
    report = await bot.write("weather", source)
    assert report.ok and "weather loaded g1" in str(report)
    for said, answer, _ in read_examples(source.encode()):
        answers = "\n".join(await bot.say(said))
        assert fits(answer, answers), f"{said}: {answers}"


async def test_the_job_that_is_shown_speaks(bot: Bot) -> None:
    (source,) = [text for text in PLUGINS.values() if "@every" in text]
    assert (await bot.write("weather", source.replace("libera/#a", "demo/#demo"))).ok
    assert await bot.heard(bot.clock.advance("5m")) == ["five minutes have passed"]


def test_the_tests_that_are_shown_pass_with_the_settings_that_are_shown(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    if not entry_points(group="pytest11", name="neverquit"):
        monkeypatch.setenv("PYTEST_PLUGINS", "bot.testing")
    (settings,) = blocks("docs/plugins.md", "toml").values()
    (pytester.path / "pyproject.toml").write_text(settings)
    shutil.copytree(ROOT / "plugins", pytester.path / "plugins", ignore=shutil.ignore_patterns("__pycache__"))
    (pytester.path / "plugins" / "weather.py").write_text(next(iter(blocks("docs/plugins.md", "python").values())))
    for number, source in enumerate(TESTS.values()):
        (pytester.path / f"test_shown_{number}.py").write_text(source)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-p", "no:xdist", ".", "plugins/weather.py")
    shown = sum(source.count("def test_") for source in TESTS.values())
    examples = sum(len(read_examples(path.read_bytes())) for path in (pytester.path / "plugins").glob("*.py"))
    result.assert_outcomes(passed=shown + examples)


@pytest.mark.parametrize("name", ["demo", "tests"])
def test_what_ci_runs_of_the_readme_is_marked_there(name: str) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.search(rf"^<!-- ci: {name} -->\n```sh\n[^`]+\n```$", text, re.MULTILINE)


@pytest.mark.parametrize("page", PAGES)
def test_prose_is_wrapped_where_a_screen_ends(page: str) -> None:
    prose = FENCED.sub("", (ROOT / page).read_text(encoding="utf-8")).splitlines()
    assert [line for line in prose if len(line) > 120 and not line.startswith("|")] == []


def rows(page: str, head: str) -> dict[str, str]:
    """The table below a head line: what stands in the first column, each name alone, and the second column."""
    text = (ROOT / page).read_text(encoding="utf-8")
    lines = text[text.index(f"| {head} |") :].split("\n\n")[0].splitlines()[2:]
    cells = [line.strip("| ").split(" | ") for line in lines]
    return {name.strip("`"): row[1] for row in cells for name in row[0].split(", ")}


@pytest.mark.parametrize("page", PAGES)
def test_no_page_has_a_gap_that_was_to_be_filled(page: str) -> None:
    assert not re.search("@@|TODO|XXX", (ROOT / page).read_text(encoding="utf-8"))


def test_the_table_of_capabilities_holds_what_is_asked_for_and_nothing_else() -> None:
    known = rows("docs/irc.md", "capability")
    assert set(known) == {*WANTED, "sasl"}
    assert all(known.values())


def test_the_table_of_tokens_holds_all_that_are_read() -> None:
    assert set(rows("docs/irc.md", "token")) >= _READERS.keys()


def test_the_table_of_events_holds_every_event_and_its_fields() -> None:
    known = rows("docs/plugins.md", "event")
    assert set(known) == FIELDS.keys() - {"numeric"} | {"a numeric"}
    for event, fields in FIELDS.items():
        told = re.sub(r"\([^)]*\)", "", known["a numeric" if event == "numeric" else event])
        assert set(re.findall(r"\w+", told)) >= fields, event
