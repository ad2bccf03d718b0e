"""Find the best student for a device and a budget: a table of its times, and a search."""

from typing import TYPE_CHECKING

from nelf.core.lazy import lazy_names

if TYPE_CHECKING:
    from nelf.fit.devices import Bench, make_table, open_device
    from nelf.fit.latency import Device, LatencyModel, LatencyTable, check_table, read_table, subject_of
    from nelf.fit.search import Candidate, Search, front, plan_rungs
    from nelf.fit.space import Budget, Counts, SearchSpace, count_operations, file_megabytes
else:
    __getattr__ = lazy_names(__name__)

__all__ = [
    "Bench",
    "Budget",
    "Candidate",
    "Counts",
    "Device",
    "LatencyModel",
    "LatencyTable",
    "Search",
    "SearchSpace",
    "check_table",
    "count_operations",
    "file_megabytes",
    "front",
    "make_table",
    "open_device",
    "plan_rungs",
    "read_table",
    "subject_of",
]
