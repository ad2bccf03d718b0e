"""Executes the program of a bundle: its parts, in their runtimes, with bounded memory.

Without choosing, the same program renders stills of any size, tile by tile. As in FastPathology (Pedersen et al. 2021),
only the tiles of one batch are with the network at any time.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, UInt8
from numpy.typing import NDArray

from nelf.bundle.contents import safe_path
from nelf.bundle.manifest import MANIFEST, Manifest, read_manifest
from nelf.bundle.tiles import (
    BLOCK,
    COLOUR,
    DETAIL,
    ESTIMATES,
    IMAGE,
    INSIDE,
    PLANE,
    POSE,
    STATE,
    Grid,
    TileProgram,
    cover,
    grid_of,
    windows,
)
from nelf.core.errors import BundleError, BundleErrorCode, ConfigError, ExportError
from nelf.runtime import RUNTIMES, OperationTime, RuntimeModel
from nelf.runtime.protocol import Arrays

Paste = Callable[[slice, slice, NDArray[np.float32]], None]
"""Takes rows, columns and values of a part of the picture."""


@dataclass(frozen=True)
class Picture:
    """Size in pixels and lens (fx, fy, cx, cy, pixel centres at +0.5) of what is rendered."""

    height: int
    width: int
    intrinsics: tuple[float, float, float, float]

    def enlarged(self, height: int, width: int) -> "Picture":
        """The same camera's picture in another size. Its height shows the same; its width shows less or more."""
        fx, fy, cx, cy = self.intrinsics
        scale = height / self.height
        return Picture(height, width, (fx * scale, fy * scale, (cx - self.width / 2) * scale + width / 2, cy * scale))

    def plane(self, left: int, top: int) -> list[float]:
        """u and v of the image plane at the corner of a pixel, and their steps to the next column and row."""
        fx, fy, cx, cy = self.intrinsics
        return [(left - cx) / fx, -(top - cy) / fy, 1 / fx, -1 / fy]


