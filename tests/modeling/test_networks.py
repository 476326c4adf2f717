"""Networks for training."""

from __future__ import annotations

import pytest
from torch import nn

from cleaner.errors import BackboneError
from cleaner.modeling.networks import classifier_of
from tests.support.networks import CLASSES, blueprint


def test_a_network_without_a_linear_end_is_refused() -> None:
    network = blueprint().build(CLASSES, 0)
    network.classifier = nn.Identity()
    with pytest.raises(BackboneError, match="cannot be fine-tuned"):
        classifier_of(network, "odd")
