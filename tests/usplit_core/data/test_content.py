"""The content hash sees every pixel, and neither the memory layout nor the size of its pieces."""

from itertools import pairwise

import numpy as np
import pytest

from usplit_core.data import content
from usplit_core.data.content import content_hash

FRAMES = np.random.default_rng(0).integers(0, 4000, (5, 2, 20, 30), np.uint16)


def test_it_sees_type_shape_and_every_pixel() -> None:
    changed = FRAMES.copy()
    changed[-1, -1, -1, -1] += 1
    variants = [FRAMES, changed, FRAMES.astype(np.int32), FRAMES.reshape(5, 2, 30, 20), FRAMES[:4], FRAMES[::-1]]
    hashes = [content_hash(pixels) for pixels in variants]
    assert len(set(hashes)) == len(variants)
    assert all(len(found) == 32 and int(found, 16) for found in hashes)


def test_it_does_not_see_byte_order_and_memory_layout() -> None:
    layouts = [
        FRAMES.astype(">u2"),
        np.asfortranarray(FRAMES),
        np.repeat(FRAMES, 2, axis=-1)[..., ::2],
        FRAMES[:, ::-1].copy()[:, [1, 0]],
    ]
    assert {content_hash(pixels) for pixels in layouts} == {content_hash(FRAMES)}


@pytest.mark.parametrize("piece_bytes", [1, 60 * 7, 1200, 5000])
def test_every_pixel_counts_whatever_the_pieces(monkeypatch: pytest.MonkeyPatch, piece_bytes: int) -> None:
    monkeypatch.setattr(content, "_PIECE_BYTES", piece_bytes)
    hashes = []
    for place in np.ndindex(5, 2, 4, 3):
        changed = FRAMES.copy()
        changed[place[0], place[1], place[2] * 5 :: 20, place[3] * 10 :: 30] ^= 1
        hashes.append(content_hash(changed))
    assert len({*hashes, content_hash(FRAMES)}) == len(hashes) + 1


def test_pieces_follow_each_other_and_cover_the_frames_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "_PIECE_BYTES", 60 * 7)
    blocks = [block for piece in content._pieces(FRAMES) for block in piece]
    assert np.array_equal(np.concatenate([block.ravel() for block in blocks]), FRAMES.ravel())
    assert all(len(block) <= 7 for block in blocks)
    starts = [block.__array_interface__["data"][0] for block in blocks]
    assert all(first < second for first, second in pairwise(starts))
