"""The student of three levels: what coarse rays find out, middle rays make precise, and cells of pixels paint."""

from nelf.student.hierarchical.model import Hierarchical

__all__ = ["Hierarchical"]
