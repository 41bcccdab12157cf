"""bot/standby.py: workers that wait for their turn. Whole bots: test_upgrade.py, test_reserve.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from bot import config
from bot.reread import packed
from bot.standby import begin
from bot.wire.link import Frame


async def test_settings_that_other_code_has_packed_are_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """And those of the same code are taken as they came, whatever the file says by now."""
    path = tmp_path / "config.yaml"
    path.write_text("nick: new\nnetworks: {}\n")
    path.chmod(0o600)
    settings = config.parse("nick: old\nnetworks: {}\n", str(path))
    same = packed(settings)
    monkeypatch.setattr("bot.reread._shape", lambda: ["Timeouts.one_more: float"])
    other = packed(settings)
    monkeypatch.undo()
    nicks = []
    for payload in (same, other):

        class Link:
            def __setattr__(self, name: str, take: Any, payload: bytes = payload) -> None:
                if take is not None:
                    take(Frame("hand", (), b"left"))
                    take(Frame("config", (), payload))

        found, _, given = await begin(cast(Any, Link()), path, None)
        nicks.append(found.nick)
        assert given == b"left"
    assert nicks == ["old", "new"]
    assert caplog.messages == [f"other code has read the settings; {path} is read again"]
