"""How the process of a command gets its memory."""

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Of glibc's malloc.h."""


def keep_freed_memory() -> None:
    """Let glibc reuse freed memory instead of giving it back to the system after each layer.

    Blocks above 32 MB are otherwise mapped and cleared anew in each call, a fifth of the time of a
    model on a batch of 32. Only a program may choose this for its process, so that the library does
    not. Other systems are left as they are.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, 2**30)
        mallopt(_TRIM_THRESHOLD, 2**31 - 1)
