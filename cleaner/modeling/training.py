"""The training loop: one network, one recipe; resumable at any step, with the same result in any size of micro-batch.

Shapes: B rows of a batch, K classes, S side in pixels. A step's random draws are seeded by (seed, step) alone, so the
step's number is all of the random state that a checkpoint has to hold.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from timm.optim import create_optimizer_v2
from timm.utils import ModelEmaV3
from torch import nn

from cleaner.errors import CleanerError
from cleaner.modeling.augment import mix_batch
from cleaner.modeling.batches import Batches, Sample
from cleaner.modeling.checkpoints import (
    load_checkpoint,
    pack_optimizer,
    save_checkpoint,
    under_prefix,
    unpack_optimizer,
    with_prefix,
)
from cleaner.modeling.group import ALONE, Group
from cleaner.modeling.networks import Blueprint, seeded
from cleaner.modeling.objective import Objective
from cleaner.modeling.recipes import FinetuneRecipe
from cleaner.modeling.schedule import learning_rate_share
from cleaner.progress import Progress, Silent
from cleaner.random_streams import Stream


@dataclass(frozen=True, kw_only=True)
class Run:
    """How a training runs, without effect on its result (except the last bits, by micro-batch and group)."""

    workers: int = 1
    compile: bool = False
    """Compile the network with torch.compile."""
    folder: Path | None = None
    """Where checkpoints are written and looked for; None: nowhere."""
    save_every_s: float = 60.0
    """A checkpoint is written after this long, and at the end of each epoch."""
    group: Group = ALONE
    """This worker's place among those that train the network together."""
    progress: Progress = Silent()  # noqa: RUF009 - it holds no state
    on_step: Callable[[], None] = lambda: None
    on_epoch: Callable[[], None] = lambda: None


