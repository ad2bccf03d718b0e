"""Export students as bundles for phones and browsers. Each is executed and compared before it is kept."""

from typing import TYPE_CHECKING

from nelf.core.lazy import lazy_names

if TYPE_CHECKING:
    from nelf.compatibility import CompatibilityReport, check_compatibility, graph_macs, read_graph
    from nelf.export.apps import APPS, app_in, install_in_app
    from nelf.export.bundle import Bundle, Verification, open_bundle, verify_bundle
    from nelf.export.config import ExportConfig, plan
    from nelf.export.contract import Manifest, read_manifest
    from nelf.export.export import export_bundle
    from nelf.export.graph import BundleContext, CalibrationViews, ExportGraph
    from nelf.export.parity import Difference
    from nelf.export.region import BoxRegion, OrbitRegion
    from nelf.export.targets import TARGETS
else:
    __getattr__ = lazy_names(__name__)

__all__ = [
    "APPS",
    "TARGETS",
    "BoxRegion",
    "Bundle",
    "BundleContext",
    "CalibrationViews",
    "CompatibilityReport",
    "Difference",
    "ExportConfig",
    "ExportGraph",
    "Manifest",
    "OrbitRegion",
    "Verification",
    "app_in",
    "check_compatibility",
    "export_bundle",
    "graph_macs",
    "install_in_app",
    "open_bundle",
    "plan",
    "read_graph",
    "read_manifest",
    "verify_bundle",
]
