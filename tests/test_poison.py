"""Lines that end the worker, among lines that don't, in real processes: the good ones are answered exactly once, the
poison is skipped after two deaths at most, its plugin is taken out, the admins are told; and IRC notices nothing.
"""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest
from pair import CHANNEL, TALK, Pair
from pair import with_reserve as pair

HEAD = "import asyncio, ctypes, os, re, signal, threading, time\nfrom bot import command, on, rule, every, job\n"
POISON = {
    "exit at once": '@command("boom")\ndef boom(ctx): os._exit(1)',
    "exit 50 ms late": '@command("boom")\nasync def boom(ctx):\n    await asyncio.sleep(0.05)\n    os._exit(1)',
    "exit 0": '@command("boom")\nasync def boom(ctx): os._exit(0)',
    "abort": '@command("boom")\ndef boom(ctx): os.abort()',
    "null pointer": '@command("boom")\ndef boom(ctx): ctypes.string_at(0)',
    "deadlock": '@command("boom")\nasync def boom(ctx):\n    lock = threading.Lock()\n    with lock: lock.acquire()',
    "a sleep on the loop": '@command("boom")\nasync def boom(ctx): time.sleep(60)',
    "a regex that holds the interpreter": '@command("boom")\ndef boom(ctx): re.match(r"(a+)+$", "a" * 40 + "b")',
    "a rule": '@rule("^!boom")\ndef boom(ctx): os._exit(1)',
    "a handler of all lines": '@on("message")\ndef boom(ctx, text):\n    if text == "!boom": os._exit(1)',
}


def poison(kind: str) -> dict[str, str]:
    return {"talk": TALK, "bad": HEAD + POISON[kind]}


async def proved_innocent(bot: Pair, count: int) -> None:
    """Each good line has its answer, once; and those of one channel in the order of the questions."""
    wanted = [f"hello {number}" for number in range(count)]
    await bot.answers(*wanted)
    bot.says("!hello last")
    await bot.answers("hello last")
    assert [line for line in bot.said if line.startswith("hello ") and line != "hello last"] == wanted


@pytest.mark.timeout(120)
@pytest.mark.parametrize("kind", POISON)
async def test_p05_p07_p09_poison_is_found_among_good_lines(tmp_path: Path, kind: str) -> None:
    """In one process nothing could help."""
    async with pair(tmp_path, plugins=poison(kind)) as bot:
        began = asyncio.get_running_loop().time()
        bot.says(
            *(f"!hello {number}" for number in range(5)), "!boom", *(f"!hello {number}" for number in range(5, 20))
        )
        await bot.tells("bad ended the bot's worker with «!boom»")
        await proved_innocent(bot, 20)
        deaths = sum("; starting another" in line for line in bot.log)
        assert deaths <= 2
        assert asyncio.get_running_loop().time() - began < 5 * deaths
        bot.says("!boom", "!plugins")
        await bot.answers("plugins: talk; off: bad")
        assert bot.connections() == 1
        await bot.ends()


async def test_p09_p10_a_line_at_which_workers_are_killed_again_and_again_is_found(tmp_path: Path) -> None:
    """Who sends SIGKILL can't be known; the kernel does when memory ends. So it takes more deaths, each a short one."""
    bad = HEAD + '@command("boom")\ndef boom(ctx): os.kill(os.getpid(), 9)'
    async with pair(tmp_path, plugins={"talk": TALK, "bad": bad}) as bot:
        bot.says("!boom")
        await bot.tells("bad ended the bot's worker with «!boom»")
        bot.says("!hello last", "!plugins")
        await bot.answers("hello last", "plugins: talk; off: bad")
        assert "safe mode" not in "\n".join(bot.log)
        assert sum("; starting another" in line for line in bot.log) <= 10
        assert bot.connections() == 1
        await bot.ends()


async def test_a_hang_leaves_its_stack_in_the_log(tmp_path: Path) -> None:
    async with pair(tmp_path, plugins=poison("a regex that holds the interpreter")) as bot:
        bot.says("!boom")
        await bot.tells("bad ended the bot's worker with «!boom»")
        assert any("bad.py@" in line and line.endswith("in boom") for line in bot.log)
        await bot.ends()


