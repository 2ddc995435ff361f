import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.usplit_core.models.networks import image
from usplit_core.models.lateral import LateralMerge, context_stem
from usplit_core.models.layers import ResidualBlock, Upsample, centre_crop, centre_pad, downsample

sizes = st.integers(1, 9)


@given(height=sizes, width=sizes, rows=sizes, columns=sizes)
def test_cropping_undoes_padding(height: int, width: int, rows: int, columns: int) -> None:
    x = torch.ones(1, 1, height, width)
    padded = centre_pad(x, height + rows, width + columns)
    assert padded.shape == (1, 1, height + rows, width + columns)
    assert padded.sum() == x.sum()
    assert torch.equal(centre_crop(padded, height, width), x)


def test_resampling_halves_and_doubles_the_map() -> None:
    x = image(2, 3, 8, 12)
    halved = downsample(3, 0.0)(x)
    assert halved.shape == (2, 3, 4, 6)
    assert Upsample(3, 0.0)(halved).shape == x.shape


def test_residual_block_leaves_its_input_as_it_was() -> None:
    block, x = ResidualBlock(3, 0.0), image(2, 3, 4, 4)
    before = x.clone()
    block(x)
    assert torch.equal(x, before)


def test_dropout_acts_in_training_only() -> None:
    block, x = ResidualBlock(3, 0.5), image(2, 3, 4, 4)
    assert not torch.equal(block(x), block(x))
    block.eval()
    assert torch.equal(block(x), block(x))


def test_context_keeps_its_size_and_the_patch_lies_in_its_centre() -> None:
    merge = LateralMerge(3, 0.0).eval()
    context = context_stem(3, 0.0).eval()(image(1, 1, 16, 16))
    primary = image(1, 3, 8, 8)
    moved = primary.clone()
    moved[..., 4, 4] += 1
    difference = (merge(primary, context) - merge(moved, context)).abs().sum(dim=(0, 1)).detach()
    assert difference.shape == (16, 16)
    # (4, 4) of the patch is (8, 8) of the context; two 3×3 convolutions carry the change 2 px further.
    around = difference[6:11, 6:11].sum()
    assert around > 0
    torch.testing.assert_close(around, difference.sum())
