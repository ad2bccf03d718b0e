"""Find the best student for a device and a budget: a table of its times, a search, and pruning."""

from typing import TYPE_CHECKING

from nelf.core.lazy import lazy_names

if TYPE_CHECKING:
    from nelf.fit.budget import Budget
    from nelf.fit.devices import open_device
    from nelf.fit.latency import LatencyModel, LatencyTable, check_table, read_table, subject_of
    from nelf.fit.measuring import Bench, Device, make_table
    from nelf.fit.operations import Counts, count_operations, file_megabytes
    from nelf.fit.pruning import prune_in_rounds
    from nelf.fit.search import Candidate, Search, front, plan_rungs
    from nelf.fit.space import SearchSpace
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
    "prune_in_rounds",
    "read_table",
    "subject_of",
]
