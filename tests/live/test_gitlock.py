"""bot/live/gitlock.py: whether git is at work, with locks as git makes them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from bot.live.gitlock import LOCK_SECONDS, LONGEST_SECONDS, GitLock, lock_of


def locked(tmp_path: Path) -> tuple[GitLock, Path]:
    (tmp_path / ".git").mkdir()
    (tmp_path / "plugins").mkdir()
    lock = tmp_path / ".git" / "index.lock"
    lock.write_text("")
    return GitLock([tmp_path / "plugins"]), lock


def git(*arguments: str | Path, cwd: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "HOME": str(cwd), "GIT_CONFIG_NOSYSTEM": "1"}
    names = [part for key in ("name", "email") for part in ("-c", f"user.{key}=a@example.org")]
    subprocess.run(
        ["git", *names, *map(str, arguments)], cwd=cwd, env=environment, check=True, capture_output=True, timeout=30
    )


def test_a_lock_holds_until_it_is_gone(tmp_path: Path) -> None:
    gitlock, lock = locked(tmp_path)
    assert gitlock.holds(100.0, 100.0)
    lock.unlink()
    assert not gitlock.holds(100.1, 100.0)


def test_without_a_repository_nothing_holds(tmp_path: Path) -> None:
    assert lock_of(tmp_path / "plugins") is None or not (tmp_path / ".git").exists()
    assert not GitLock([tmp_path]).holds(0.0, 0.0)


def test_a_lock_under_which_nothing_happens_was_left_behind(tmp_path: Path) -> None:
    gitlock, _ = locked(tmp_path)
    assert gitlock.holds(100.0, 99.0)
    assert gitlock.holds(99.9 + LOCK_SECONDS, 99.0)
    assert not gitlock.holds(100.0 + LOCK_SECONDS, 99.0)


def test_one_that_was_left_behind_is_waited_for_only_once(tmp_path: Path) -> None:
    gitlock, _ = locked(tmp_path)
    gitlock.holds(100.0, 100.0)
    gitlock.holds(100.0 + LOCK_SECONDS, 100.0)
    assert not gitlock.holds(200.0, 200.0)


def test_a_new_lock_holds_again(tmp_path: Path) -> None:
    gitlock, lock = locked(tmp_path)
    gitlock.holds(100.0, 100.0)
    assert not gitlock.holds(100.0 + LOCK_SECONDS, 100.0)
    (tmp_path / "another").write_text("")
    (tmp_path / "another").replace(lock)
    assert gitlock.holds(101.0 + LOCK_SECONDS, 100.0)


def test_a_slow_checkout_holds_while_files_change(tmp_path: Path) -> None:
    gitlock, _ = locked(tmp_path)
    for second in range(int(3 * LOCK_SECONDS)):
        assert gitlock.holds(100.0 + second, 100.0 + second)


def test_but_not_for_ever(tmp_path: Path) -> None:
    gitlock, _ = locked(tmp_path)
    gitlock.holds(100.0, 100.0)
    assert not gitlock.holds(100.0 + LONGEST_SECONDS, 100.0 + LONGEST_SECONDS)


def test_a_lock_of_yesterday_is_not_waited_for(tmp_path: Path) -> None:
    gitlock, lock = locked(tmp_path)
    os.utime(lock, (0, 0))
    assert not gitlock.holds(100.0, 100.0)


@pytest.mark.parametrize("kind", ["work tree", "linked work tree", "submodule", "linked folder"])
def test_the_lock_is_where_git_makes_it(tmp_path: Path, kind: str) -> None:
    """`git update-index --refresh` under a hook of the file system can't be had; git tells where its index is."""
    repository = tmp_path / "repository"
    (repository / "plugins").mkdir(parents=True)
    git("init", "-q", cwd=repository)
    (repository / "plugins" / "a.py").write_text("")
    git("add", ".", cwd=repository)
    git("commit", "-qm", "a", cwd=repository)
    tree = repository
    match kind:
        case "linked work tree":
            git("worktree", "add", "-q", tmp_path / "tree", cwd=repository)
            tree = tmp_path / "tree"
        case "submodule":
            outer = tmp_path / "outer"
            outer.mkdir()
            git("init", "-q", cwd=outer)
            git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", repository, "sub", cwd=outer)
            tree = outer / "sub"
        case "linked folder":
            (tmp_path / "link").symlink_to(repository / "plugins")
    folder = tmp_path / "link" if kind == "linked folder" else tree / "plugins"
    told = subprocess.run(
        ["git", "rev-parse", "--path-format=absolute", "--git-path", "index"],
        cwd=tree,
        check=True,
        capture_output=True,
        text=True,
        timeout=30,
    ).stdout.strip()
    lock = lock_of(folder)
    assert lock is not None and lock.resolve() == Path(f"{told}.lock").resolve()


def test_a_gitfile_that_says_nothing_is_no_repository(tmp_path: Path) -> None:
    (tmp_path / ".git").write_bytes(b"\xff\xfe")
    assert lock_of(tmp_path) is None
    (tmp_path / ".git").write_text("nothing")
    assert lock_of(tmp_path) is None
