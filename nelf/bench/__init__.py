"""How fast a bundle is: on this machine in its runtime, or on an Android phone over adb."""

from nelf.bench.host import BenchOptions, bench, parse_threads
from nelf.bench.machine import usable_cores
from nelf.bench.report import Report
from nelf.bench.subject import Subject, open_subjects
from nelf.bench.table import remarks, show, tables

__all__ = [
    "BenchOptions",
    "Report",
    "Subject",
    "bench",
    "open_subjects",
    "parse_threads",
    "remarks",
    "show",
    "tables",
    "usable_cores",
]
