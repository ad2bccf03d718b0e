"""From a trained light field to bundles for phones and browsers, each executed and compared before it is kept."""

from nelf.export.bundle import Bundle, Verification, open_bundle, verify_bundle
from nelf.export.config import BundleContext, ExportConfig, plan
from nelf.export.contract import Manifest, read_manifest
from nelf.export.export import export_bundle
from nelf.export.graph import ExportGraph
from nelf.export.parity import Difference
from nelf.export.region import Box, Shell
from nelf.export.targets import TARGETS

__all__ = [
    "TARGETS",
    "Box",
    "Bundle",
    "BundleContext",
    "Difference",
    "ExportConfig",
    "ExportGraph",
    "Manifest",
    "Shell",
    "Verification",
    "export_bundle",
    "open_bundle",
    "plan",
    "read_manifest",
    "verify_bundle",
]
