"""Programs of bundles in tiles, executed: with parts that are arithmetic here, with exported ones in tests/export."""

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nelf.bundle.bundle import load_program
from nelf.bundle.manifest import Manifest
from nelf.bundle.tiles import BLOCK, COLOUR, DETAIL, INSIDE, Picture, TileModel, calls_for, grid_of, windows
from nelf.core.errors import BundleError, ConfigError
from nelf.runtime.protocol import Arrays, OperationTime, Signature
from nelf.student import tiles as cutting
from tests.vectors import tiles as formulas
from tests.vectors.manifests import MANIFESTS
from tests.vectors.tiles import PICTURE, WINDOWS
from tests.vectors.tiles import PROGRAM as VECTOR_PROGRAM

PROGRAM = VECTOR_PROGRAM.model_copy(update={"blocks": [9], "channels": 2, "empty_below": 0.5, "easy_below": -4.0})
POSE = np.eye(3, 4, dtype=np.float32)[None]


class Part:
    """A part of arithmetic: image-plane coordinates are all that it looks at."""

    signatures: Sequence[Signature] = ()

    def __init__(self, picture: Picture) -> None:
        self.picture, self.calls = picture, 0

    def pixel(self, plane: NDArray[np.float32]) -> tuple[int, int]:
        """Row and column of a corner, after a check that the steps are those of a pixel."""
        fx, fy, cx, cy = self.picture.intrinsics
        assert plane[2:] == pytest.approx([1 / fx, -1 / fy], rel=1e-6)
        return round(float(-plane[1] * fy + cy)), round(float(plane[0] * fx + cx))

    def profile(self, inputs: Arrays, frames: int) -> list[OperationTime]:
        return [OperationTime(type(self).__name__, 1.0)]


class First(Part):
    """The state is a block's place. Blocks above the diagonal are empty, those on it easy and grey."""

    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        top, left = self.pixel(inputs["plane"][0])
        grid = grid_of(PROGRAM, self.picture.height, self.picture.width)
        row, column = (top + grid.top) // BLOCK, (left + grid.left) // BLOCK
        self.calls += 1
        rows, columns = np.mgrid[row : row + 4, column : column + 4].astype(np.float32)
        wrong = np.zeros((4, 4), bool)  # as far as the window does not see, it is wrong
        wrong[: 0 if row == 0 else 1] = wrong[4 if row + 4 == grid.rows else 3 :] = True
        wrong[:, : 0 if column == 0 else 1] = wrong[:, 4 if column + 4 == grid.columns else 3 :] = True
        state = np.where(wrong[..., None], -99, np.stack([rows + 1, columns + 1], axis=-1))
        estimates = np.zeros((4, 4, 2 + 3), np.float32)
        estimates[..., INSIDE] = rows >= columns
        estimates[..., DETAIL] = np.where(rows == columns, -5, 0)
        estimates[..., COLOUR:] = 0.5
        return {"state": state[None], "estimates": estimates[None]}


class Decoder(Part):
    """A pixel shows its row, its column, and its block's place."""

    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        self.calls += 1
        images = []
        grid = grid_of(PROGRAM, self.picture.height, self.picture.width)
        places = inputs["state"].tolist()
        for state, plane, around in zip(inputs["state"], inputs["plane"], inputs["neighbours"], strict=True):
            if not plane.any():  # of a call that is not full
                images.append(np.zeros((BLOCK, BLOCK, 3)))
                continue
            top, left = self.pixel(plane)
            row, column = (top + grid.top) // BLOCK, (left + grid.left) // BLOCK
            assert state.tolist() == [row + 1, column + 1]
            for number, (down, across) in zip(around, itertools.product(range(3), range(3)), strict=True):
                outside = not (0 < row + down <= grid.rows and 0 < column + across <= grid.columns)
                assert (number == PROGRAM.blocks[0] + 1) == outside
                if number < PROGRAM.blocks[0]:
                    assert places[int(number)] == [row + down, column + across]
            rows, columns = np.mgrid[top : top + BLOCK, left : left + BLOCK]
            images.append(np.stack([rows, columns, np.full(rows.shape, 100 * state[0] + state[1])], axis=-1))
        return {"image": np.stack(images).astype(np.float32)}


def model(picture: Picture = PICTURE) -> TileModel:
    return TileModel(PROGRAM, PICTURE, 3, First(picture), Decoder(picture))


