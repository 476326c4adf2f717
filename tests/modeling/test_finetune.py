"""The fine-tuning learner: what it learns and predicts, and that an interrupted fit goes on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from cleaner.config import EmbeddingSettings
from cleaner.modeling.batches import Sample
from cleaner.modeling.crossval import FoldedRows, cross_train
from cleaner.modeling.finetune import (
    FinetuneLearner,
    LearnerPlan,
    Views,
    choose_learner,
    load_learner,
    predict_images,
)
from cleaner.modeling.learner import FitJob, Learner
from cleaner.modeling.networks import classifier_of
from cleaner.modeling.objective import Objective
from cleaner.modeling.pixels import Pixels
from cleaner.progress import Silent
from tests.support.networks import CLASSES, NUM, QUICK, Interrupted, blueprint, trainer
from tests.support.planted import single_job


@pytest.fixture
def learner(pixels: Pixels) -> FinetuneLearner:
    return FinetuneLearner(pixels, blueprint(), CLASSES, workers=1, progress=Silent())


def predict(model: Any, rows: np.ndarray) -> np.ndarray:
    return np.concatenate([probs for _, probs in model.predict(rows)])


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


def test_auto_is_the_probe_where_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_learner("auto", "cpu") == "probe" and choose_learner("finetune", "cpu") == "finetune"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_learner("auto", "auto") == "finetune" and choose_learner("probe", "cuda") == "probe"


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