class TileModel:
    """The parts of a program, loaded. Called like a model file: pose in, image out."""

    def __init__(
        self,
        program: TileProgram,
        picture: Picture,
        channels: int,
        first: RuntimeModel,
        decoder: RuntimeModel,
        *,
        choose: bool = True,
    ) -> None:
        """channels: of the image. choose: whether `run` leaves blocks to the first part."""
        self.program, self.picture, self.channels, self.choose = program, picture, channels, choose
        self.first, self.decoder = first, decoder
        self.tiles = 0
        """Tiles that the last picture took."""
        size = [side + 2 * program.tile_reach for side in program.tile]
        self._tiles = np.zeros((program.batch, *size, program.channels), np.float32)
        self._planes = np.zeros((program.batch, 4), np.float32)

    @property
    def inputs(self) -> Mapping[str, tuple[tuple[int, ...], str]]:
        """See `RuntimeModel`."""
        return {POSE: ((1, 3, 4), "float32")}

    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """See `RuntimeModel`."""
        image = np.zeros((self.picture.height, self.picture.width, self.channels), np.float32)

        def paste(rows: slice, columns: slice, values: NDArray[np.float32]) -> None:
            image[rows, columns] = values

        self._render(inputs[POSE], self.picture, paste, self.choose)
        return {IMAGE: image[None]}

    def profile(self, inputs: Arrays, frames: int) -> list[OperationTime]:
        """Operations of the first part, and of one call of the decoder."""
        taken = {STATE: self._tiles, PLANE: self._planes}
        plane = np.asarray([self.picture.plane(0, 0)], np.float32)
        first = self.first.profile({POSE: inputs[POSE], PLANE: plane}, frames)
        return [*first, *self.decoder.profile({POSE: inputs[POSE], **taken}, frames)]

    def everywhere(self) -> "TileModel":
        """The same parts, with every block decoded."""
        return TileModel(self.program, self.picture, self.channels, self.first, self.decoder, choose=False)

    def still(
        self, pose: Float32[np.ndarray, "1 3 4"], height: int, width: int, background: Sequence[float]
    ) -> UInt8[np.ndarray, "height width 3"]:
        """A picture of any size over `background`, every block decoded. Raises ConfigError for sizes it lacks."""
        image = np.empty((height, width, 3), np.uint8)

        def paste(rows: slice, columns: slice, values: NDArray[np.float32]) -> None:
            colour = values[..., :3]
            if values.shape[2] == 4:
                colour = colour + (1 - values[..., 3:].clip(0, 1)) * np.asarray(background, np.float32)
            image[rows, columns] = np.rint(colour.clip(0, 1) * 255)

        self._render(pose, self.picture.enlarged(height, width), paste, choose=False)
        return image

    def _render(self, pose: NDArray[Any], picture: Picture, paste: Paste, choose: bool) -> None:
        try:
            grid = grid_of(self.program, picture.height, picture.width)
        except ValueError as error:
            raise ConfigError(f"no picture of {picture.width} x {picture.height} pixels: {error}") from error
        reach = self.program.tile_reach
        state = np.zeros((grid.rows + 2 * reach, grid.columns + 2 * reach, self.program.channels), np.float32)
        needed = np.ones((grid.rows, grid.columns), bool)
        for down, across in itertools.product(
            windows(grid.rows, self.program.window[0], self.program.window_reach),
            windows(grid.columns, self.program.window[1], self.program.window_reach),
        ):
            corner = picture.plane(across.start * BLOCK - grid.left, down.start * BLOCK - grid.top)
            found = self.first.run({POSE: pose, PLANE: np.asarray([corner], np.float32)})
            rows, columns = (slice(one.begin, one.end) for one in (down, across))
            inner = tuple(slice(one.begin - one.start, one.end - one.start) for one in (down, across))
            state[reach:, reach:][rows, columns] = found[STATE][0][inner]
            if choose:
                needed[rows, columns] = self._choose(found[ESTIMATES][0][inner], grid, picture, paste, rows, columns)
        self._decode(pose, picture, paste, grid, state, needed)

    def _choose(
        self,
        estimates: Float32[np.ndarray, "rows columns channels"],
        grid: Grid,
        picture: Picture,
        paste: Paste,
        rows: slice,
        columns: slice,
    ) -> Bool[np.ndarray, "rows columns"]:
        """Paints easy blocks; returns which need the decoder."""
        filled = estimates[..., INSIDE] >= self.program.empty_below
        easy = filled & (estimates[..., DETAIL] < self.program.easy_below)
        for row, column in np.argwhere(easy):
            colour = np.broadcast_to(estimates[row, column, COLOUR:].clip(0, 1), (BLOCK, BLOCK, self.channels))
            _paste_block(paste, colour, picture, grid, rows.start + int(row), columns.start + int(column))
        return filled & ~easy

    def _decode(
        self,
        pose: NDArray[Any],
        picture: Picture,
        paste: Paste,
        grid: Grid,
        state: Float32[np.ndarray, "tall wide channels"],
        needed: Bool[np.ndarray, "rows columns"],
    ) -> None:
        """Runs the decoder on tiles over the needed blocks."""
        places = cover(needed, self.program.tile)
        self.tiles = len(places)
        _, height, width, _ = self._tiles.shape
        for start in range(0, len(places), self.program.batch):
            batch = places[start : start + self.program.batch]
            for number, (row, column) in enumerate(batch):
                self._tiles[number] = state[row : row + height, column : column + width]
                self._planes[number] = picture.plane(column * BLOCK - grid.left, row * BLOCK - grid.top)
            images = self.decoder.run({POSE: pose, STATE: self._tiles, PLANE: self._planes})[IMAGE]
            for image, (row, column) in zip(images, batch, strict=False):
                _paste_block(paste, image, picture, grid, row, column)


def _paste_block(paste: Paste, image: NDArray[np.float32], picture: Picture, grid: Grid, row: int, column: int) -> None:
    """Paste what of `image`, whose first block is that of `row` and `column`, is in the picture."""
    top, left = row * BLOCK - grid.top, column * BLOCK - grid.left
    first, last = max(top, 0), min(top + image.shape[0], picture.height)
    begin, end = max(left, 0), min(left + image.shape[1], picture.width)
    if first < last and begin < end:
        paste(slice(first, last), slice(begin, end), image[first - top : last - top, begin - left : end - left])


def picture_of(manifest: Manifest) -> Picture:
    """What the bundle's model shows."""
    return Picture(manifest.image.height, manifest.image.width, manifest.camera.intrinsics)


def load_program(folder: Path, manifest: Manifest, threads: int) -> TileModel:
    """The parts of the program in `manifest`. Raises BundleError for files of a type that nothing here executes."""
    assert manifest.program is not None
    loaded = []
    for name in manifest.program.parts:
        path = safe_path(folder, name)
        if path.suffix not in RUNTIMES:
            message = f"{folder} has a part of the type {path.suffix!r}; verify it with the nelf that made it"
            raise BundleError(message, BundleErrorCode.UNSUPPORTED_TARGET)
        loaded.append(RUNTIMES[path.suffix].open(path, threads))
    first, decoder = loaded
    return TileModel(manifest.program, picture_of(manifest), manifest.image.channels, first, decoder)


def open_model(path: Path, threads: int) -> TileModel:
    """The program of the bundle with the manifest `path`; see `nelf.runtime.table`."""
    manifest = read_manifest(path.parent)
    if path.name != MANIFEST or manifest.program is None:
        raise ExportError(f"{path} is not the manifest of a bundle with a program")
    return load_program(path.parent, manifest, threads)
