"""Shapes and types of every annotated function of nelf are checked while the tests run."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import jaxtyping

jaxtyping.install_import_hook("nelf", "beartype.beartype")  # before anything imports nelf
