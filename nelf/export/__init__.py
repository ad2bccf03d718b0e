"""Export students as bundles for phones and browsers. Each is executed and compared before it is kept."""

from typing import TYPE_CHECKING

from nelf.core.lazy import lazy_names

if TYPE_CHECKING:
    from nelf.compatibility import CompatibilityReport, check_compatibility, graph_macs, read_graph
    from nelf.export.apps import APPS, app_in, install_in_app
    from nelf.export.config import ExportConfig, plan
    from nelf.export.export import export_bundle
    from nelf.export.graph import BundleContext, CalibrationViews, Conversions, ExportGraph
    from nelf.export.targets import TARGETS
else:
    __getattr__ = lazy_names(__name__)

__all__ = [
    "APPS",
    "TARGETS",
    "BundleContext",
    "CalibrationViews",
    "CompatibilityReport",
    "Conversions",
    "ExportConfig",
    "ExportGraph",
    "app_in",
    "check_compatibility",
    "export_bundle",
    "graph_macs",
    "install_in_app",
    "plan",
    "read_graph",
]