def expected(picture: Picture) -> NDArray[np.float32]:
    grid = grid_of(PROGRAM, picture.height, picture.width)
    rows, columns = np.mgrid[: picture.height, : picture.width]
    blocks = 100 * ((rows + grid.top) // BLOCK + 1) + (columns + grid.left) // BLOCK + 1
    return np.stack([rows, columns, blocks], axis=-1).astype(np.float32)


def test_every_block_is_where_it_belongs() -> None:
    image = model().everywhere().run({"pose": POSE})["image"]
    np.testing.assert_array_equal(image[0], expected(PICTURE))


def test_blocks_are_left_out_and_painted() -> None:
    tiled = model()
    image = tiled.run({"pose": POSE})["image"][0]
    rows, columns = np.mgrid[:30, :44]
    row, column = (rows + 1) // BLOCK, (columns + 2) // BLOCK
    np.testing.assert_array_equal(image[row > column], expected(PICTURE)[row > column])
    assert (image[row == column] == 0.5).all()
    assert (image[row < column] == 0).all()
    assert tiled.drawn.sum() == 6
    assert isinstance(tiled.decoder, Decoder)
    assert tiled.decoder.calls == 1


def test_a_still_is_larger_than_a_window() -> None:
    """37 x 91 pixels are 5 x 12 blocks; the windows begin at even blocks, so there are 6 rows of blocks."""
    large = PICTURE.enlarged(37, 91)
    assert large.intrinsics == pytest.approx((50 * 37 / 30, 51.5 * 37 / 30, 2.25 * 37 / 30 + 45.5, 16.5 * 37 / 30))
    tiled = model(large)
    still = tiled.still(POSE, 37, 91, (1.0, 1.0, 1.0))
    shown = (expected(large).clip(0, 1) * 255).astype(np.uint8)
    np.testing.assert_array_equal(still, shown)
    assert grid_of(PROGRAM, 37, 91) == (6, 12, 5, 2)


@pytest.mark.parametrize(("height", "width"), [(24, 44), (30, 24)])
def test_a_still_is_not_smaller_than_a_window(height: int, width: int) -> None:
    with pytest.raises(ConfigError, match="this program renders sides of at least 25 pixels"):
        model().still(POSE, height, width, (1.0, 1.0, 1.0))


def test_a_window_that_sees_too_little_is_the_whole_picture() -> None:
    wide = PROGRAM.model_copy(update={"window": [4, 6], "window_reach": 4})
    tiled = TileModel(wide, PICTURE, 3, First(PICTURE), Decoder(PICTURE))
    with pytest.raises(ConfigError, match="this program renders sides of at most 32 pixels"):
        tiled.still(POSE, 60, 88, (1.0, 1.0, 1.0))


def test_its_profile_is_of_both_parts() -> None:
    assert [one.kind for one in model().profile({"pose": POSE}, 3)] == ["First", "Decoder"]


def test_a_short_call_after_a_long_one() -> None:
    """Places that the long one left behind would be beyond the short one's end."""
    program = VECTOR_PROGRAM.model_copy(update={"blocks": [9, 24]})

    def render(tiled: TileModel, inside: float) -> NDArray[np.float32]:
        pose = np.array([[[1, 0, 0, inside], [0, 1, 0, 100], [0, 0, 1, 7]]], np.float32)
        image: NDArray[np.float32] = tiled.run({"pose": pose})["image"]
        return image

    used, fresh = (
        TileModel(program, PICTURE, 3, formulas.First(program, PICTURE, 3), formulas.Decoder(program, PICTURE, 3))
        for _ in range(2)
    )
    render(used, 100)
    assert used.drawn.sum() == 24
    np.testing.assert_array_equal(render(used, -30), render(fresh, -30))
    assert 0 < used.drawn.sum() < 9


@pytest.mark.parametrize(("length", "size", "reach"), WINDOWS)
def test_windows_cover(length: int, size: int, reach: int) -> None:
    """Each block once, by a window that sees as far around it as it must, or to the picture's edge."""
    found = windows(length, size, reach)
    assert [block for one in found for block in range(one.begin, one.end)] == list(range(length))
    for start, begin, end in found:
        assert start % 2 == 0
        assert 0 <= start <= length - size
        assert start == 0 or begin - start >= reach
        assert start + size == length or start + size - end >= reach


def test_calls_draw_each_block_once() -> None:
    """With all needed blocks within the reach of those that they draw, and no more blocks than a call takes."""
    chance = np.random.default_rng(0)
    for _ in range(50):
        rows, columns = chance.integers(3, 20, 2)
        reach = int(chance.integers(0, 3))
        size = int(chance.integers((2 * reach + 1) ** 2, 60))
        needed = chance.random((rows, columns)) < chance.random()
        drawn = np.zeros(needed.shape, int)
        for call in calls_for(needed, size, reach):
            assert len(call.rows) <= size
            taken = np.zeros_like(needed)
            taken[call.rows, call.columns] = True
            for row, column in zip(call.rows[call.drawn], call.columns[call.drawn], strict=True):
                near = (slice(max(n - reach, 0), n + reach + 1) for n in (row, column))
                place = tuple(near)
                assert np.array_equal(taken[place], needed[place])
                drawn[row, column] += 1
        assert np.array_equal(drawn, needed)


def test_student_and_bundle_mean_the_same_blocks() -> None:
    assert (cutting.BLOCK, cutting.INSIDE, cutting.DETAIL, cutting.COLOUR) == (BLOCK, INSIDE, DETAIL, COLOUR)


@pytest.mark.parametrize("name", ["parts/first.bin", "parts/manifest.json"])
def test_a_part_that_nothing_executes_is_refused(name: str, tmp_path: Path) -> None:
    """A manifest would be a program inside a program, without end."""
    tiled = Manifest.model_validate_json(json.dumps(MANIFESTS["tiles"]))
    assert tiled.program is not None
    changed = tiled.model_copy(update={"program": tiled.program.model_copy(update={"first": name})})
    with pytest.raises(BundleError, match=rf"a model file of the type '\{Path(name).suffix}'"):
        load_program(tmp_path, changed, 1)


def test_the_last_still_frees_the_first_part() -> None:
    tiled = model()
    still = tiled.still(POSE, 30, 44, (1.0, 1.0, 1.0))
    np.testing.assert_array_equal(tiled.still(POSE, 30, 44, (1.0, 1.0, 1.0), last=True), still)
    assert not hasattr(tiled, "first")
