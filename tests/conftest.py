"""Shapes and types of every annotated function of nelf are checked while the tests run."""

import os
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")

import absl.logging
import jaxtyping

jaxtyping.install_import_hook("nelf", "beartype.beartype")  # before anything imports nelf

# absl, which LiteRT imports, closes the stream of its log handler when logging is configured anew, as Hydra does for a
# sweep; only the process's own streams are spared. Made while pytest captures, it would close the capture.
absl.logging.get_absl_handler().python_handler.stream = sys.__stderr__
