"""Image files, split row by row into files."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile

from tests.usplit_core.inference.fakes import structures, tiny_run, write_model
from usplit_core.config import TilingConfig
from usplit_core.data.frames import read_frames
from usplit_core.data.image_files import LazyImage, open_image
from usplit_core.data.ome_zarr import open_ome_zarr
from usplit_core.data.tiled_zarr import TiledZarr
from usplit_core.data.written_image import Layout, WrittenImage
from usplit_core.errors import CheckpointError, ConfigError, DataError, OutputError
from usplit_core.inference.file_prediction import split_file
from usplit_core.inference.prediction import Splitter

TRAIN = structures()
STACK = np.asarray(structures(frames=2, height=300, width=70, seed=3).mean(axis=1)).astype(np.uint16)
TILING = TilingConfig(padding_px=4)


@pytest.fixture(scope="module")
def splitter(tmp_path_factory: pytest.TempPathFactory) -> Splitter:
    return Splitter.load(write_model(tmp_path_factory.mktemp("model") / "best.safetensors", tiny_run(), TRAIN))


@pytest.fixture
def image(tmp_path: Path) -> Iterator[LazyImage]:
    metadata = {"axes": "ZYX", "PhysicalSizeX": 0.1, "PhysicalSizeY": 0.1}
    tifffile.imwrite(tmp_path / "cells.ome.tif", STACK, photometric="minisblack", compression="zlib", metadata=metadata)
    with open_image(str(tmp_path / "cells.ome.tif")) as opened:
        yield opened


@pytest.mark.parametrize(
    "tiling",
    [
        TILING,
        TilingConfig(padding_px=4, samples=3),
        TilingConfig(mode="outer", padding_px=8, border="constant"),
        TilingConfig(mode="sliding", padding_px=4, stride_px=4),
        TilingConfig(padding_px=4, border="shift"),
        TilingConfig(padding_px=4, remainder="left_out"),
    ],
    ids=str,
)
def test_a_file_is_split_as_the_image_in_memory(
    splitter: Splitter, image: LazyImage, tmp_path: Path, tiling: TilingConfig
) -> None:
    target = tmp_path / "split.ome.tif"

    assert split_file(splitter, image, target, tiling=tiling, batch_size=50) == "written"

    written = read_frames(str(target))
    for frame, pixels in zip(written.pixels, STACK, strict=True):
        mean, std = splitter.split_with_std(pixels, tiling=tiling, batch_size=50)
        np.testing.assert_array_equal(frame, mean if std is None else np.concatenate([mean, std]))
    names = ("dim", "bright") if len(written.pixels[0]) == 2 else ("dim", "bright", "dim std", "bright std")
    assert written.channel_names == names
    assert written.pixel_size_um == (0.1, 0.1)
    with tifffile.TiffFile(target) as file:
        assert file.series[0].axes == "ZCYX"


def test_an_ome_zarr_is_split_to_an_ome_zarr_with_its_axes_and_pixel_size(splitter: Splitter, tmp_path: Path) -> None:
    layout = Layout("TZ", (1, 2), ("cells",), 300, 70, (0.2, 0.1))
    written = WrittenImage(tmp_path / "cells.ome.zarr", layout, "abc", TiledZarr)
    for frame, pixels in enumerate(STACK):
        written.write(frame, pixels[None].astype(np.float32))
    written.finish()
    target = tmp_path / "split.ome.zarr"

    with open_image(str(tmp_path / "cells.ome.zarr")) as image:
        assert split_file(splitter, image, target, tiling=TILING, batch_size=50) == "written"
        assert split_file(splitter, image, target, tiling=TILING, batch_size=50) == "present"
        (tmp_path / "cells.ome.zarr" / "0" / "0" / "0" / "1" / "0" / "0").touch()
        assert split_file(splitter, image, target, tiling=TILING, batch_size=50) == "written"

    expected = [splitter.split(pixels.astype(np.float32), tiling=TILING, batch_size=50) for pixels in STACK]
    result = open_ome_zarr(target)
    np.testing.assert_array_equal(result.array[0].swapaxes(0, 1), expected)
    assert (result.axes, result.channel_names, result.pixel_size_um) == ("TCZYX", ("dim", "bright"), (0.2, 0.1))


@pytest.mark.parametrize("suffix", [".ome.tif", ".ome.zarr"])
def test_a_call_that_was_stopped_goes_on_and_gives_the_same(
    splitter: Splitter, image: LazyImage, tmp_path: Path, suffix: str
) -> None:
    tiling = TilingConfig(mode="sliding", padding_px=4, samples=2)
    target, whole = tmp_path / f"split{suffix}", tmp_path / f"whole{suffix}"
    split_file(splitter, image, whole, tiling=tiling, batch_size=50)

    def stop(done: int, total: int) -> None:
        if done > 0.95 * total / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        split_file(splitter, image, target, tiling=tiling, batch_size=50, progress=stop)
    assert not target.exists()

    told: list[int] = []
    outcome = split_file(
        splitter, image, target, tiling=tiling, batch_size=50, progress=lambda done, _: told.append(done)
    )

    assert outcome == "resumed"
    assert told[0] > 0.5 * told[-1] / 2  # most of the first frame was not predicted again
    np.testing.assert_array_equal(read_frames(str(target)).pixels, read_frames(str(whole)).pixels)


def test_a_finished_file_is_not_split_again(splitter: Splitter, image: LazyImage, tmp_path: Path) -> None:
    target = tmp_path / "split.ome.tif"
    split_file(splitter, image, target, tiling=TILING)

    assert split_file(splitter, image, target, tiling=TILING) == "present"
    assert split_file(splitter, image, target, tiling=TilingConfig(padding_px=2)) == "written"


def test_a_network_that_has_diverged_leaves_no_file(splitter: Splitter, image: LazyImage, tmp_path: Path) -> None:
    broken = Splitter(splitter.module, splitter.saved, splitter.device)
    weights = {name: tensor.clone() for name, tensor in splitter.module.state_dict().items()}
    try:
        broken.module.load_state_dict({name: tensor * float("nan") for name, tensor in weights.items()})
        with pytest.raises(CheckpointError, match="diverged"):
            split_file(broken, image, tmp_path / "split.ome.tif", tiling=TILING)
    finally:
        splitter.module.load_state_dict(weights)
    assert [entry.name for entry in tmp_path.iterdir()] == ["cells.ome.tif"]


def test_a_tiling_that_keeps_nothing_leaves_no_file(splitter: Splitter, image: LazyImage, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="leaves nothing"):
        split_file(splitter, image, tmp_path / "split.ome.tif", tiling=TilingConfig(padding_px=8))
    assert [entry.name for entry in tmp_path.iterdir()] == ["cells.ome.tif"]


def test_a_file_with_one_image_can_be_split_by_its_name(splitter: Splitter, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "one.tif", STACK[0])
    tifffile.imwrite(tmp_path / "two.tif", STACK, photometric="minisblack")

    np.testing.assert_array_equal(splitter.split(tmp_path / "one.tif"), splitter.split(STACK[0]))
    with pytest.raises(DataError, match="holds 2 images"):
        splitter.split(tmp_path / "two.tif")


def test_a_place_that_cannot_be_looked_at_is_one_message(splitter: Splitter, tmp_path: Path) -> None:
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, structures()[0].mean(axis=0, dtype=np.float32))
    for suffix in (".ome.tif", ".ome.zarr"):
        with (
            open_image(str(path)) as image,
            pytest.raises(OutputError, match="choose a folder that may be looked into"),
        ):
            split_file(splitter, image, tmp_path / f"{'a' * 300}{suffix}", tiling=splitter.saved.run.tiling)
