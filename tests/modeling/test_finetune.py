"""Training whole networks: what is learned, what stays frozen, and that neither kills nor little memory change it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from cleaner.config import EmbeddingSettings
from cleaner.dataset.store import sha256_file
from cleaner.errors import BackboneError, CleanerError, UsageError
from cleaner.modeling.batches import Sample
from cleaner.modeling.crossval import FoldedRows, cross_train
from cleaner.modeling.finetune import (
    FinetuneLearner,
    LearnerPlan,
    Views,
    choose_learner,
    freeze_bias,
    load_learner,
    predict_images,
)
from cleaner.modeling.learner import FitJob, Learner
from cleaner.modeling.networks import Blueprint, classifier_of, load_blueprint
from cleaner.modeling.objective import Objective
from cleaner.modeling.pixels import Pixels, load_pixels
from cleaner.modeling.recipes import FINETUNE_RECIPES, ROUND_RECIPES, FinetuneRecipe, find_recipe
from cleaner.modeling.training import Run, Trainer, learning_rate_share
from cleaner.progress import Silent
from tests.support.planted import single_job

TINY = "test_efficientnet"
SIDE = 32
NUM = 96
CLASSES = 3
QUICK = FinetuneRecipe(
    name="quick", learning_rate=3e-3, weight_decay=0.01, mixup=0.0, epochs=6, batch_size=16, augment=(("mirror", 0.5),)
)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], list[Path], np.ndarray]:
    """Ids and paths of pictures whose class is the channel in which stripes run, and the class numbers."""
    folder = tmp_path_factory.mktemp("drawn")
    rng = np.random.default_rng(0)
    targets = np.arange(NUM) % CLASSES
    paths = []
    for i, target in enumerate(targets):
        pixels = rng.integers(0, 90, (SIDE, SIDE, 3), dtype=np.uint8)
        pixels[:, rng.integers(4) :: 4, target] = 230
        paths.append(folder / f"{i:03}.png")
        Image.fromarray(pixels).save(paths[-1])
    return [sha256_file(p) for p in paths], paths, targets.astype(np.int64)


@pytest.fixture(scope="module")
def pixels(drawn: tuple[list[str], list[Path], np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Pixels:
    ids, paths, _ = drawn
    return load_pixels(ids, paths, SIDE, tmp_path_factory.mktemp("cache"), workers=1, progress=Silent())


def blueprint(name: str = TINY) -> Blueprint:
    settings = EmbeddingSettings(backbone=name, image_size=SIDE, precision="fp32")
    return load_blueprint(settings, "cpu", scratch=True)


@pytest.fixture
def learner(pixels: Pixels) -> FinetuneLearner:
    return FinetuneLearner(pixels, blueprint(), CLASSES, workers=1, progress=Silent())


@pytest.fixture
def sample(pixels: Pixels, drawn: tuple[list[str], list[Path], np.ndarray]) -> Sample:
    return Sample(pixels, np.arange(NUM), drawn[2], np.ones(NUM, np.float32), np.ones(NUM, np.int64))


EVEN = np.log(np.full(CLASSES, 1 / CLASSES)).astype(np.float32)


def trainer(
    sample: Sample,
    recipe: FinetuneRecipe = QUICK,
    *,
    name: str = TINY,
    objective: Any = None,
    key: str = "k",
    **run: Any,
) -> Trainer:
    plan = blueprint(name)
    objective = objective or Objective(log_prior=EVEN)
    network = plan.build(CLASSES, 0)
    freeze_bias(network, objective)
    return Trainer(network, plan, sample, recipe, objective, seed=5, key=key, run=Run(**run))


def predict(model: Any, rows: np.ndarray) -> np.ndarray:
    return np.concatenate([probs for _, probs in model.predict(rows)])


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(a[k], b[k]) for k in a)


# --- the learner ------------------------------------------------------------------------------------------------------


def test_it_learns_a_model_for_each_set_of_weights_and_never_predicts_a_class_it_has_not_seen(
    learner: FinetuneLearner, drawn: tuple[list[str], list[Path], np.ndarray]
) -> None:
    targets, rows = drawn[2], np.arange(NUM)
    weights = np.ones((2, NUM), np.float32)
    weights[0, 64:] = 0
    weights[1, targets == 2] = 0
    epochs = []
    seam: Learner = learner
    job = FitJob(
        rows=rows,
        targets=targets,
        sample_weights=weights,
        num_classes=CLASSES,
        recipe=QUICK,
        seed=0,
        on_epoch=lambda: epochs.append(1),
    )
    models = seam.fit(job)
    assert len(models) == 2 and len(epochs) == QUICK.epochs
    held_out = predict(models[0], rows[64:])
    assert held_out.dtype == np.float32 and np.allclose(held_out.sum(1), 1, atol=1e-5)
    assert (held_out.argmax(1) == targets[64:]).mean() > 0.9
    second = predict(models[1], rows)
    assert second[:, 2].max() == 0 and (second.argmax(1) == targets)[targets < 2].mean() > 0.9


def test_the_prior_is_the_frozen_bias_in_training_and_gone_in_prediction(
    learner: FinetuneLearner, sample: Sample, drawn: tuple[list[str], list[Path], np.ndarray]
) -> None:
    prior = np.log(np.array([0.7, 0.2, 0.1], np.float32))
    seen = []
    this = trainer(sample, objective=Objective(log_prior=prior), on_step=lambda: seen.append(bias.detach().clone()))
    bias = classifier_of(this.network).bias
    assert bias is not None
    before = classifier_of(this.network).weight.detach().clone()
    this.train()
    assert len(seen) == this.num_steps and all(np.array_equal(b.numpy(), prior) for b in seen)
    assert not bias.requires_grad and not torch.equal(classifier_of(this.network).weight, before)
    job = single_job(np.arange(NUM), drawn[2], CLASSES, replace(QUICK, epochs=1), seed=0)
    (model,) = learner.fit(job)
    state = model.state()
    assert not state["classifier.bias"].any()
    # by hand: the network's logits without any bias, over both views
    network = learner.load(state)
    images = torch.from_numpy(learner.pixels.take(np.arange(4))).permute(0, 3, 1, 2)
    with torch.inference_mode():
        x = learner.blueprint.prepare(images)
        features = [network.forward_head(network.forward_features(v), pre_logits=True) for v in (x, x.flip(3))]
        by_hand = sum((f @ torch.from_numpy(state["classifier.weight"]).T).softmax(1) for f in features) / 2
    assert np.allclose(predict(model, np.arange(4)), by_hand.numpy(), atol=1e-5)


def test_cross_training_takes_it_as_it_takes_the_probe(
    learner: FinetuneLearner, drawn: tuple[list[str], list[Path], np.ndarray]
) -> None:
    given = drawn[2].copy()
    wrong = np.arange(0, NUM, 16)
    given[wrong] = (given[wrong] + 1) % CLASSES
    images = FoldedRows(np.arange(NUM), given, np.arange(NUM) // 3 % 2, np.ones(NUM))
    predictions, models = cross_train(learner, images, replace(QUICK, epochs=10), seed=0)
    flagged = predictions.given_rank > 0
    assert len(models) == 2 and flagged[wrong].mean() > 0.8 and np.delete(flagged, wrong).mean() < 0.1


def test_a_prediction_does_not_depend_on_its_neighbours(learner: FinetuneLearner) -> None:
    network = learner.blueprint.build(CLASSES, 1).eval()
    together = np.concatenate([p for _, p in learner.predict_with(network, np.arange(70))])
    alone = np.concatenate([p for _, p in learner.predict_with(network, np.array([69]))])
    assert alone.shape == (1, CLASSES) and alone[0].tobytes() == together[69].tobytes()


def test_views_are_the_image_its_mirror_and_its_parts_at_each_scale() -> None:
    images = torch.arange(64.0).view(1, 1, 8, 8).expand(1, 3, 8, 8)
    assert [v.shape[-1] for v in Views().cut(images)] == [8, 8]
    cut = list(Views(scales=(1.0, 2.0), crops=5, mirrored=False).cut(images))
    assert [v.shape[-1] for v in cut] == [8, 4, 4, 4, 4, 4]
    assert cut[1][0, 0, 0, 0] == 18 and cut[2][0, 0, 0, 0] == 0 and cut[5][0, 0, -1, -1] == 63
    plan = blueprint()
    network = plan.build(CLASSES, 0).eval()
    pictures = torch.randint(0, 256, (2, 3, 48, 48), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        views = Views(scales=(1.0, 1.5), crops=1, mirrored=False)
        probs = predict_images(network, plan, views, pictures)
        whole = network(plan.prepare(pictures)).softmax(1)
        middle = network(plan.prepare(pictures[..., 8:40, 8:40])).softmax(1)
    assert torch.allclose(probs, (whole + middle) / 2, atol=1e-6)


def test_a_network_without_a_linear_end_is_refused() -> None:
    network = blueprint().build(CLASSES, 0)
    network.classifier = nn.Identity()
    with pytest.raises(BackboneError, match="cannot be fine-tuned"):
        classifier_of(network, "odd")


def test_an_unknown_recipe_is_named_with_those_there_are() -> None:
    assert find_recipe("final") is FINETUNE_RECIPES[-1]
    with pytest.raises(UsageError, match="crip") as error:
        find_recipe("crip")
    assert "cutmix" in error.value.expected


def test_recipes_differ_from_their_neighbours_in_augmentation_and_optimisation() -> None:
    names = [r.name for r in FINETUNE_RECIPES]
    assert len(names) >= 5 and len(set(names)) == len(names)
    assert FINETUNE_RECIPES[:-1] == ROUND_RECIPES and FINETUNE_RECIPES[-1].name == "final"
    for one, other in zip(FINETUNE_RECIPES, [*FINETUNE_RECIPES[1:], FINETUNE_RECIPES[0]], strict=True):
        assert (one.augment, one.cutmix, one.mixup) != (other.augment, other.cutmix, other.mixup)
        assert (one.optimizer, one.learning_rate, one.weight_decay, one.layer_decay) != (
            other.optimizer,
            other.learning_rate,
            other.weight_decay,
            other.layer_decay,
        )


def test_auto_is_the_probe_where_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_learner("auto", "cpu") == "probe" and choose_learner("finetune", "cpu") == "finetune"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_learner("auto", "auto") == "finetune" and choose_learner("probe", "cuda") == "probe"


# --- optimisation -----------------------------------------------------------------------------------------------------


def test_norms_and_biases_do_not_decay_and_lower_layers_learn_more_slowly(sample: Sample) -> None:
    this = trainer(sample, replace(QUICK, layer_decay=0.5))
    decay = {id(p): g["weight_decay"] for g in this.optimizer.param_groups for p in g["params"]}
    scale = {id(p): g["lr_scale"] for g in this.optimizer.param_groups for p in g["params"]}
    for name, parameter in this.network.named_parameters():
        if parameter.requires_grad:
            assert decay[id(parameter)] == (0.01 if parameter.ndim > 1 else 0.0), name
    parameters = dict(this.network.named_parameters())
    assert id(parameters["classifier.bias"]) not in decay, "the frozen bias is not the optimizer's"
    assert scale[id(parameters["classifier.weight"])] == 1.0
    assert scale[id(parameters["conv_stem.weight"])] < scale[id(parameters["conv_head.weight"])] <= 1.0


def test_the_learning_rate_rises_and_falls() -> None:
    shares = [learning_rate_share(i / 100, 0.1) for i in range(100)]
    assert 0 < shares[0] < 0.02 and shares[10] == 1.0 and shares[55] == pytest.approx(0.5) and shares[99] < 0.001
    assert shares[:11] == sorted(shares[:11]) and shares[10:] == sorted(shares[10:], reverse=True)


def test_norm_statistics_move_by_their_momentum_and_stay_when_frozen(sample: Sample) -> None:
    def moved(recipe: FinetuneRecipe) -> float:
        this = trainer(sample, replace(recipe, epochs=1))
        this.train()
        means = [m.running_mean for m in this.network.modules() if isinstance(m, nn.BatchNorm2d)]
        return max(float(mean.abs().max()) for mean in means if mean is not None)

    assert moved(replace(QUICK, freeze_norm=True)) == 0.0
    assert moved(replace(QUICK, norm_momentum=0.999)) < 0.2 * moved(replace(QUICK, norm_momentum=0.5))


def test_below_the_flood_level_the_gradient_turns_round(sample: Sample) -> None:
    recipe = replace(QUICK, optimizer="sgd", weight_decay=0.0, epochs=1, batch_size=NUM)

    def weights(flood: float) -> torch.Tensor:
        this = trainer(sample, recipe, objective=Objective(log_prior=EVEN, flood=flood))
        before = this.network.get_parameter("classifier.weight").detach().clone()
        this.train()
        return this.network.get_parameter("classifier.weight").detach() - before

    down, up = weights(0.0), weights(100.0)
    assert down.abs().max() > 0 and torch.allclose(down, -up, atol=1e-7)


def test_a_moving_average_is_the_result_where_the_recipe_keeps_one(sample: Sample) -> None:
    this = trainer(sample, replace(QUICK, ema=0.9))
    result = this.train()
    assert result is not this.network
    key = "classifier.weight"
    assert not torch.equal(result.state_dict()[key], this.network.state_dict()[key])
    assert torch.equal(result.state_dict()["classifier.bias"], torch.from_numpy(EVEN))


def test_early_stop_returns_the_best_epoch(sample: Sample) -> None:
    scores = iter([0.1, 0.5, 0.4, 0.3, 0.9])
    states = []

    def validate(network: nn.Module) -> float:
        states.append({k: v.clone() for k, v in network.state_dict().items()})
        return next(scores)

    this = trainer(sample)
    result = this.train(validate, patience=2)
    assert len(this.losses) == 4 and same(result.state_dict(), states[1])


def test_a_training_that_diverges_says_so(sample: Sample) -> None:
    with pytest.raises(CleanerError, match="diverged") as error:
        trainer(sample, replace(QUICK, learning_rate=1e30, warmup=0.001, clip_norm=1e30, optimizer="sgd")).train()
    assert "learning rate" in error.value.next_step


def test_repeats_are_shown_that_often_in_each_epoch(sample: Sample) -> None:
    repeats = np.ones(NUM, np.int64)
    repeats[:4], repeats[4:12] = 3, 0
    this = trainer(replace(sample, repeats=repeats), replace(QUICK, batch_size=NUM))
    _, positions = this.batches.prepare(0)
    assert np.array_equal(np.bincount(positions.numpy(), minlength=NUM), repeats)


# --- the objective ----------------------------------------------------------------------------------------------------


def test_both_forms_of_the_prior_give_the_same_loss() -> None:
    prior = np.log(np.array([0.7, 0.2, 0.1], np.float32))
    logits, targets = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)), torch.eye(3)[[0, 1, 2, 1]]
    in_loss = Objective(log_prior=prior, prior_form="loss").losses(logits, targets, None)
    as_bias = Objective(log_prior=prior).losses(logits + torch.from_numpy(prior), targets, None)
    assert torch.allclose(in_loss, as_bias)
    assert torch.allclose(
        in_loss, nn.functional.cross_entropy(logits + torch.from_numpy(prior), targets, reduction="none")
    )
    without = Objective(log_prior=prior, prior_form="none").losses(logits, targets, None)
    assert torch.allclose(without, nn.functional.cross_entropy(logits, targets, reduction="none"))


def test_smoothing_is_over_the_classes_that_are_there_and_weights_count() -> None:
    logits, targets = torch.randn(2, 3, generator=torch.Generator().manual_seed(0)), torch.eye(3)[[0, 1]]
    got = Objective(log_prior=EVEN, prior_form="none", label_smoothing=0.3).losses(logits, 2 * targets, None)
    expected = 2 * nn.functional.cross_entropy(logits, targets, reduction="none", label_smoothing=0.3)
    assert torch.allclose(got, expected)
    absent = np.array([-0.7, -0.7, -30.0], np.float32)
    far = torch.tensor([[0.0, 0.0, -50.0]])
    loss = Objective(log_prior=absent, prior_form="none", label_smoothing=0.3).losses(far, targets[:1], None)
    assert float(loss) == pytest.approx(np.log(2), abs=1e-5)


def test_a_student_that_agrees_with_its_teacher_has_nothing_to_learn_from_it() -> None:
    prior = np.log(np.array([0.7, 0.2, 0.1], np.float32))
    balanced = torch.randn(3, 3, generator=torch.Generator().manual_seed(1), requires_grad=True)
    objective = Objective(log_prior=prior, teacher_share=1.0)
    teacher = balanced.detach().softmax(1)
    loss = objective.losses(balanced + torch.from_numpy(prior), torch.eye(3), teacher).sum()
    (gradient,) = torch.autograd.grad(loss, balanced)
    assert gradient.abs().max() < 1e-5
    loss = objective.losses(balanced + torch.from_numpy(prior), torch.eye(3), teacher.roll(1, 1)).sum()
    assert torch.autograd.grad(loss, balanced)[0].abs().max() > 1e-2


# --- interruption and memory ------------------------------------------------------------------------------------------


class Interrupted(Exception):
    pass


@pytest.mark.parametrize("recipe", [replace(QUICK, cutmix=1.0, mixup=0.2, ema=0.9), replace(QUICK, optimizer="sgd")])
def test_interrupted_in_mid_epoch_it_goes_on_to_the_very_weights_of_an_undisturbed_training(
    sample: Sample, tmp_path: Path, recipe: FinetuneRecipe
) -> None:
    recipe = replace(recipe, epochs=3)
    undisturbed = trainer(sample, recipe)
    expected = undisturbed.train().state_dict()

    def stop_after(num: int) -> Any:
        left = [num]

        def on_step() -> None:
            left[0] -= 1
            if not left[0]:
                raise Interrupted

        return on_step

    for num in (4, 9):  # steps 1-4, and (three are known of) 1-9: in the first and in the second epoch of six steps
        with pytest.raises(Interrupted):
            trainer(sample, recipe, folder=tmp_path, save_every_s=0.0, on_step=stop_after(num)).train()
        document = json.loads((tmp_path / "state.json").read_text())
        assert document["step"] == num - 1 and len(list(tmp_path.glob("*.safetensors"))) == 1
    resumed = trainer(sample, recipe, folder=tmp_path)
    assert same(resumed.train().state_dict(), expected)
    assert resumed.losses == pytest.approx(undisturbed.losses)
    # a finished training is read, and none of its steps taken again
    again = trainer(sample, recipe, folder=tmp_path)
    steps: list[int] = []
    again.optimizer.register_step_pre_hook(lambda *_: steps.append(1))
    assert same(again.train().state_dict(), expected) and not steps


def test_an_interrupted_fit_of_several_models_goes_on_with_the_one_in_hand(
    learner: FinetuneLearner, drawn: tuple[list[str], list[Path], np.ndarray], tmp_path: Path
) -> None:
    weights = np.ones((2, NUM), np.float32)
    weights[0, ::3], weights[1, 1::4] = 0, 0.5

    def fit(checkpoint_dir: Path | None, on_epoch: Any = lambda: None) -> list[Any]:
        job = FitJob(
            rows=np.arange(NUM),
            targets=drawn[2],
            sample_weights=weights,
            num_classes=CLASSES,
            recipe=replace(QUICK, epochs=2),
            seed=3,
            checkpoint_dir=checkpoint_dir,
            on_epoch=on_epoch,
        )
        return learner.fit(job)

    def stop() -> None:
        raise Interrupted

    expected = fit(None)
    with pytest.raises(Interrupted):
        fit(tmp_path, on_epoch=stop)  # after two epochs of the first model
    assert [p.name for p in sorted(tmp_path.iterdir())] == ["model_0"]
    for model, other in zip(fit(tmp_path), expected, strict=True):
        assert all(np.array_equal(v, other.state()[k]) for k, v in model.state().items())
    assert not np.array_equal(expected[0].state()["conv_stem.weight"], expected[1].state()["conv_stem.weight"])


def test_a_checkpoint_of_another_training_and_a_damaged_one_do_not_count(sample: Sample, tmp_path: Path) -> None:
    first_folder = tmp_path / "first"
    first = trainer(sample, replace(QUICK, epochs=1), folder=first_folder)
    first.train()

    def num_steps(folder: Path, **given: Any) -> int:
        """How many steps a training takes that finds the checkpoint of `folder`."""
        steps: list[int] = []
        this = trainer(sample, replace(QUICK, epochs=1), folder=folder, **given)
        this.optimizer.register_step_pre_hook(lambda *_: steps.append(1))
        this.train()
        return len(steps)

    own, damaged = (Path(shutil.copytree(first_folder, tmp_path / name)) for name in ("own", "damaged"))
    (path,) = damaged.glob("*.safetensors")
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert num_steps(own) == 0
    assert num_steps(own, key="another") == num_steps(damaged) == first.num_steps


class Guarded(Silent):
    """Progress that remembers warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, message: str) -> None:
        self.warnings.append(message)


