"""What each augmentation does to pixels and targets."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cleaner.modeling import augment as a


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def picture(side: int = 48) -> torch.Tensor:
    """Every pixel is another one: red rises to the right, green downwards, blue in checks."""
    ramp = torch.linspace(0, 255, side).round().to(torch.uint8)
    blue = ((torch.arange(side)[:, None] // 6 + torch.arange(side) // 6) % 2 * 200).to(torch.uint8)
    return torch.stack([ramp.expand(side, side), ramp[:, None].expand(side, side), blue])


def sharpness(image: torch.Tensor) -> float:
    return float(image.float().diff(dim=2).abs().mean())


def small_tiles(image: torch.Tensor) -> set[tuple[int, ...]]:
    return {tuple(image[:, y : y + 8, x : x + 8].flatten().tolist()) for y in range(0, 48, 8) for x in range(0, 48, 8)}


def colours(image: torch.Tensor) -> list[tuple[int, ...]]:
    return sorted(tuple(p) for p in image.flatten(1).T.tolist())


@pytest.mark.parametrize("name", list(a.AUGMENTATIONS))
def test_every_augmentation_keeps_size_and_type_is_decided_by_its_generator_and_leaves_its_input_alone(
    name: str,
) -> None:
    image, before = picture(), picture()
    outcomes = [a.AUGMENTATIONS[name](image, rng(seed)) for seed in range(8)]
    assert all(o.shape == image.shape and o.dtype == torch.uint8 for o in outcomes)
    assert torch.equal(image, before)
    assert torch.equal(outcomes[3], a.AUGMENTATIONS[name](image, rng(3)))
    assert any(not torch.equal(o, image) for o in outcomes)
    if name != "mirror":
        assert any(not torch.equal(outcomes[0], o) for o in outcomes[1:])


@pytest.mark.parametrize("name", list(a.AUGMENTATIONS))
@pytest.mark.parametrize("shape", [(3, 8, 8), (3, 33, 33)])
def test_every_augmentation_bears_tiny_and_odd_sizes(name: str, shape: tuple[int, int, int]) -> None:
    for seed in range(4):
        assert a.AUGMENTATIONS[name](torch.full(shape, 90, dtype=torch.uint8), rng(seed)).shape == shape


def test_mirror_swaps_left_and_right() -> None:
    assert torch.equal(a.mirror(picture(), rng()), picture().flip(2))


def test_rot90_turns_by_all_four_angles() -> None:
    image = picture()
    seen = {
        k
        for seed in range(30)
        for k in range(4)
        if torch.equal(a.rot90(image, rng(seed)), torch.rot90(image, k, (1, 2)))
    }
    assert seen == {0, 1, 2, 3}


def test_crop_shows_a_part_at_full_size() -> None:
    image = picture()
    for seed in range(10):
        red = a.crop(image, rng(seed))[0].float()
        shown = float(red.max() - red.min()) / 255  # the share of the width that is left
        assert 0.55 < shown <= 1.0
        assert (red.diff(dim=1) >= -1).all(), "the order of the pixels stays"


def test_jitter_changes_colours_within_its_range_and_no_shape() -> None:
    grey = torch.full((3, 8, 8), 100, dtype=torch.uint8)
    levels = [a.jitter(grey, rng(seed)).float() for seed in range(40)]
    assert all(float(v.std()) < 1.5 for v in levels), "an even picture stays even"
    means = [float(v.mean()) for v in levels]
    assert min(means) >= 55 and max(means) <= 145 and max(means) - min(means) > 40


def test_quality_blurs_as_150_to_190_of_380_px_do() -> None:
    image = torch.randint(0, 256, (3, 76, 76), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    ratios: dict[int, list[float]] = {0: [], 1: [], 2: []}
    for seed in range(30):
        kind = int(rng(seed).integers(3))  # JPEG alone, shrunk alone, both
        ratios[kind].append(sharpness(a.quality(image, rng(seed))) / sharpness(image))
    assert min(map(len, ratios.values())) > 3
    assert min(ratios[0]) > 0.5 and max(ratios[1] + ratios[2]) < 0.45
    assert [round(76 * s) for s in a.QUALITY_SIDES] == [30, 38]


def test_paste_leaves_a_smaller_copy_on_the_mean_colour() -> None:
    image = picture()
    mean = image.float().mean((1, 2)).round().to(torch.uint8)
    for seed in range(10):
        out = a.paste(image, rng(seed))
        canvas = (out == mean[:, None, None]).all(0)
        rows, columns = (~canvas).any(1).nonzero(), (~canvas).any(0).nonzero()
        height, width = int(rows[-1] - rows[0]) + 1, int(columns[-1] - columns[0]) + 1
        assert 0.45 * 48 <= height <= 0.97 * 48 and abs(height - width) <= 2
        assert int(canvas.sum()) >= 48 * 48 - height * width


def test_grid_shuffle_moves_tiles_and_loses_no_pixel() -> None:
    image = picture()
    for seed in range(6):
        out = a.grid_shuffle(image, rng(seed))
        assert colours(out) == colours(image)
        moved, tiles = small_tiles(out), small_tiles(image)
        assert moved == tiles, "8 px tiles lie within those of both grids"


def test_erase_puts_noise_on_one_rectangle() -> None:
    image = torch.zeros(3, 48, 48, dtype=torch.uint8)
    for seed in range(10):
        hit = (a.erase(image, rng(seed)) != 0).any(0)
        rows, columns = hit.any(1).nonzero(), hit.any(0).nonzero()
        area = int(rows[-1] - rows[0] + 1) * int(columns[-1] - columns[0] + 1)
        assert 0.015 * 48**2 <= area <= 0.27 * 48**2
        assert int(hit.sum()) >= 0.99 * area - 1


def test_steps_come_in_order_with_their_probability() -> None:
    image = picture()
    both = a.augment(image, (("mirror", 1.0), ("grid_shuffle", 0.0)), rng())
    assert torch.equal(both, image.flip(2))
    mirrored = sum(torch.equal(a.augment(image, (("mirror", 0.25),), rng(seed)), image.flip(2)) for seed in range(400))
    assert 70 < mirrored < 130


def seeded_mix(seed: int, **kind: float) -> tuple[torch.Tensor, torch.Tensor]:
    images = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 3, 16, 16).contiguous()
    targets = torch.eye(4) * torch.tensor([1.0, 1.0, 0.5, 2.0])[:, None]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return a.mix_batch(images, targets, **({"mixup": 0.0, "cutmix": 0.0} | kind))


def test_mixup_blends_pixels_and_targets_by_the_same_share() -> None:
    for seed in range(5):
        images, targets = seeded_mix(seed, mixup=1.0)
        share = float(targets[1, 1])
        assert 0 < share < 1
        assert torch.allclose(images[1], torch.full((3, 16, 16), share * 1 + (1 - share) * 0))
        assert torch.allclose(targets[3], torch.tensor([0, 0, (1 - share) * 0.5, share * 2.0])), "targets keep weights"


def test_cutmix_pastes_a_rectangle_and_shares_the_target_by_its_area() -> None:
    for seed in range(5):
        images, targets = seeded_mix(seed, cutmix=1.0)
        from_other = images[1] == 0
        assert ((images[1] == 0) | (images[1] == 1)).all()
        assert float(targets[1, 0]) == pytest.approx(float(from_other.float().mean()), abs=1e-6)
        assert float(targets[1].sum()) == pytest.approx(1.0)


def test_with_both_each_comes_and_with_neither_nothing_changes() -> None:
    kinds = {bool(((v := seeded_mix(seed, mixup=1.0, cutmix=1.0)[0][1]) % 1 == 0).all()) for seed in range(20)}
    assert kinds == {True, False} and v.shape == (3, 16, 16)
    images, targets = seeded_mix(0)
    assert (images[2] == 2).all() and targets[2, 2] == 0.5
