"""What to draw: classes, their sizes, and the plan of every picture, wrong label and copy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import drawing
import drawing_made as made
import numpy as np
from PIL import Image
from scenery import Rng

Drawer = Callable[[Rng], Image.Image]

# Pairs that look alike: (class, its look-alike)
PAIRS: list[tuple[Drawer, Drawer]] = [
    (drawing.butterfly_monarch, drawing.butterfly_peacock),
    (drawing.fish_striped, drawing.fish_dotted),
    (drawing.flower_daisy, drawing.flower_pansy),
    (drawing.mushroom_toadstool, drawing.mushroom_bolete),
    (drawing.bird_robin, drawing.bird_bluetit),
    (drawing.tree_fir, drawing.tree_oak),
    (made.car_sedan, made.car_van),
    (made.cup_mug, made.cup_teacup),
    (made.house_gable, made.house_flat),
    (made.ball_soccer, made.ball_basketball),
    (made.clock_wall, made.clock_alarm),
]
DRAWERS: dict[str, Drawer] = {drawer.__name__: drawer for pair in PAIRS for drawer in pair}
DRAWERS["lighthouse"] = made.lighthouse
LOOKALIKE: dict[str, str] = {}
for _one, _two in PAIRS:
    LOOKALIKE |= {_one.__name__: _two.__name__, _two.__name__: _one.__name__}
REGULAR = list(LOOKALIKE)
RARE, JUMBLED = "lighthouse", "misc"
UPRIGHT = {"tree", "house", "car", "lighthouse"}  # things that are hardly tilted

# Pictures drawn per regular class, before noise, copies and faulty files join them
DRAWN = [94, 84, 75, 68, 63, 59, 57, 55, 53, 52, 52, 51, 51, 50, 50, 50, 50, 50, 50, 50, 50, 50]
DRAWN_LOW = 29

VARIANTS = ("palette", "grey", "alpha", "cmyk", "16bit", "exif_rotated", "animated")
QUALITIES = ("blurry", "dark", "bright", "flat")
PER_KIND = 8
NOISE_KINDS = ("chart", "table", "text", "map", "logo", "screenshot", "blank")
NOISE_UNSEEN = ("screenshot", "table")  # kinds that stay out of the seeds
NOISE_COUNT, NOISE_MODES = 98, ("palette", "alpha", "grey", "gif", "png", "jpeg", "jpeg")
# A palette or a clear ground would make a blank speckled; grey would make the letters of some logos vanish
PLAIN_MODES = {"blank": ("grey", "png", "jpeg"), "logo": ("palette", "alpha", "gif", "png", "jpeg")}
WRONG = 70  # wrong labels drawn per kind, copies under another label included
EXACT_SAME, EXACT_PIXELS, EXACT_CONFLICT = 20, 8, 12
NEAR_SAME, NEAR_OTHER = 34, 6
SEEDS_NOISE, SEEDS_GOOD = 50, 150


@dataclass(eq=False)
class Item:
    """One readable picture of the tree and everything that is true of it."""

    number: int
    given: str
    clean: str
    width: int
    height: int
    form: str = "jpg"
    noise_kind: str = ""
    mode: str = ""
    label_error: str = ""
    quality: str = ""
    variant: str = ""
    turn: int = 0
    original: Item | None = None
    copy_how: str = ""  # same bytes | same pixels | near
    conflict: bool = False
    stem: str = ""
    file_name: str = ""

    @property
    def special(self) -> bool:
        """Whether the picture already has a part to play."""
        return bool(self.noise_kind or self.label_error or self.quality or self.variant or self.original or self.turn)


def _size(rng: Rng) -> tuple[int, int]:
    """Width and height between 112 and 176, in common aspect ratios."""
    long = int(rng.integers(116, 146)) if rng.random() < 0.85 else int(rng.integers(146, 177))
    short = max(112, int(long / rng.choice([1.0, 1.1, 1.25, 1.33, 1.5])))
    return (long, short) if rng.random() < 0.65 else (short, long)


def _originals(rng: Rng) -> list[Item]:
    """The pictures of every class under their right labels."""
    items: list[Item] = []
    sizes = dict(zip(rng.permutation(REGULAR).tolist(), DRAWN, strict=True)) | {RARE: DRAWN_LOW, JUMBLED: DRAWN_LOW}
    for name in sorted(sizes):
        for turn in range(sizes[name]):
            form = str(rng.choice(["jpg", "jpeg", "JPG", "webp"], p=[0.76, 0.05, 0.03, 0.16]))
            items.append(Item(len(items), name, name, *_size(rng), form=form, turn=turn if name == JUMBLED else 0))
    return items


def _take(rng: Rng, items: list[Item], count: int, clean: str = "") -> list[Item]:
    """Random pictures of one or of all regular classes that have no part to play yet."""
    wanted = [clean] if clean else REGULAR
    free = [item for item in items if item.clean in wanted and not item.special]
    return [free[index] for index in rng.choice(len(free), count, replace=False)]


def _other(rng: Rng, clean: str, among: list[str] | None = None) -> str:
    """A regular class that is neither this one nor its look-alike, taken from `among` if that holds one."""
    for names in (among or [], REGULAR):
        fit = [name for name in names if name not in (clean, LOOKALIKE[clean])]
        if fit:
            return str(rng.choice(fit))
    raise ValueError(f"no other class than {clean}")


def _mislabel(rng: Rng, items: list[Item]) -> None:
    """Give wrong labels, half of them those of the look-alike, so that class sizes hardly change."""
    for step, name in enumerate(REGULAR):
        for item in _take(rng, items, WRONG // len(REGULAR) + (step // 2 < WRONG % len(REGULAR) // 2), name):
            item.given, item.label_error = LOOKALIKE[name], "lookalike"
    chosen = _take(rng, items, WRONG - EXACT_CONFLICT - NEAR_OTHER)
    labels = [item.clean for item in chosen]
    for item in chosen:
        item.given, item.label_error = _other(rng, item.clean, labels), "any"
        if item.given in labels:
            labels.remove(item.given)


def _odd_ways(rng: Rng, items: list[Item]) -> None:
    """Choose the pictures of odd modes, of poor quality and of uncommon formats."""
    for variant in VARIANTS:
        for turn, item in enumerate(_take(rng, items, PER_KIND)):
            item.variant, item.turn = variant, turn
            if variant in ("16bit", "animated", "alpha"):
                item.width, item.height = max(112, item.width * 4 // 5), max(112, item.height * 4 // 5)
    for quality in QUALITIES:
        for item in _take(rng, items, PER_KIND):
            item.quality = quality
    plain = _take(rng, items, 14)
    for item, form in zip(plain, ["png"] * 6 + ["bmp"] * 3 + ["tiff"] * 5, strict=True):
        item.form, item.width, item.height = form, 112, int(rng.integers(96, 118))


def _copy(original: Item, number: int, how: str, given: str = "") -> Item:
    """A copy of a picture, under its own label or another."""
    given = given or original.given
    error = "" if given == original.clean else "any"
    return Item(
        number,
        given,
        original.clean,
        original.width,
        original.height,
        form=original.form,
        label_error=error,
        original=original,
        copy_how=how,
    )


def _copies(rng: Rng, items: list[Item]) -> list[Item]:
    """Exact and near copies of pictures with right labels; marks their originals."""
    total = EXACT_SAME + EXACT_PIXELS + EXACT_CONFLICT + NEAR_SAME + NEAR_OTHER
    originals = [item for item in _take(rng, items, total + 40) if item.form in ("jpg", "webp", "jpeg", "JPG")][:total]
    ways = ["bytes"] * EXACT_SAME + ["pixels"] * EXACT_PIXELS + ["conflict"] * EXACT_CONFLICT
    ways += ["near"] * NEAR_SAME + ["near other"] * NEAR_OTHER
    copies: list[Item] = []
    for turn, (item, way) in enumerate(zip(originals, ways, strict=True)):
        given = _other(rng, item.clean) if way in ("conflict", "near other") else ""
        how = {"conflict": "bytes", "near other": "near"}.get(way, way)
        copy = _copy(item, len(items) + len(copies), how, given)
        copy.turn = turn
        if way == "pixels":
            item.form, item.width, item.height = "png", 112, int(rng.integers(90, 114))
        item.conflict = copy.conflict = way == "conflict"
        copies.append(copy)
    return copies


def _noise(rng: Rng, items: list[Item]) -> list[Item]:
    """Noise images, spread over the classes in proportion to their sizes."""
    labels = sorted(item.given for item in items)
    places = rng.permutation([labels[int(spot)] for spot in np.linspace(0, len(labels) - 1, NOISE_COUNT)])
    result = []
    for step, name in enumerate(places.tolist()):
        width, height = int(rng.integers(110, 215)), int(rng.integers(110, 190))
        kind = NOISE_KINDS[step % len(NOISE_KINDS)]
        mode = str(rng.choice(PLAIN_MODES.get(kind, NOISE_MODES)))
        variant = mode if mode in ("palette", "alpha", "grey") else "palette" if mode == "gif" else ""
        number = len(items) + step
        result.append(Item(number, name, "", width, height, noise_kind=kind, mode=mode, variant=variant))
    return result


def _stems(rng: Rng, items: list[Item]) -> None:
    """Give every picture a file name (without ending) that says nothing about it."""
    numbers = rng.permutation(9000)[: len(items)]
    for item, number in zip(items, numbers.tolist(), strict=True):
        style = str(rng.choice(["IMG_{:04d}", "DSC{:05d}", "{:04d}", "photo-{:04d}", "upload {:04d}", "p{:04d}_final"]))
        item.stem = style.format(number)


def make_plan(seed: int) -> list[Item]:
    """The plan of all readable pictures; copies come after their originals."""
    rng = np.random.default_rng([seed, 1])
    items = _originals(rng)
    _mislabel(rng, items)
    _odd_ways(rng, items)
    items += _copies(rng, items)
    items += _noise(rng, items)
    _stems(rng, items)
    return items


def choose_seeds(seed: int, items: list[Item]) -> list[Item]:
    """As many noise images of each seen kind, and good images, several of them in odd modes or of poor quality."""
    rng = np.random.default_rng([seed, 2])
    good = [item for item in items if not item.noise_kind and not item.original]
    odd = [item for item in good if item.variant]
    poor = [item for item in good if item.quality]
    plain = [item for item in good if not item.variant and not item.quality]
    seen = [kind for kind in NOISE_KINDS if kind not in NOISE_UNSEEN]
    pools = [([item for item in items if item.noise_kind == kind], SEEDS_NOISE // len(seen)) for kind in seen]
    chosen: list[Item] = []
    for pool, count in (*pools, (odd, 14), (poor, 8), (plain, SEEDS_GOOD - 22)):
        chosen += [pool[index] for index in rng.choice(len(pool), count, replace=False)]
    return chosen


def tally(items: list[Item], field: str) -> Counter[str]:
    """How often each value of a field occurs, empty values left out."""
    return Counter(str(getattr(item, field)) for item in items if getattr(item, field))
