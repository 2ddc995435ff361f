"""Generated frames follow from their seed and have the structure that the paper describes."""

import subprocess
import sys

import numpy as np
import pytest

from usplit_core.data import synthetic
from usplit_core.data.frames import read_frames
from usplit_core.errors import DataError


@pytest.mark.parametrize("name", ["critters-n0", "critters-n25", "glyphs"])
def test_frames_follow_from_the_seed_and_their_number(name: str) -> None:
    frames = read_frames(f"synthetic:{name}?frames=3&seed=5&size_px=96").pixels
    assert frames.shape == (3, 2, 96, 96)
    np.testing.assert_array_equal(read_frames(f"synthetic:{name}?size_px=96&seed=5&frames=2").pixels, frames[:2])
    assert not np.array_equal(read_frames(f"synthetic:{name}?frames=3&seed=6&size_px=96").pixels, frames)
    assert min(frame.max() for frame in frames.reshape(6, -1)) > 0


def test_critters_have_the_size_of_the_paper() -> None:
    frames = read_frames("synthetic:critters-n0?frames=1")
    assert frames.pixels.shape == (1, 2, 256, 256)
    assert frames.pixels.dtype == np.float32
    assert frames.channel_names == ("critters 1", "critters 2")


@pytest.mark.parametrize(("left", "right"), [(0.05, 0.31), (0.13, 0.61), (0.06, 0.61), (0.12, 0.3)])
@pytest.mark.parametrize("connecting", [0.0, 0.1])
def test_the_parts_of_a_curve_join_without_a_step(left: float, right: float, connecting: float) -> None:
    x = np.arange(0, 256, 0.1)
    (curve,) = synthetic._curves(x, np.array([256.0]), np.array([[left, right]]), connecting)
    steps = np.abs(np.diff(curve))
    assert steps.max() < 0.1 * right * 1.01
    np.testing.assert_allclose(curve[x < 115], np.sin(left * x[x < 115]))
    if not connecting:
        bends = np.abs(np.diff(curve, 2))
        assert bends.max() < (0.1 * right) ** 2 * 1.2  # the slope has no step either


def test_each_half_occurs_in_both_channels_and_only_the_pairing_differs() -> None:
    pairs = [{tuple(choice) for choice in channel} for channel in synthetic.PAIRS.tolist()]
    assert not pairs[0] & pairs[1]
    lefts, rights = ([{pair[side] for pair in channel} for channel in pairs] for side in (0, 1))
    assert lefts[0] == lefts[1]
    assert rights[0] == rights[1]


def test_a_critter_fades_with_the_distance_from_its_line() -> None:
    lines = np.zeros((1, 40, 40))
    lines[0, 20, 20] = 1
    frame = synthetic._thicken(lines, synthetic._body())[0]
    assert frame[20, 20] == pytest.approx(1)
    assert frame[23, 24] == pytest.approx(np.sqrt(2) / 5)
    assert frame[10, 20] == pytest.approx(np.sqrt(2) / 10)
    assert frame[30, 20] == 0
    lines[0, 20, 20], lines[0, 2, 2] = 0, 1
    frame = synthetic._thicken(lines, synthetic._body())[0]
    assert not frame[0].any()
    assert not frame[:, 0].any()
    assert frame[1, 1] == pytest.approx(1)


@pytest.mark.parametrize(
    ("request_text", "message"),
    [
        ("critters-n1", "did you mean 'critters-n0'"),
        ("glyphs?frame=3", "did you mean 'frames'"),
        ("glyphs?frames=0", "whole number of at least 1"),
        ("glyphs?seed=-1", "whole number of at least 0"),
        ("glyphs?seed=99999999999999999999", r"below 2\*\*63"),
        ("critters-n25?size_px=64", "at least 96 px"),
    ],
)
def test_wrong_requests_are_refused(request_text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_frames(f"synthetic:{request_text}")


def test_glyphs_without_fonts_name_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(DataError, match="pip install matplotlib"):
        read_frames("synthetic:glyphs?frames=1")


def test_the_module_does_not_load_matplotlib() -> None:
    code = "import sys, usplit_core.data.synthetic; sys.exit('matplotlib' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
