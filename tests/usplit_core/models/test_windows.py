from collections.abc import Sequence

import pytest
import torch

from tests.usplit_core.models.networks import image, network
from usplit_core.models import hvae
from usplit_core.models.layers import centre_crop, without_margin
from usplit_core.models.windows import Windows, needed_windows, whole_windows

variants = pytest.mark.parametrize(
    ("variant", "lc_depth", "depth"),
    [("vanilla", 0, 3), ("lean", 2, 3), ("lean", 2, 2), ("regular", 3, 3), ("regular", 1, 2), ("deep", 2, 5)],
)
sizes_and_margins = pytest.mark.parametrize(("size", "margin"), [(32, 0), (64, 16), (80, 7)])


@variants
@sizes_and_margins
def test_leaving_out_what_nobody_sees_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, variant: str, lc_depth: int, depth: int, size: int, margin: int
) -> None:
    model = network("hvae", variant, lc_depth=lc_depth, depth=depth, patch_px=32).eval()
    with torch.no_grad():
        maps = model.encode(image(1, 1 + lc_depth, size, 96))
        latents = [image(1, 4, *x.shape[-2:]) for x in maps]
        pruned = model.decode(maps, latents=latents, with_kl=False, margin_px=margin)
        monkeypatch.setattr(hvae, "needed_windows", whole_windows)
        whole = model.decode(maps, latents=latents, with_kl=False)
    assert pruned.log_variance is not None
    assert whole.log_variance is not None
    assert pruned.mean.shape == (1, 2, size - 2 * margin, 96 - 2 * margin)
    torch.testing.assert_close(pruned.mean, without_margin(whole.mean, margin), rtol=0, atol=1e-5)
    torch.testing.assert_close(pruned.log_variance, without_margin(whole.log_variance, margin), rtol=0, atol=1e-5)


@variants
@sizes_and_margins
def test_leaving_out_in_the_encoder_too_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, variant: str, lc_depth: int, depth: int, size: int, margin: int
) -> None:
    # Nothing is drawn in this network: what it predicts follows from all maps of the encoder.
    model = network("hae", variant, lc_depth=lc_depth, depth=depth, patch_px=32).eval()
    with torch.no_grad():
        x = image(1, 1 + lc_depth, size, 96)
        pruned = model.decode(model.encode(x, margin_px=margin), with_kl=False, margin_px=margin)
        monkeypatch.setattr(hvae, "needed_windows", whole_windows)
        whole = model(x, with_kl=False)
    torch.testing.assert_close(pruned.mean, without_margin(whole.mean, margin), rtol=0, atol=1e-5)


def test_what_is_drawn_does_not_depend_on_what_is_left_out() -> None:
    model = network("hvae", "regular", lc_depth=2, depth=2, patch_px=64).eval()
    maps = model.encode(image(1, 3, 64, 64))
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        top, bottom = reversed(model.decode(maps, with_kl=False).latents)
        torch.manual_seed(0)
        expected = [torch.randn(1, 4, size, size) for size in (38, 44)]
    for latent, drawn in zip((top, bottom), expected, strict=True):
        assert latent.noise is not None
        torch.testing.assert_close(latent.noise, centre_crop(drawn, *latent.noise.shape[-2:]), rtol=0, atol=0)


def computed(windows: Windows) -> list[int]:
    return [window.entering for window in windows.levels]


def test_regular_decoder_computes_little_more_than_the_centre_of_its_maps() -> None:
    assert computed(needed_windows([64] * 4, [True] * 4, 0)) == [44, 38, 36, 34]
    assert computed(needed_windows([64] * 4, [True] * 4, 16)) == [36, 34, 34, 34]


def test_maps_that_are_not_cropped_are_needed_whole() -> None:
    sizes: Sequence[int] = (32, 16, 8, 4)
    assert needed_windows(sizes, [False] * 4, 0) == whole_windows(sizes, [False] * 4, 0)


def test_training_computes_everything_because_batch_norm_sees_every_pixel() -> None:
    model = network("hvae", "regular", lc_depth=2, depth=2, patch_px=64)
    x = image(1, 3, 64, 64)
    assert [latent.sample.shape[-1] for latent in model(x, with_kl=False).latents] == [64, 64]
    assert [latent.sample.shape[-1] for latent in model.eval()(x).latents] == [64, 64]
    assert [latent.sample.shape[-1] for latent in model(x, with_kl=False).latents] == [38, 28]


@pytest.mark.parametrize(("architecture", "variant"), [("unet", "regular"), ("bravenet", "regular")])
def test_other_networks_leave_the_margin_out(architecture: str, variant: str) -> None:
    model = network(architecture, variant, lc_depth=1, depth=2, patch_px=32).eval()
    maps = model.encode(image(1, 2, 32, 48))
    torch.testing.assert_close(
        model.decode(maps, margin_px=8).mean, without_margin(model.decode(maps).mean, 8), rtol=0, atol=0
    )