class Trainer:
    """Trains one network by a recipe."""

    def __init__(
        self,
        network: nn.Module,
        blueprint: Blueprint,
        sample: Sample,
        recipe: FinetuneRecipe,
        objective: Objective,
        *,
        seed: int,
        key: str,
        run: Run,
    ) -> None:
        self._blueprint, self._seed, self._key, self._run = blueprint, seed, key, run
        self.network, self.sample, self.recipe, self.objective = run.group.adapt(network), sample, recipe, objective
        self.batches = Batches(sample, recipe, run.group, seed)
        self.batch_size = self.micro_batch = self.batches.size
        self.num_steps = self.batches.num_steps
        self._require_rows_for_all()
        self.step = 0
        self.losses: list[float] = []
        """Mean training loss of each finished epoch."""
        self._loss_sum = 0.0
        self._best: dict[str, Any] = {"score": -math.inf, "epoch": -1}
        self._best_state: dict[str, torch.Tensor] = {}
        self._norms = [m for m in self.network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        for norm in self._norms:
            norm.momentum = 1 - recipe.norm_momentum
        # timm leaves norms and biases without decay (filter_bias_and_bn): recipe.md, section 4
        self.optimizer = create_optimizer_v2(
            self.network,
            opt=recipe.optimizer,
            lr=recipe.learning_rate,
            weight_decay=recipe.weight_decay,
            layer_decay=recipe.layer_decay if recipe.layer_decay < 1 else None,
        )
        self.ema = ModelEmaV3(self.network, decay=recipe.ema, use_warmup=True) if recipe.ema else None
        forward = run.group.wrap(self.network)
        self._forward: Callable[[torch.Tensor], torch.Tensor] = torch.compile(forward) if run.compile else forward
        self._saved_at = time.monotonic()
        weights = torch.from_numpy(sample.weights.astype(np.float32))
        self._weights = weights / weights[torch.from_numpy(self.batches.shown)].mean().clamp_min(1e-12)

    @property
    def result(self) -> nn.Module:
        """The network as it predicts: the moving average if the recipe keeps one."""
        return self.ema.module if self.ema is not None else self.network

    def train(self, validate: Callable[[nn.Module], float] | None = None, patience: int = 0) -> nn.Module:
        """Train to the end, from the last checkpoint if there is one, and return the network in eval mode.

        With `patience` > 0 the training ends after that many epochs without an improvement by `validate` (higher is
        better), and the best network is returned. Raises CleanerError if the loss is no longer finite, or if not even
        one image fits into memory.
        """
        self._resume()
        self._require_one_step()
        stopped = bool(patience) and self._is_stale(patience)
        with contextlib.closing(self.batches.load(self.step, self._run.workers)) as batches:
            while self.step < self.num_steps and not stopped:
                loss = self._take_step(*next(batches))
                self.step += 1
                self._loss_sum += loss
                self._run.on_step()
                if self.step % self.batches.steps_per_epoch == 0:
                    self.losses.append(self._loss_sum / self.batches.steps_per_epoch)
                    self._loss_sum = 0.0
                    if validate is not None and patience:
                        self._remember_best(validate)
                        stopped = self._is_stale(patience)
                    self._save()
                    self._run.on_epoch()
                elif time.monotonic() - self._saved_at > self._run.save_every_s:
                    self._save()
        result = self.result
        if self._best_state:
            result.load_state_dict(self._best_state)
        return result.eval()

    # --- one step -----------------------------------------------------------------------------------------------------

    def _take_step(self, images: torch.Tensor, positions: torch.Tensor) -> float:
        device = self._blueprint.device
        self.network.train()
        if self.recipe.freeze_norm:
            for norm in self._norms:
                norm.eval()
        recipe = self.recipe
        share = learning_rate_share(self.step / self.num_steps, warmup=recipe.warmup, floor=recipe.floor)
        for group in self.optimizer.param_groups:
            group["lr"] = recipe.learning_rate * share * group.get("lr_scale", 1.0)
        labels = torch.from_numpy(self.sample.targets)[positions]
        targets = nn.functional.one_hot(labels, len(self.objective.log_prior)) * self._weights[positions, None]
        with seeded(device, self._seed, Stream.MIXING, self.step):
            x, targets = mix_batch(
                images.float().to(device), targets.to(device), mixup=self.recipe.mixup, cutmix=self.recipe.cutmix
            )
        _, num_before = self._run.group.part(self.batch_size)
        loss = self._accumulate(x[num_before:], targets[num_before:])
        if not math.isfinite(loss):
            raise CleanerError(
                f"training with recipe {self.recipe.name} diverged: the loss is {loss} at step {self.step}",
                next_step="use a lower learning rate, or another recipe",
            )
        if loss < self.objective.flood:  # the gradient of |loss - b| + b
            torch._foreach_neg_([p.grad for p in self.network.parameters() if p.grad is not None])
        nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip_norm)
        self.optimizer.step()
        if self.ema is not None:
            self.ema.update(self.network, step=self.step + 1)
        return loss

    def _accumulate(self, x: torch.Tensor, targets: torch.Tensor) -> float:
        """Loss of the batch, in pieces that fit into memory; its gradients are left in the parameters.

        `x`, `targets` are this worker's rows of the batch.
        """
        device, group = self._blueprint.device, self._run.group
        seeds = [self._seed, Stream.DROPOUT, self.step, *([group.rank] if group.rank else [])]
        while True:
            self.optimizer.zero_grad(set_to_none=True)
            try:
                with seeded(device, *seeds):
                    pieces = [slice(i, i + self.micro_batch) for i in range(0, len(x), self.micro_batch)]
                    loss = sum(self._backward(x[piece], targets[piece]) for piece in pieces)
                return group.total(loss, device) / group.size
            except RuntimeError as error:  # torch.OutOfMemoryError is one
                if not is_out_of_memory(error):
                    raise
            self._halve_micro_batch()

    def _backward(self, x: torch.Tensor, targets: torch.Tensor) -> float:
        device, teacher = self._blueprint.device, self.objective.teacher
        soft = None if teacher is None else teacher.probs(x)
        with torch.autocast(device.type, torch.bfloat16, enabled=self._blueprint.precision == "bf16"):
            logits = self._forward(self._blueprint.prepare(x))
        # the workers' gradients are averaged, so each weights its rows as if they were an even share of the batch
        num_rows = self.batch_size / self._run.group.size
        loss = self.objective.losses(logits.float(), targets, soft).sum() / num_rows
        loss.backward()  # type: ignore[no-untyped-call]
        return float(loss.detach())

    def _halve_micro_batch(self) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if self._run.group.size > 1:  # the others wait in the middle of a step
            raise CleanerError(
                "out of memory on one of the workers that train together",
                next_step="use more --train-workers, or a smaller --batch-size or --image-size",
            )
        if self.micro_batch == 1:
            raise CleanerError(
                "out of memory: not even one image fits",
                next_step="use a smaller --image-size, a smaller network, or another device",
            )
        self.micro_batch = -(-self.micro_batch // 2)
        self._run.progress.warn(
            f"out of memory: {self.micro_batch} images at once from now on; the batch stays at {self.batch_size}, "
            "and so does the learning rate"
        )

    # --- early stop and checkpoints -----------------------------------------------------------------------------------

    def _remember_best(self, validate: Callable[[nn.Module], float]) -> None:
        self._run.group.align(self.result)
        score = validate(self.result.eval())
        if score > self._best["score"]:
            self._best = {"score": score, "epoch": len(self.losses) - 1}
            self._best_state = {k: v.detach().clone() for k, v in self.result.state_dict().items()}

    def _is_stale(self, patience: int) -> bool:
        return bool(self._best_state) and len(self.losses) - 1 - int(self._best["epoch"]) >= patience

    def _save(self) -> None:
        self._saved_at = time.monotonic()
        if self._run.folder is None or self._run.group.rank:
            return
        tensors = with_prefix("network", self.network.state_dict()) | with_prefix("best", self._best_state)
        tensors |= with_prefix("optimizer", pack_optimizer(self.optimizer))
        if self.ema is not None:
            tensors |= with_prefix("ema", self.ema.module.state_dict())
        document = {
            "key": self._key,
            "seed": self._seed,
            "num_steps": self.num_steps,
            "micro_batch": self.micro_batch,
            "losses": self.losses,
            "loss_sum": self._loss_sum,
            "best": self._best if self._best_state else None,
        }
        save_checkpoint(self._run.folder, tensors, document, step=self.step)

    def _resume(self) -> None:
        found = None if self._run.folder is None else load_checkpoint(self._run.folder, self._key)
        if found is None:
            return
        tensors, document = found
        self.network.load_state_dict(under_prefix("network", tensors))
        unpack_optimizer(self.optimizer, under_prefix("optimizer", tensors))
        if self.ema is not None:
            self.ema.module.load_state_dict(under_prefix("ema", tensors))
        device = self._blueprint.device
        self._best_state = {k: v.to(device) for k, v in under_prefix("best", tensors).items()}
        self._best = document["best"] or self._best
        self.step, self.micro_batch = document["step"], document["micro_batch"]
        self.losses, self._loss_sum = document["losses"], document["loss_sum"]
        for _ in range(self.step):
            self._run.on_step()
        for _ in self.losses:
            self._run.on_epoch()
        self._run.progress.say(f"  training goes on at step {self.step:,} of {self.num_steps:,}")

    # --- workers that train together ----------------------------------------------------------------------------------

    def _require_rows_for_all(self) -> None:
        if self._run.group.size > self.batch_size:
            raise CleanerError(
                f"{self._run.group.size} workers for a batch of {self.batch_size} images",
                next_step="use fewer --train-workers, or a larger --batch-size",
            )

    def _require_one_step(self) -> None:
        group = self._run.group
        if group.total(self.step, self._blueprint.device) != self.step * group.size:
            raise CleanerError(
                "the workers that train together do not see the same checkpoint",
                expected="storage that all nodes share",
                next_step="use a workspace on a shared file system, or --storage URL (docs/scaling.md)",
            )


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error reports that memory is exhausted, on a GPU or in the host's allocator."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
