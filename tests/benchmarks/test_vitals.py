"""What is read of a process, and the trend of samples."""

from __future__ import annotations

import os
import sys
import threading

import pytest

from benchmarks.vitals import Vitals, slope

linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")


def test_the_slope_is_the_rise_for_one_unit() -> None:
    assert slope([(0, 5), (10, 7), (20, 9)]) == pytest.approx(0.2)


def test_one_spike_does_not_bend_the_slope() -> None:
    assert slope([(x, 3.0 + 1000 * (x == 7)) for x in range(20)]) == 0


def test_no_two_moments_have_no_slope() -> None:
    assert slope([]) == slope([(1, 1)]) == 0


@linux
def test_a_thread_and_a_descriptor_more_are_counted() -> None:
    before, end = Vitals.of(os.getpid()), threading.Event()
    thread = threading.Thread(target=end.wait)
    thread.start()
    one = os.dup(0)
    try:
        after = Vitals.of(os.getpid())
    finally:
        os.close(one)
        end.set()
        thread.join()
    assert (after.threads - before.threads, after.descriptors - before.descriptors) == (1, 1)
    assert after.rss > 1000 and after.anonymous > 1000
