"""Raw photos and videos: camera poses by structure from motion, and a scene like any other."""

from typing import TYPE_CHECKING

from nelf.core.lazy import lazy_names

if TYPE_CHECKING:
    from nelf.photos.config import PhotosConfig
    from nelf.photos.folder import is_raw, list_photos
    from nelf.photos.importing import Imported, check_photos, import_scene
    from nelf.photos.sources import PhotoFolder, Video
else:
    __getattr__ = lazy_names(__name__)

__all__ = ["Imported", "PhotoFolder", "PhotosConfig", "Video", "check_photos", "import_scene", "is_raw", "list_photos"]
