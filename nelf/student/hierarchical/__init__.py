"""The hierarchical student: coarse rays find a depth, middle rays refine it, and cells of pixels are decoded."""

from nelf.student.hierarchical.model import Hierarchical

__all__ = ["Hierarchical"]
