"""A bundle on disk: its manifest, its files, and its model file executed. Every reader and writer goes through here."""

from typing import TYPE_CHECKING

from nelf.core.lazy import lazy_names

if TYPE_CHECKING:
    from nelf.bundle.bundle import Bundle, Difference, Verification, open_bundle, verify_bundle
    from nelf.bundle.manifest import Manifest, read_manifest
    from nelf.bundle.region import BoxRegion, OrbitRegion, covered_region
else:
    __getattr__ = lazy_names(__name__)

__all__ = [
    "BoxRegion",
    "Bundle",
    "Difference",
    "Manifest",
    "OrbitRegion",
    "Verification",
    "covered_region",
    "open_bundle",
    "read_manifest",
    "verify_bundle",
]
