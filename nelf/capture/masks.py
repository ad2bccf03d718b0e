"""Masks that cut an object out of its photos, by rembg (U2-Net, Qin et al. 2020)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

from nelf.capture.photos import MASKS, RawPhotos
from nelf.core.errors import ConfigError, Interrupted, NelfError, SceneError, one_line
from nelf.core.progress import ProgressLine, Stop
from nelf.scene.write import write_png

MEGABYTES = 176  # of the network that rembg downloads
BACK = {  # EXIF orientation -> what turns an upright picture back to how it is stored
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
ORIENTATION = 0x0112
LEAST, MOST = 0.005, 0.95  # share of a photo that an object may cover


def write_masks(
    raw: RawPhotos, root: Path, model: Path | None, agreed: Callable[[str], bool], stop: Stop
) -> tuple[int, list[str]]:
    """Write `root`/masks/NAME.png for each photo without a mask: 255 where the object is, in the size of the photo.

    model: ONNX file of a U2-Net; None takes rembg's own. agreed: asked before rembg downloads that.
    Returns how many were written, and the names of photos whose mask is almost empty or full.
    Raises ConfigError without rembg or a network, SceneError for a photo that cannot be read, and Interrupted when
    asked to stop: written masks stay, and the next call makes the others.
    """
    missing = [photo for photo, mask in zip(raw.photos, raw.masks, strict=True) if mask is None]
    if not missing:
        return 0, []
    session, odd = _session(model, agreed), list[str]()
    with ProgressLine("masks", len(missing), "photos") as line:
        for number, photo in enumerate(missing, start=1):
            if stop.requested:
                raise Interrupted(f"masks: stopped after {number - 1} of {len(missing)}; the same command goes on")
            mask = _mask(session, photo, raw.name)
            write_png(root / MASKS / f"{photo.name}.png", mask)
            if not LEAST < (mask > 127).mean() < MOST:
                odd.append(photo.name)
            line.update(number)
    return len(missing), odd


def _session(model: Path | None, agreed: Callable[[str], bool]) -> Any:
    """A session of rembg that executes `model`."""
    try:
        from onnxruntime import SessionOptions
        from rembg.sessions.u2net import U2netSession
    except ImportError as error:
        raise ConfigError("masks need rembg; install it: pip install 'nelf[masks]'") from error
    model = model or _network_of(U2netSession, agreed)
    if not model.is_file():
        raise ConfigError(f"--model {model} does not exist; give the ONNX file of a U2-Net")
    # rembg's own session for other files takes them from its own folder alone.
    take = classmethod(lambda cls, *_, **__: str(model))
    own = type("OwnSession", (U2netSession,), {"download_models": take})
    try:
        return own("u2net", SessionOptions(), providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime has errors of its own
        raise ConfigError(f"--model {model} is no network that ONNX Runtime reads: {one_line(error)}") from error


def _network_of(session: Any, agreed: Callable[[str], bool]) -> Path:
    """The file of a session's own network; rembg downloads it if it is not there and the user agrees."""
    if (found := session.resolve_existing("u2net.onnx")) is not None:
        return Path(found)
    if not agreed(f"rembg needs the network U2-Net: {MEGABYTES} MB from its releases on GitHub, kept for later."):
        raise ConfigError(
            "the network U2-Net is not here; --download fetches it once, --model FILE.onnx takes your own"
        )
    try:
        return Path(session.download_models())
    except (OSError, ValueError) as error:
        raise NelfError(
            f"rembg could not fetch the network U2-Net ({one_line(error)}); get u2net.onnx from rembg's releases on "
            "GitHub, and give it with --model"
        ) from error


def _mask(session: Any, photo: Path, name: str) -> UInt8[np.ndarray, "height width"]:
    """The mask of a photo as it is stored. The network sees it upright."""
    try:
        with Image.open(photo) as stored:
            orientation = stored.getexif().get(ORIENTATION, 1)
            upright = ImageOps.exif_transpose(stored).convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise SceneError(f"photos '{name}': {photo} cannot be read ({one_line(error)}); remove it") from error
    try:
        mask = session.predict(upright)[0].convert("L")
    except Exception as error:
        raise ConfigError(
            f"no mask of {photo.name}: --model must be the ONNX file of a U2-Net ({one_line(error)})"
        ) from error
    return np.array(mask.transpose(BACK[orientation]) if orientation in BACK else mask)