def limit_memory(this: Trainer, most: int) -> list[int]:
    """Let the network's forward run out of memory above `most` images; returns the sizes that went through."""
    sizes: list[int] = []

    def guard(module: nn.Module, arguments: tuple[torch.Tensor]) -> None:
        num = len(arguments[0])
        if num > most:
            raise torch.OutOfMemoryError(f"{num} images")
        sizes.append(num)

    this.network.register_forward_pre_hook(guard)
    return sizes


def test_out_of_memory_halves_what_is_computed_at_once_and_neither_batch_nor_result(sample: Sample) -> None:
    recipe = replace(QUICK, epochs=1, optimizer="sgd", learning_rate=0.1, mixup=0.2)
    name = "test_efficientnet_gn"  # no batch norm, whose statistics are those of the pieces
    free = trainer(sample, recipe, name=name)
    expected = free.train().state_dict()
    progress = Guarded()
    tight = trainer(sample, recipe, name=name, progress=progress)
    sizes = limit_memory(tight, 5)
    got = tight.train().state_dict()
    assert set(sizes) == {4} and tight.num_steps == free.num_steps == 6 and len(sizes) == 4 * 6
    assert all(torch.allclose(got[k], expected[k], atol=1e-4) for k in got)
    assert [g["lr"] for g in tight.optimizer.param_groups] == [g["lr"] for g in free.optimizer.param_groups]
    assert len(progress.warnings) == 2 and "4 images at once" in progress.warnings[1]
    assert "batch stays at 16" in progress.warnings[1]


