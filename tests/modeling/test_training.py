"""One training: its steps, its checkpoints, and what it does when memory is short."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from cleaner.errors import CleanerError
from cleaner.modeling.batches import Sample
from cleaner.modeling.objective import Objective
from cleaner.modeling.recipes import FinetuneRecipe
from cleaner.modeling.training import Trainer
from cleaner.progress import Silent
from tests.support.networks import EVEN, NUM, QUICK, Interrupted, trainer


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(a[k], b[k]) for k in a)


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
