"""The training loss."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from cleaner.modeling.objective import Objective
from tests.support.networks import EVEN


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
