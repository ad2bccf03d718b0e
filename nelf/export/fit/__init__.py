"""Whether a model file fits the accelerator that it is meant for, judged from the file itself."""

from nelf.export.fit.findings import Finding, Rule
from nelf.export.fit.graph import Format, Graph, Operation, TensorFacts, graph_macs, operation_macs
from nelf.export.fit.read import read_graph
from nelf.export.fit.report import Fit, judge
from nelf.export.fit.rules import RULES

__all__ = [
    "RULES",
    "Finding",
    "Fit",
    "Format",
    "Graph",
    "Operation",
    "Rule",
    "TensorFacts",
    "graph_macs",
    "judge",
    "operation_macs",
    "read_graph",
]
