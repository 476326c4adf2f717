"""The loss of a training: cross-entropy under logit adjustment, smoothing, distillation, and flooding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch

PriorForm = Literal["bias", "loss", "none"]
MIN_PRIOR = -20.0
"""A log prior below this means a class without rows."""


class Teacher(Protocol):
    """Provides the class probabilities that a student learns from."""

    def probs(self, images: torch.Tensor) -> torch.Tensor:
        """Probabilities (B, K) of images (B, 3, H, W) float in 0 .. 255, without a prior."""


@dataclass(frozen=True, kw_only=True)
class Objective:
    """The loss of one training."""

    log_prior: np.ndarray
    """(K,) float32: tau times the log of each class's share of the images shown."""
    prior_form: PriorForm = "bias"
    """Where it is added in training: as the last layer's frozen bias (recipe.md section 3), in the loss, or nowhere."""
    label_smoothing: float = 0.0
    flood: float = 0.0
    """The loss of a batch is kept around this level: |loss - b| + b (Ishida et al. 2020); 0: none."""
    teacher: Teacher | None = None
    teacher_share: float = 0.5
    """Weight of the teacher's probabilities against the labels."""
    temperature: float = 2.0
    """Both sides' logits are divided by this for distillation (Hinton et al. 2015)."""

    def losses(self, logits: torch.Tensor, targets: torch.Tensor, teacher: torch.Tensor | None) -> torch.Tensor:
        """The loss (B,) of each row.

        `logits` (B, K) of the network, with its bias; `targets` (B, K) float, rows sum to the row's weight; `teacher`
        (B, K) probabilities, or None. The teacher has no prior, so it is compared with the student's logits without
        the prior.
        """
        prior = torch.as_tensor(self.log_prior, device=logits.device)
        adjusted = logits + prior if self.prior_form == "loss" else logits
        if self.label_smoothing:
            present = (prior > MIN_PRIOR).float()
            even = present / present.sum() * targets.sum(1, keepdim=True)
            targets = (1 - self.label_smoothing) * targets + self.label_smoothing * even
        loss = -(targets * adjusted.log_softmax(1)).sum(1)
        if teacher is None:
            return loss
        balanced = logits - prior if self.prior_form == "bias" else logits
        soft = (teacher.clamp_min(1e-9).log() / self.temperature).softmax(1)
        distance = -(soft * (balanced / self.temperature).log_softmax(1)).sum(1) * self.temperature**2
        return (1 - self.teacher_share) * loss + self.teacher_share * distance
