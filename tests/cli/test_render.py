"""`nelf render`: a still of a bundle."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nelf.cli.main import parse_size
from nelf.core.errors import ConfigError
from nelf.viewer.site import EXAMPLE
from tests.pipeline.commands import refused, works


@pytest.mark.slow
def test_a_still_of_the_example(tmp_path: Path) -> None:
    out = tmp_path / "still.png"
    works("render", EXAMPLE, "--out", out)
    with Image.open(out) as image:
        assert (image.size, image.mode) == ((128, 128), "RGB")
        assert np.asarray(image).std() > 5, "it shows something"
    line = refused("render", EXAMPLE, "--out", out, "--size", "256x128")
    assert "renders 128 x 128 pixels and no other size; export it in tiles" in line


def test_what_it_refuses(tmp_path: Path) -> None:
    assert "is not a .png file" in refused("render", EXAMPLE, "--out", tmp_path / "still.jpg")
    line = refused("render", EXAMPLE, "--out", tmp_path / "still.png", "--view", "nowhere")
    assert "nowhere is not a golden view" in line


@pytest.mark.parametrize("size", ["", "12", "12x", "x12", "-1x5", "0x5", "5x0", "1.5x2", "99999x1", "1x99999", "a x b"])
def test_sizes(size: str) -> None:
    with pytest.raises(ConfigError, match="is not WIDTHxHEIGHT"):
        parse_size(size)
    assert parse_size("3840x2160") == (3840, 2160)
