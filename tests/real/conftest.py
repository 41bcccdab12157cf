"""A failed test shows what the bot wrote to its log."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from .scenarios import Scene


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    scene = getattr(item, "funcargs", {}).get("scene")
    if report.failed and isinstance(scene, Scene):
        report.sections.append(("the bot's log", scene.program.told()))
    return report
