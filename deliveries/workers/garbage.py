"""What Python's garbage collector need not look at, in processes that make and drop a million small objects and keep the rest for ever."""

from __future__ import annotations

import gc
from typing import Final

#: How many objects more are alive before the youngest are looked through. Python's own 700 is reached by the rows of a single claim, all of
#: which are still wanted; a cycle that is garbage waits a moment longer and costs a megabyte or two at most.
YOUNGEST: Final = 10_000
MIDDLE: Final = 20
OLDEST: Final = 50


def spare_what_stays() -> None:
    """Leave what is loaded by now (modules, classes, settings) out of every later collection, and collect less often.

    For the start of a process that moves rows. Of a sending process's work for a mail this was a seventh.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNGEST, MIDDLE, OLDEST)
