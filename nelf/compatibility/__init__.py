"""Whether a model file fits the accelerator that it is meant for, judged from the file itself."""

from nelf.compatibility.graph import Finding, Format, Graph, Operation, Rule, TensorFacts, graph_macs, operation_macs
from nelf.compatibility.readers import read_graph
from nelf.compatibility.report import RULES, CompatibilityReport, judge

__all__ = [
    "RULES",
    "CompatibilityReport",
    "Finding",
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
