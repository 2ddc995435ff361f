"""Windows of an image that is read by rows, against those of an image in memory."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from usplit_core.config import DataConfig
from usplit_core.data.mixing import Statistics
from usplit_core.data.pyramid import Border
from usplit_core.data.sampling import PatchSource
from usplit_core.data.streaming import StreamedImage
from usplit_core.errors import DataError

STATISTICS = Statistics((700.0, 700.0), 0.0, (0.5, 0.5), 300.0, 90.0, (0.0, 0.0), (1.0, 1.0))


def pair(
    image: NDArray[Any], *, border: Border, lc_depth: int, background: float = 0.0
) -> tuple[StreamedImage, PatchSource, list[tuple[int, int]]]:
    """Return an image by rows, the same in memory, and what is read of it."""
    data = DataConfig(path="none.tif", border=border, background_quantile=background)
    statistics = STATISTICS._replace(background_quantile=background)
    read: list[tuple[int, int]] = []

    def rows(top: int, bottom: int) -> NDArray[Any]:
        read.append((top, bottom))
        return image[top:bottom]

    shape = (image.shape[0], image.shape[1])
    streamed = StreamedImage(rows, shape, statistics, data, border=border, lc_depth=lc_depth)
    return streamed, PatchSource.from_images(image[None], statistics, data, lc_depth=lc_depth), read


def draw_image(height: int, width: int, dtype: str = "uint16") -> NDArray[Any]:
    return np.random.default_rng(height).integers(0, 900, (height, width)).astype(dtype)


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(8, 200),
    width=st.integers(8, 60),
    lc_depth=st.integers(0, 3),
    border=st.sampled_from(["reflect", "constant"]),
    background=st.sampled_from([0.0, 0.3]),
    dtype=st.sampled_from(["uint16", "float32", "uint32", "float64"]),
    order=st.sampled_from(["down", "from the middle", "any"]),
)
def test_windows_are_those_of_the_image_in_memory(
    height: int, width: int, lc_depth: int, border: Border, background: float, dtype: str, order: str
) -> None:
    image = draw_image(height, width, dtype)
    streamed, whole, _ = pair(image, border=border, lc_depth=lc_depth, background=background)
    random = np.random.default_rng(0)
    tops = random.integers(-12, height, 30)
    if order != "any":
        tops.sort()
    for start in range(15 if order == "from the middle" else 0, 30, 5):
        top, left = tops[start : start + 5], random.integers(-12, width, 5)

        windows = streamed.windows(top, left, 16)

        assert torch.equal(windows, whole.windows(np.zeros(5, np.int64), top, left, 16))


def test_from_top_to_bottom_every_row_is_read_once_and_few_are_held() -> None:
    image = draw_image(2000, 40)
    streamed, _, read = pair(image, border="reflect", lc_depth=2)
    most = 0
    for top in range(-4, 1989, 8):  # as inner tiles of 8 px lie
        streamed.windows(np.array([top] * 5), np.arange(-4, 36, 8), 16)
        most = max(most, max(held.rows.shape[1] for held in streamed._held))

    assert [bottom for _, bottom in read[:-1]] == [top for top, _ in read[1:]]
    assert (read[0][0], read[-1][1]) == (0, 2000)
    assert most < 100


def test_an_image_too_small_for_its_context_is_refused() -> None:
    with pytest.raises(DataError, match="lc_depth"):
        pair(draw_image(2, 40), border="reflect", lc_depth=3)
