"""Execute model files on this machine: LiteRT, ONNX Runtime, our interpreter of Core ML programs, Core AI.

Only the `coreml_...` and `coreai` modules use PyTorch. A process that measures a LiteRT or ONNX file loads nothing but
the runtime.
"""

from nelf.runtime.protocol import INPUT, OUTPUT, OperationTime, RuntimeModel
from nelf.runtime.table import RUNTIMES, Runtime, open_model

__all__ = ["INPUT", "OUTPUT", "RUNTIMES", "OperationTime", "Runtime", "RuntimeModel", "open_model"]
