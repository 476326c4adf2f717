"""All queues of the review page, in its order."""

from __future__ import annotations

from cleaner.dataset.audits import AUDIT_QUEUE
from cleaner.dataset.events import SETTLE
from cleaner.errors import BadInputError
from cleaner.review.class_page import CLASS_PAGE, class_page
from cleaner.review.class_queue import find_doubtful_classes
from cleaner.review.label_queues import (
    answers_label_question,
    find_calibration_sample,
    find_conflicts,
    find_label_fit,
    find_label_issues,
    follow_labels,
)
from cleaner.review.noise_queues import (
    NOISE_ACTIONS,
    find_fit,
    find_looks,
    find_noise,
    find_seed_candidates,
    follow_noise,
)
from cleaner.review.people_queues import find_audit_sample, find_disagreements, find_drawn_samples
from cleaner.review.queue import LABEL_ACTIONS, QueueKind

_KINDS = (
    QueueKind(
        name="noise",
        title="Noise",
        question="Noise (a map, chart, logo, text), or a normal picture?",
        fills_when="the scan has kept images.",
        find=find_looks,
        is_open_ended=True,
        follow=follow_noise,
        version=find_fit,
        actions=NOISE_ACTIONS,
        applied_by="noise",
    ),
    QueueKind(
        name="noise-seeds",
        title="Noise seeds",
        question="Normal: a thing of some class. Noise: a map, chart, logo, text.",
        fills_when="the scan has kept images.",
        find=find_seed_candidates,
        actions=NOISE_ACTIONS,
        applied_by="noise",
    ),
    QueueKind(
        name="noise-doubtful",
        title="Noise, doubtful",
        question="The noise model is not sure. Noise, or a normal picture?",
        fills_when="cleaner noise finds images of which it is not sure.",
        find=find_noise,
        version=find_fit,
        actions=NOISE_ACTIONS,
        applied_by="noise",
    ),
    QueueKind(
        name="noise-found",
        title="Noise found",
        question="The model calls these noise. Is any a normal picture?",
        fills_when="cleaner noise calls images noise.",
        find=find_noise,
        version=find_fit,
        actions=NOISE_ACTIONS,
        applied_by="noise",
    ),
    QueueKind(
        name="labels",
        title="Labels",
        question="Does the given label fit, or another one?",
        fills_when="cleaner labels calls labels wrong.",
        find=find_label_issues,
        follow=follow_labels,
        version=find_label_fit,
        is_grouped=True,
        answers=answers_label_question,
    ),
    QueueKind(
        name="calibration",
        title="Calibration",
        question="A blind sample, from surely right to surely wrong. Does the given label fit?",
        fills_when="cleaner labels has given each label a probability of being wrong.",
        find=find_calibration_sample,
        answers=answers_label_question,
    ),
    QueueKind(
        name="conflicts",
        title="Conflicts",
        question="The same picture stands under several labels. Which one is right?",
        fills_when="the scan finds the same picture under several labels.",
        find=find_conflicts,
        answers=answers_label_question,
        shows_given=False,
        covers_copies=True,
    ),
    QueueKind(
        name="low-count",
        title="Classes",
        question="Is this one class? Keep it, drop it, or merge it into another.",
        fills_when="classes are small, or a stage suspects some.",
        find=find_doubtful_classes,
        applied_by="balance",
    ),
    QueueKind(
        name="disagreements",
        title="Disagreements",
        question="Annotators differ. Which verdict is right? Yours settles it.",
        fills_when="two people judge the same picture differently.",
        find=find_disagreements,
        version=lambda sources: sources.ledger.version,
        actions=(*LABEL_ACTIONS[:3], ("m", "Normal", "normal", "")),
        answers=lambda event: event.queue == SETTLE,
        decision_queue=SETTLE,
    ),
    QueueKind(
        name=AUDIT_QUEUE,
        title="Audit",
        question="A blind sample. Is the label right?",
        fills_when="cleaner audit draws a sample.",
        find=find_audit_sample,
        version=find_drawn_samples,
        applied_by="audit",
        is_audit=True,
    ),
)
QUEUES = {kind.name: kind for kind in _KINDS}


def find_kind(name: str) -> QueueKind:
    """The kind of queue `name`, or of the page of a class, `class:LABEL`. Raises BadInputError for any other name."""
    if name.startswith(CLASS_PAGE):
        return class_page(name.removeprefix(CLASS_PAGE))
    if name not in QUEUES:
        raise BadInputError(f"queue {name!r}", expected=", ".join(QUEUES))
    return QUEUES[name]
