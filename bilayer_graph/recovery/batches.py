"""Lists of bounded size and memory from an endless row of pictures or people."""

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

from PIL import Image

from bilayer_graph.recovery.requests import Refused

# Pixels of the pictures of one list, beyond its first: 100 MB in 8 bits, 400 MB as floats.
MAX_PIXELS = 2**25


class _Shown(Protocol):
    @property
    def picture(self) -> Image.Image: ...


T = TypeVar("T", bound=_Shown)


def batches(items: Iterable[T | Refused], size: int) -> Iterator[list[T | Refused]]:
    """Yield items in lists, in their order.

    A list ends when it has ``size`` pictures or people, or would hold more than ``MAX_PIXELS``.
    What is refused waits for what came before it, and for nothing else. If ``items`` raises, the
    list so far comes first.

    Args:
        items: People or pictures, and pictures that are refused.
        size: Of the first, how many make up a list.
    """
    waiting: list[T | Refused] = []
    count = pixels = 0
    last: Image.Image | None = None
    try:
        for item in items:
            if isinstance(item, Refused):
                waiting.append(item)
            else:
                more = 0 if item.picture is last else item.picture.width * item.picture.height
                if count == size or (count and pixels + more > MAX_PIXELS):
                    yield waiting
                    waiting, count, pixels = [], 0, 0
                waiting.append(item)
                last = item.picture
                count, pixels = count + 1, pixels + more
            if count == size or not count:
                yield waiting
                waiting, count, pixels = [], 0, 0
    except Exception:
        if waiting:
            yield waiting
        raise
    if waiting:
        yield waiting
