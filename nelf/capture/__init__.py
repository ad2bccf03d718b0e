"""Raw photos and videos become scenes: structure from motion finds their camera poses."""

from typing import TYPE_CHECKING

from nelf.core.lazy import lazy_names

if TYPE_CHECKING:
    from nelf.capture.advice import check_views
    from nelf.capture.importer import Imported, PhotoFolder, Video, check_photos, import_scene
    from nelf.capture.photos import is_raw, list_photos
    from nelf.scene.config import PhotosConfig
else:
    __getattr__ = lazy_names(__name__)

__all__ = [
    "Imported",
    "PhotoFolder",
    "PhotosConfig",
    "Video",
    "check_photos",
    "check_views",
    "import_scene",
    "is_raw",
    "list_photos",
]
