"""Pages of looks: what is asked, and what the random looks say whatever a person does with the page."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from cleaner.scoring.noise_looks import (
    LIKELY,
    RANDOM,
    RANDOM_BLOCK,
    TELLING,
    RandomLooks,
    choose_looks,
    expected_share_left,
    random_order,
    replay_random_looks,
)

NUM, NUM_NOISE = 600, 45
Answer = Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]
"""Rows of a page (n,) and is_noise (N,) to the rows that are answered, in order."""


def all_of_them(rows: np.ndarray, is_noise: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return rng.permutation(rows)


def noise_first_and_some_left_out(rows: np.ndarray, is_noise: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    normal = rows[~is_noise[rows]]
    return np.concatenate([rows[is_noise[rows]], normal[: rng.integers(len(normal) + 1)]])


def normal_first_and_noise_put_off(rows: np.ndarray, is_noise: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    noise = rows[is_noise[rows]]
    return np.concatenate([rows[~is_noise[rows]], noise[: rng.integers(len(noise) + 1)]])


def walk(is_noise: np.ndarray, seed: int, answer: Answer, pages: int) -> tuple[RandomLooks, bool, np.ndarray]:
    """The last state of the random looks, whether the bound held after every page, and the answers."""
    rng = np.random.default_rng(seed)
    order = random_order([f"image {i}" for i in range(len(is_noise))], seed)
    prob = np.clip(0.5 * is_noise + rng.random(len(is_noise)) * 0.6, 0, 1)
    answered = np.zeros(0, np.int64)
    looks, holds = replay_random_looks(order, answered, is_noise), True
    for _ in range(pages):
        is_answered = np.isin(np.arange(len(is_noise)), answered)
        page = choose_looks(prob, is_answered, looks.open_rows, 30)
        answered = np.concatenate([answered, answer(page.rows, is_noise, rng)])
        looks = replay_random_looks(order, answered, is_noise)
        left = is_noise.copy()
        left[answered] = False
        holds &= looks.upper_left >= left.sum()
    return looks, holds, answered


def planted(seed: int, num_noise: int = NUM_NOISE) -> np.ndarray:
    return np.random.default_rng([seed, 1]).permutation(NUM) < num_noise


@pytest.mark.parametrize("answer", [all_of_them, noise_first_and_some_left_out, normal_first_and_noise_put_off])
def test_the_bound_holds_in_95_of_100_walks_however_a_page_is_answered(answer: Answer) -> None:
    held = [walk(planted(seed), seed, answer, 8)[1] for seed in range(100)]
    assert np.mean(held) >= 0.93


def test_nothing_is_asked_twice_and_the_walk_ends_with_an_exact_bound() -> None:
    looks, holds, answered = walk(planted(0), 0, all_of_them, 20)
    assert holds
    assert sorted(answered) == list(range(NUM))
    assert (len(looks.open_rows), looks.upper_left) == (0, 0)


def test_a_block_stays_open_until_all_of_it_is_answered() -> None:
    is_noise, order = planted(3), random_order([str(i) for i in range(NUM)], 3)
    none = replay_random_looks(order, np.zeros(0, np.int64), is_noise)
    assert none.open_rows.tolist() == order[:RANDOM_BLOCK].tolist()
    assert (none.num_looks, none.upper_left) == (0, NUM)
    later = replay_random_looks(order, order[1:RANDOM_BLOCK], is_noise)  # the first one is put off
    assert later.open_rows.tolist() == [order[0]]
    assert later.num_looks == 0
    whole = replay_random_looks(order, np.append(order[1:RANDOM_BLOCK], order[0]), is_noise)
    assert whole.open_rows.tolist() == order[RANDOM_BLOCK : 2 * RANDOM_BLOCK].tolist()
    assert whole.num_looks == RANDOM_BLOCK


def test_a_page_holds_likely_telling_and_random_pictures() -> None:
    rng = np.random.default_rng(0)
    prob = np.concatenate([np.full(40, 0.95), np.full(100, 0.5), np.full(460, 0.01)])
    kind = np.where(rng.random(NUM) < 0.9, 0, 1 + rng.integers(3, size=NUM))  # among the doubtful: ninety of a kind
    page = choose_looks(prob, prob == 0.95, np.arange(590, 600), 50, lambda rows: np.eye(4)[kind[rows]])
    assert dict(zip(*np.unique(page.reasons.astype(str), return_counts=True), strict=True)) == {
        LIKELY: 36,
        TELLING: 4,
        RANDOM: 10,
    }
    assert len(set(page.rows)) == 50
    assert (prob[page.rows[page.reasons != RANDOM]] == 0.5).all()
    telling = page.rows[page.reasons == TELLING]
    assert set(kind[telling]) == {0, 1, 2, 3}


def test_a_page_is_as_long_as_there_are_pictures() -> None:
    prob, answered = np.linspace(0, 1, 30), np.arange(30) < 20
    page = choose_looks(prob, answered, np.array([25, 22]), 50)
    assert sorted(page.rows) == list(range(20, 30))
    assert len(choose_looks(prob, np.ones(30, bool), np.zeros(0, np.int64), 50).rows) == 0


def test_the_order_hangs_on_the_images_alone() -> None:
    ids = [f"{i:064x}" for i in range(50)]
    order = random_order(ids, 5)
    turned = random_order(ids[::-1], 5)
    assert [ids[i] for i in order] == [ids[::-1][i] for i in turned]
    assert order.tolist() != random_order(ids, 6).tolist()


def test_what_is_likely_left_counts_images_that_stay() -> None:
    prob = np.array([0.95, 0.5, 0.1, 0.9, 0.0])
    answered = np.array([False, False, False, True, True])
    dropped = np.array([True, False, False, True, False])
    assert expected_share_left(prob, answered, dropped) == pytest.approx((0.5 + 0.1) / 3)
