"""Check from a model file whether an accelerator will run it."""

from nelf.compatibility.graph import Finding, Format, Graph, Operation, Rule, TensorFacts, graph_macs, operation_macs
from nelf.compatibility.readers import read_graph
from nelf.compatibility.report import RULES, CompatibilityReport, check_compatibility

__all__ = [
    "RULES",
    "CompatibilityReport",
    "Finding",
    "Format",
    "Graph",
    "Operation",
    "Rule",
    "TensorFacts",
    "check_compatibility",
    "graph_macs",
    "operation_macs",
    "read_graph",
]
