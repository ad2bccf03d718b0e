"""LiteRT and ONNX Runtime on this machine's CPU: load a model file, run it, ask the runtime's own profiler.

Nothing here imports PyTorch, so that a process which only measures a model holds nothing but the runtime.
"""

from nelf.runtimes.model import OperationTime, RuntimeModel
from nelf.runtimes.table import RUNTIMES, Runtime, open_model

__all__ = ["RUNTIMES", "OperationTime", "Runtime", "RuntimeModel", "open_model"]