def test_where_not_one_image_fits_it_says_what_to_do(sample: Sample) -> None:
    tight = trainer(sample)
    limit_memory(tight, 0)
    with pytest.raises(CleanerError, match="not even one image") as error:
        tight.train()
    assert "--image-size" in error.value.next_step


def test_other_runtime_errors_are_not_taken_for_lack_of_memory(sample: Sample) -> None:
    this = trainer(sample)

    def fail(module: nn.Module, arguments: Any) -> None:
        raise RuntimeError("something else")

    this.network.register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="something else"):
        this.train()


# --- pixels -----------------------------------------------------------------------------------------------------------


def test_pixels_are_decoded_once_and_a_damaged_shard_anew(
    drawn: tuple[list[str], list[Path], np.ndarray], tmp_path: Path
) -> None:
    ids, paths, _ = drawn
    first = load_pixels(ids, paths, SIDE, tmp_path, workers=2, progress=Silent())
    assert np.array_equal(first.take(np.array([5]))[0], np.array(Image.open(paths[5])))
    nowhere = [tmp_path / "gone"] * 3
    again = load_pixels([ids[7], ids[0], ids[7]], nowhere, SIDE, tmp_path, workers=1, progress=Silent())
    assert np.array_equal(again.take(np.arange(3)), first.take(np.array([7, 0, 7])))
    (shard,) = (tmp_path / "pixels").rglob("*.npy")
    cut = shard.read_bytes()[:1000]
    shard.unlink()  # the file that is mapped stays as it is
    shard.write_bytes(cut)
    third = load_pixels(ids, paths, SIDE, tmp_path, workers=1, progress=Silent())
    assert np.array_equal(third.take(np.arange(NUM)), first.take(np.arange(NUM)))


def test_a_learner_over_files_with_the_networks_own_resolution(
    drawn: tuple[list[str], list[Path], np.ndarray], tmp_path: Path
) -> None:
    ids, paths, _ = drawn
    weights = blueprint("test_resnet").build(7, 0).state_dict()
    save_file({k: v.contiguous() for k, v in weights.items()}, tmp_path / "w.safetensors")
    settings = EmbeddingSettings(backbone="test_resnet", weights=str(tmp_path / "w.safetensors"), image_size=40)
    plan = LearnerPlan(tuple(ids), tuple(map(str, paths)), CLASSES, settings, "cpu", str(tmp_path))
    learner = load_learner(plan, workers=1, progress=Silent())
    assert learner.pixels.size_px == 40 and learner.blueprint.image_size == 40
    assert learner.card["architecture"] == "test_resnet" and len(learner.identity) == 64
    network = learner.blueprint.build(CLASSES, 0)
    assert classifier_of(network).weight.shape[0] == CLASSES and all(p.requires_grad for p in network.parameters())