@pytest.mark.parametrize("mend", ["!load bad", "a new content"])
async def test_a_quarantined_plugin_stays_out_over_workers_and_comes_back(tmp_path: Path, mend: str) -> None:
    fine = '\n@command("fine")\ndef fine(ctx): return "fine"\n'
    plugins = {"talk": TALK, "bad": HEAD + POISON["exit at once"] + fine}
    async with pair(tmp_path, plugins=plugins) as bot:
        bot.says("!boom")
        await bot.tells("it is unloaded until it changes, or !load bad")
        worker = bot.worker
        bot.kill(worker)
        await bot.another(worker)
        bot.says("!fine", "!plugins")
        await bot.answers("plugins: talk; off: bad")
        if mend == "!load bad":
            bot.says("!load bad")
        else:
            (tmp_path / "plugins" / "bad.py").write_text(HEAD + fine)
        await bot.tells("bad loaded g1")
        bot.says("!fine")
        await bot.answers("fine")
        worker = bot.worker
        bot.kill(worker)
        await bot.another(worker)
        bot.said.clear()
        bot.says("!fine")
        await bot.answers("fine")
        await bot.ends()


async def test_kills_from_outside_cost_nothing_and_accuse_nobody(tmp_path: Path) -> None:
    slow = 'import asyncio\nfrom bot import command\n@command("slow")\nasync def slow(ctx, what):\n'
    slow += '    ctx.say(f"begin {what}")\n    await asyncio.sleep(0.3)\n    return f"end {what}"\n'
    async with pair(tmp_path, plugins={"talk": TALK, "slow": slow}) as bot:
        worker = 0
        for number in range(8):
            worker = await bot.another(worker)
            bot.says(f"!hello {number}", f"!slow {number}")
            if number % 2:
                await bot.answers(f"begin {number}")
            bot.kill(worker)
        await bot.answers(*(f"{word} {number}" for number in range(8) for word in ("begin", "end")))
        await proved_innocent(bot, 8)
        answers = [text for text in bot.said if "was replaced" not in text]
        assert len(answers) == len(set(answers)), bot.said
        assert len(bot.said) - len(answers) >= 8, "one more for a worker that was killed as it told that"
        bot.says("!plugins")
        await bot.answers("plugins: slow, talk")
        assert bot.connections() == 1
        await bot.ends()


async def test_a_stopped_worker_is_replaced_and_its_line_answered(tmp_path: Path) -> None:
    """Somebody outside has stopped it, so no line is to blame, although one was alone in its hand."""
    slow = 'import asyncio\nfrom bot import command\n@command("slow")\nasync def slow(ctx):\n'
    slow += '    ctx.say("begin")\n    await asyncio.sleep(0.5)\n    return "end"\n'
    async with pair(tmp_path, plugins={"slow": slow}) as bot:
        bot.says("!slow")
        await bot.answers("begin")
        worker = bot.worker
        bot.kill(worker, signal.SIGSTOP)
        await bot.logs("has been stopped by a signal for 1 s")
        await bot.another(worker)
        await bot.answers("end")
        assert bot.said.count("begin") == 1
        bot.says("!plugins")
        await bot.answers("plugins: slow")
        await bot.ends()


TIMER = (
    HEAD
    + """
from bot import store
times = store("times")

@every("0.5s")
async def tick(ctx):
    number = times.add("ticks", 1)
    ctx.to("here/#a").say(f"tick {number}")
    await asyncio.sleep(0.2)
    ctx.to("here/#a").say(f"tock {number}")

@job
async def later(ctx, what):
    ctx.say(f"begin {what}")
    await asyncio.sleep(0.4)
    ctx.say(f"end {what}")

@command("later")
def plan(ctx, what): ctx.schedule("0.1s", later, what)
"""
)


