"""The fixture of the reload cases, and what a failed one shows."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Generator
from pathlib import Path

import pytest
import pytest_asyncio
from program import MODES
from stage import Stage, opened

collect_ignore = ["edits"]  # plugin files, some named as tests are


@pytest.fixture
def mode() -> str:
    """How the bot is run; `stage.both_modes` gives each in turn. All others can be run as the environment says."""
    return os.environ.get("NEVERQUIT_TEST_MODE", next(iter(MODES)))


@pytest_asyncio.fixture
async def stage(request: pytest.FixtureRequest, tmp_path: Path, mode: str) -> AsyncIterator[Stage]:
    """A case's stage; its invariants are checked when the case has passed."""
    async with opened(tmp_path, mode, **getattr(request, "param", {})) as stage:
        yield stage
        if not request.node.stash.get(FAILED, False):
            await stage.verify()


FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        item.stash[FAILED] = True
        stage = getattr(item, "funcargs", {}).get("stage")
        if isinstance(stage, Stage):
            report.sections.append(("the bot's log", "\n".join(stage.program.log[-40:])))
    return report
