"""Execute model files on this machine: LiteRT, ONNX Runtime, and our interpreter of Core ML programs.

`session` and the `coreml_...` modules use PyTorch. Nothing else here does: a process that only measures a model loads
nothing but the runtime.
"""

from nelf.runtime.protocol import OperationTime, RuntimeModel
from nelf.runtime.table import RUNTIMES, Runtime, open_model

__all__ = ["RUNTIMES", "OperationTime", "Runtime", "RuntimeModel", "open_model"]
