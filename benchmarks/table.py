"""What every benchmark prints: the machine it ran on, rounds with minimum, median and maximum, and goals met or not."""

from __future__ import annotations

import os
import platform
import shlex
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path


def print_facts(**versions: str) -> None:
    """Print the exact command, the machine and what ran on it, so that a number is never read without them."""
    module = Path(sys.argv[0]).stem
    print(f"$ python -m {shlex.join([f'benchmarks.{module}', *sys.argv[1:]])}")
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    facts = {"cores": str(os.cpu_count()), "processor": _processor(), "load before": load}
    facts |= {"Python": platform.python_version(), **versions}
    print("; ".join(f"{key} {value}" for key, value in facts.items()), flush=True)


def print_rounds(title: str, unit: str, rounds: Mapping[str, Sequence[float]], *, digits: int = 0) -> None:
    """Print a row for each name: how many rounds, and their minimum, median and maximum."""
    print(f"\n{title}")
    width = max(28, *map(len, rounds))
    print(f"  {'':{width}} {'n':>4} {'min':>10} {'median':>10} {'max':>10}  {unit}")
    for name, values in rounds.items():
        figures = (min(values), statistics.median(values), max(values))
        print(f"  {name:{width}} {len(values):>4} " + " ".join(f"{figure:>10,.{digits}f}" for figure in figures))
    sys.stdout.flush()


def print_cpu(name: str, found: Sequence[Mapping[str, float]]) -> None:
    """Print what each process used of a core for a job, over rounds."""
    used = {process: [one[process] for one in found] for process in found[0]}
    used["all"] = [sum(one.values()) for one in found]
    print_rounds(f"CPU of {name}", "µs a job", used)


def print_goal(what: str, value: float, goal: float, *, at_most: bool = False, digits: int = 2) -> None:
    """Print one figure beside its goal. Never fails: a slow machine is no defect."""
    is_met = value <= goal if at_most else value >= goal
    sign = "≤" if at_most else "≥"
    print(
        f"  {what}: {value:,.{digits}f} (goal {sign} {goal:,.{digits}f}): {'met' if is_met else 'not met'}", flush=True
    )


def ratio(of: Sequence[float], to: Sequence[float]) -> float:
    """Return the ratio of two medians."""
    return statistics.median(of) / statistics.median(to)


def p95(values: Sequence[float]) -> float:
    """Return the 95th percentile."""
    return sorted(values)[min(len(values) - 1, int(len(values) * 0.95))]


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []:
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
