"""An iterator that is kept ahead by a thread of its own."""

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

# What is ready before it is asked for: a search of a whole picture takes longer than a look.
_AHEAD = 3

T = TypeVar("T")


def ahead(items: Iterator[T], threads: int) -> Generator[T]:
    """Yield from an iterator that another thread runs some steps ahead; errors keep their place.

    Args:
        items: The iterator; it must not give ``None``.
        threads: How many threads torch has in that thread.
    """
    waiting: deque[Future[T | None]] = deque()
    with ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(threads,)) as pool:
        try:
            waiting.extend(pool.submit(next, items, None) for _ in range(_AHEAD))
            while (item := waiting.popleft().result()) is not None:
                waiting.append(pool.submit(next, items, None))
                yield item
        finally:
            for future in waiting:
                future.cancel()
