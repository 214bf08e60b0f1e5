"""An iterator that a thread keeps ahead."""

import threading
from contextlib import closing

import pytest
import torch

from bilayer_graph.video.ahead import ahead


def noted(items, seen, error=None):
    for item in items:
        seen.append((item, threading.get_ident(), torch.get_num_threads()))
        yield item
    if error is not None:
        raise error


def test_all_come_in_order_from_a_thread_of_its_own():
    seen = []
    before = torch.get_num_threads()
    assert list(ahead(noted(range(9), seen), 1)) == list(range(9))
    assert [item for item, *_ in seen] == list(range(9))
    (thread,) = {thread for _, thread, _ in seen}
    assert thread != threading.get_ident()
    assert {threads for *_, threads in seen} == {1}
    torch.set_num_threads(before)


def test_an_error_comes_after_what_came_before_it():
    results = ahead(noted(range(3), [], ValueError("broken")), 1)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="broken"):
        next(results)


def test_it_is_only_some_steps_ahead_and_stops_when_it_is_closed():
    seen, before = [], set(threading.enumerate())
    with closing(ahead(noted(range(100), seen), 1)) as results:
        assert next(results) == 0
        assert set(threading.enumerate()) > before
    assert len(seen) <= 5
    assert set(threading.enumerate()) <= before
