"""How fast a bundle is: on this machine in its runtime, or on an Android phone over adb."""

from nelf.bench.host import BenchOptions, bench, parse_threads
from nelf.bench.report import Report
from nelf.bench.subject import Subject, open_subjects
from nelf.bench.table import remarks, show, tables
from nelf.processes import usable_cores

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
