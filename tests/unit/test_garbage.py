"""What the collector is spared, in a process of its own."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import gc
from deliveries.workers.garbage import YOUNGEST, spare_what_stays

class Knot:
    def __init__(self):
        self.itself = self

spare_what_stays()
assert gc.get_freeze_count() > 1000 and gc.isenabled()
kept = [Knot() for _ in range(10 * YOUNGEST + YOUNGEST // 2)]
del kept
alive = sum(isinstance(each, Knot) for each in gc.get_objects())
more = [[] for _ in range(3 * YOUNGEST)]
print(alive, sum(isinstance(each, Knot) for each in gc.get_objects()))
"""


def test_what_is_loaded_is_left_alone_and_later_cycles_are_still_found() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    assert 0 <= after < before
