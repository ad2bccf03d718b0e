"""`nelf data mask`, with a network that finds what is bright."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

from nelf.capture.masks import ORIENTATION, write_masks
from nelf.capture.photos import list_photos
from nelf.core.errors import ConfigError, Interrupted
from nelf.core.progress import Stop
from tests.pipeline.commands import refused, works

WIDTH, HEIGHT = 60, 40


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In place of a U2-Net: the sum of the channels."""
    path = tmp_path_factory.mktemp("network") / "bright.onnx"
    picture = helper.make_tensor_value_info("picture", TensorProto.FLOAT, [1, 3, 320, 320])
    mask = helper.make_tensor_value_info("mask", TensorProto.FLOAT, [1, 1, 320, 320])
    axes = helper.make_tensor("axes", TensorProto.INT64, [1], [1])
    node = helper.make_node("ReduceSum", ["picture", "axes"], ["mask"])
    graph = helper.make_graph([node], "bright", [picture], [mask], [axes])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, path)
    return path


def make_photos(folder: Path, orientation: int = 1) -> Path:
    """Three dark photos with something bright in their upper left corner, as they are stored."""
    folder.mkdir()
    for i in range(3):
        pixels = np.full((HEIGHT, WIDTH, 3), 20, np.uint8)
        pixels[:10, : 20 + i] = 230
        photo = Image.fromarray(pixels)
        exif = photo.getexif()
        exif[ORIENTATION] = orientation
        photo.save(folder / f"p{i}.png", exif=exif)
    return folder


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_mask_covers_the_photo_as_it_is_stored(orientation: int, network: Path, tmp_path: Path) -> None:
    folder = make_photos(tmp_path / "photos", orientation)
    assert write_masks(list_photos(folder), folder, network, lambda what: False, Stop()) == (3, [])
    for i, path in enumerate(list_photos(folder).masks):
        assert path is not None
        mask = np.asarray(Image.open(path))
        assert mask.shape == (HEIGHT, WIDTH)
        bright = np.zeros((HEIGHT, WIDTH), bool)
        bright[:10, : 20 + i] = True
        assert ((mask > 127) != bright).mean() < 0.02


def test_masks_that_are_there_stay(network: Path, tmp_path: Path) -> None:
    folder = make_photos(tmp_path / "photos")
    (folder / "masks").mkdir()
    own = folder / "masks" / "p1.png"
    Image.new("L", (WIDTH, HEIGHT), 255).save(own)
    before = own.read_bytes()
    assert write_masks(list_photos(folder), folder, network, lambda what: False, Stop())[0] == 2
    assert own.read_bytes() == before
    assert write_masks(list_photos(folder), folder, network, lambda what: False, Stop()) == (0, [])


def test_an_interrupted_command_goes_on(network: Path, tmp_path: Path) -> None:
    folder, stop = make_photos(tmp_path / "photos"), Stop()
    stop.requested = True
    with pytest.raises(Interrupted, match="stopped after 0 of 3"):
        write_masks(list_photos(folder), folder, network, lambda what: False, stop)
    assert write_masks(list_photos(folder), folder, network, lambda what: False, Stop())[0] == 3


def test_nothing_is_downloaded_without_asking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rembg.sessions.u2net import U2netSession

    for variable in ("U2NET_HOME", "REMBG_HOME", "XDG_DATA_HOME", "HOME"):
        monkeypatch.setenv(variable, str(tmp_path / "empty"))
    monkeypatch.setattr(U2netSession, "download_models", lambda: pytest.fail("a download"))
    folder, asked = make_photos(tmp_path / "photos"), list[str]()
    with pytest.raises(ConfigError, match=r"--download fetches it once, --model FILE\.onnx takes your own"):
        write_masks(list_photos(folder), folder, None, lambda what: bool(asked.append(what)), Stop())
    assert "176 MB" in asked[0]


def test_a_file_that_is_no_network_is_refused(network: Path, tmp_path: Path) -> None:
    folder = make_photos(tmp_path / "photos")
    with pytest.raises(ConfigError, match="does not exist; give the ONNX file"):
        write_masks(list_photos(folder), folder, tmp_path / "none.onnx", lambda what: False, Stop())
    (tmp_path / "text.onnx").write_text("no network")
    with pytest.raises(ConfigError, match=r"text\.onnx is no network that ONNX Runtime reads"):
        write_masks(list_photos(folder), folder, tmp_path / "text.onnx", lambda what: False, Stop())


def test_the_command(network: Path, tmp_path: Path) -> None:
    folder = make_photos(tmp_path / "photos")
    dark = Image.new("RGB", (WIDTH, HEIGHT), 0)
    dark.putpixel((5, 5), (255, 255, 255))
    dark.save(folder / "dark.png")
    outcome = works("data", "mask", folder, "--model", network)
    first, second = outcome.out.splitlines()
    assert first == f"{folder / 'masks'}: 4 new masks, 0 kept; look at them before you go on"
    assert second.startswith("problem: the mask of dark.png is almost empty or full; draw it by hand")
    (folder / "masks" / "dark.png.png").unlink()
    (folder / "dark.png").write_bytes((folder / "p1.png").read_bytes()[:90])
    assert "dark.png cannot be read" in refused("data", "mask", folder, "--model", network)
