"""Measure the speed of bundles: on this machine in their runtime, or on an Android phone over adb."""

from nelf.benchmark.local import BenchOptions, bench, parse_threads
from nelf.benchmark.results import ModelUnderTest, Report, open_subjects
from nelf.benchmark.tables import remarks, show, tables
from nelf.core.processes import usable_cores

__all__ = [
    "BenchOptions",
    "ModelUnderTest",
    "Report",
    "bench",
    "open_subjects",
    "parse_threads",
    "remarks",
    "show",
    "tables",
    "usable_cores",
]