async def test_jobs_are_neither_lost_nor_doubled_when_their_worker_is_killed(tmp_path: Path) -> None:
    async with pair(tmp_path, plugins={"timer": TIMER}) as bot:
        worker = 0
        for number in range(1, 4):
            worker = await bot.another(worker)
            await bot.answers(f"tick {2 * number - 1}")
            bot.says(f"!later {number}")
            await bot.answers(f"begin {number}")
            bot.kill(worker)
        await bot.answers("end 1", "end 2", "end 3", "tock 8")
        for word in ("tick", "tock"):
            ticks = [line for line in bot.said if line.startswith(f"{word} ")]
            assert ticks == [f"{word} {number}" for number in range(1, len(ticks) + 1)]
        assert [line for line in bot.said if line.startswith("begin ")] == ["begin 1", "begin 2", "begin 3"]
        await bot.ends()


@pytest.mark.parametrize("kind", ["periodic", "stored"])
async def test_a_job_that_ends_the_worker_is_found(tmp_path: Path, kind: str) -> None:
    bad = HEAD + '@every("0.7s")\ndef bad(ctx): os._exit(1)\n'
    if kind == "stored":
        bad = HEAD + '@job\ndef bad(ctx): os._exit(1)\n@command("later")\ndef plan(ctx): ctx.schedule("0.1s", bad)\n'
    async with pair(tmp_path, plugins={"talk": TALK, "bad": bad}) as bot:
        bot.says("!later", "!hello 0")
        await bot.tells("bad ended the bot's worker with its job t:bad.bad/")
        await proved_innocent(bot, 1)
        assert sum("; starting another" in line for line in bot.log) == 2
        bot.says("!load bad", "!hello again")
        await bot.answers("hello again")
        if kind == "stored":  # loaded again it has nothing to do
            await bot.tells("bad loaded g2")
            bot.says("!plugins")
            await bot.answers("plugins: bad, talk")
        await bot.ends()


@pytest.mark.timeout(120)
async def test_a_crash_loop_ends_in_safe_mode_which_an_admin_ends(tmp_path: Path) -> None:
    bad = HEAD.replace("command, ", "command, setup, ") + "@setup\ndef begin(ctx): os._exit(1)\n"
    async with pair(tmp_path, plugins={"talk": TALK, "bad": bad}, start=False) as bot:
        await bot.start()
        await bot.logs("the next one starts in 1 s")
        await bot.tells("safe mode: workers have failed again and again, no plugin is loaded")
        bot.says("!hello 1", "!plugins")
        await bot.answers("safe mode; no plugin is live")
        bot.says("!load talk")
        await bot.tells("talk loaded g1")
        bot.says("!hello 2")
        await bot.answers("hello 2")
        worker = bot.worker
        bot.kill(worker)
        await bot.another(worker)
        bot.said.clear()
        bot.says("!plugins")
        await bot.answers("safe mode; no plugin is live")
        (tmp_path / "plugins" / "bad.py").write_text(TALK.replace("hello", "bye").replace('"sync"', '"other"'))
        bot.says("!reload all")
        await bot.tells("bad loaded g1")
        bot.says("!plugins")
        await bot.answers("plugins: bad, talk")
        assert "hello 1" not in bot.said and bot.connections() == 1
        await bot.ends()


async def test_while_a_worker_does_not_read_the_keeper_answers_ping_and_holds_the_lines(tmp_path: Path) -> None:
    async with pair(tmp_path, plugins={"talk": TALK}, timeouts={"silence_seconds": 3}) as bot:
        bot.kill(bot.worker, signal.SIGSTOP)
        filler = "x" * 380
        for number in range(6000):
            bot.server.send_raw("neverquit", f":usr!u@h PRIVMSG {CHANNEL} :{number} {filler}")
            if number % 500 == 0:
                await asyncio.sleep(0)
        since = len(bot.server.log)
        bot.server.send_raw("neverquit", "PING :are you there")
        await bot.server.wait_for(lambda nick, way, line: line == "PONG :are you there", since=since - 1, timeout=2)
        bot.says("!hello after")
        await bot.answers("hello after")
        assert (bot.said.count("hello after"), bot.connections()) == (1, 1), "\n".join(bot.log[-30:])
        await bot.ends()
