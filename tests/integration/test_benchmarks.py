"""The benchmarks run: small, and whatever the machine's speed. What they measure is not held here; that every build did the work is."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.kafka
def test_the_pipeline_benchmark_sends_every_job_in_every_build_and_prints_its_tables() -> None:
    # It fails unless each job's row is SENT at the end of each round.
    options = ["--jobs", "300", "--naive-jobs", "100", "--rounds", "1", "--only", "speed"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.pipeline", *options], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for build in ("ours", "ours, 2 sender processes", "(a) bare loop", "(b) naive build"):
        assert re.search(rf"^  {re.escape(build)} +1( +[\d,]+){{3}}$", done.stdout, re.MULTILINE), done.stdout
    for compared in ("ours / (a)", "ours / (b)"):
        assert re.search(rf"^  {re.escape(compared)}: .+ \(goal ≥ .+\): (met|not met)$", done.stdout, re.MULTILINE)


def test_the_rendering_benchmark_renders_in_every_way_and_prints_its_table() -> None:
    options = ["--messages", "200", "--templates", "5", "--rounds", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.rendering", *options], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for way in (
        "ours",
        "ours, a loop in it",
        "ours, one of 5 templates",
        "ours, 5 templates in turn",
        "(a) str.format, ready values",
        "(b) minijinja alone",
    ):
        assert re.search(rf"^  {re.escape(way)} +1( +[\d,]+){{3}}", done.stdout, re.MULTILINE), done.stdout
    assert re.search(
        r"^  one of many templates / the only one: .+ \(goal ≥ .+\): (met|not met)$", done.stdout, re.MULTILINE
    )
