"""Lines that hold the worker, among many that don't, in real processes: each costs one silence, and is known by then;
nobody else is skipped, and no line has to be tried alone.
"""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from pair import TALK
from pair import with_reserve as pair

HEAD = "import asyncio, re, threading, time\nfrom bot import command, every, job, rule\n"
REGEX = 're.match(r"(a+)+$", "a" * 40 + "b")'
OTHERS = """
@command("slow")
async def slow(ctx, what):
    await asyncio.sleep(1.2)
    return f"slow {what}"

@command("nap")
def nap(ctx, what):
    time.sleep(1.2)
    return f"nap {what}"

@command("add")
def add(ctx, what):
    until = time.monotonic() + 0.3
    while time.monotonic() < until: pass
    return f"add {what}"
"""
BOOM = '@command("{name}")\n'
LOOP = {
    "sleep": BOOM + "async def boom(ctx): time.sleep(60)",
    "deadlock": BOOM + "async def boom(ctx):\n    lock = threading.Lock()\n    with lock: lock.acquire()",
    "endless": BOOM + "async def boom(ctx):\n    while True: pass",
    "later": BOOM + "async def boom(ctx):\n    await asyncio.sleep(0.05)\n    time.sleep(60)",
    "job": BOOM + 'def boom(ctx): ctx.schedule("0.1s", late)\n@job\nasync def late(ctx): time.sleep(60)',
}
INTERPRETER = {
    "regex": BOOM + f"async def boom(ctx): {REGEX}",
    "thread": BOOM + f"def boom(ctx): {REGEX}",
    "gather": f"async def part(): {REGEX}\n{BOOM}async def boom(ctx): await asyncio.gather(part())",
    "listens": f'@rule("^!{{name}}")\ndef boom(ctx): {REGEX}',
    "pattern": '@rule("^!{name} (?=(a+)+$)")\ndef boom(ctx, found): pass',
    "periodic": BOOM + f'def boom(ctx): pass\n@every("1.5s")\ndef late(ctx): {REGEX}',
}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("kinds", [LOOP, INTERPRETER], ids=["the loop is held", "the interpreter is held"])
async def test_a_hang_under_load_is_found_at_its_first_death(tmp_path: Path, kinds: dict[str, str]) -> None:
    async with pair(tmp_path, plugins={"talk": TALK, "others": HEAD + OTHERS}) as bot:
        wanted: list[str] = []
        for name, source in kinds.items():
            (tmp_path / "plugins" / f"{name}.py").write_text(HEAD + source.replace("{name}", name))
            await bot.tells(f"{name} loaded g1")
            before = [f"slow {name}", f"nap {name}", f"add {name}", *(f"hello {name}{n}" for n in range(20))]
            after = [f"{'sync' if n % 2 else 'hello'} {name}{n}" for n in range(20, 40)]
            poison = f"{name} {'a' * 40}b" if name == "pattern" else name
            bot.says(*(f"!{text}" for text in (*before, poison, *after)))
            await bot.tells(f"{name} ended the bot's worker with")
            await bot.answers(*before, *after)
            wanted += [*before, *after]
        assert sum("; starting another" in line for line in bot.log) == len(kinds), "\n".join(bot.log)
        assert sorted(line for line in bot.said if line in set(wanted)) == sorted(wanted), "some were answered twice"
        bot.says("!plugins")
        await bot.answers(f"plugins: others, talk; off: {', '.join(sorted(kinds))}")
        worker = bot.worker
        bot.kill(worker, signal.SIGUSR1)  # somebody wants to know where it is
        await bot.logs(f"where the worker {worker} was when it ended")
        bot.says("!hello again")
        await bot.answers("hello again")
        await bot.ends()
