"""How fast a bundle is: on this machine in its runtime, or on an Android phone over adb."""

from nelf.bench.host import BenchOptions, bench
from nelf.bench.machine import usable_cores
from nelf.bench.report import Report
from nelf.bench.subject import Subject, open_subjects
from nelf.bench.table import remarks, tables

__all__ = ["BenchOptions", "Report", "Subject", "bench", "open_subjects", "remarks", "tables", "usable_cores"]
