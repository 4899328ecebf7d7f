"""What int8 costs: top-1 of PyTorch in float32 and of the file, on validation and on test.

Validation alone decides: a file that loses too much there is refused before test is looked at. What
is lost on test is said in the card and refuses nothing.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from torch import Tensor, nn

from lightfer.data.dataset import Dataset
from lightfer.data.ferplus import as_learned
from lightfer.inference.card import ExportCard
from lightfer.inference.export.config import ExportError
from lightfer.measure.accuracy import check_scored, measure_accuracy, predict_logits, score_test
from lightfer.models.find import Weights

Run = Callable[[Tensor], Tensor]


def with_accuracy(
    card: ExportCard,
    model: nn.Module,
    run: Run,
    weights: Weights,
    data: Dataset,
    allow_loss: float,
    test_log: Path,
    variant: str,
) -> ExportCard:
    """The card with the accuracy of the file `run` and what it lost to `model`, split by split, by
    the labels that the network learned. `variant` is the runtime and precision of the file.

    `allow_loss` is in points of top-1. Without a test split its accuracy stays None. Raises
    ExportError for a larger loss on validation; nothing is decided on test.
    """
    check_scored(card, weights.key)
    labels = weights.card.labels if weights.card else "fer2013"
    learned = as_learned(data, labels)
    validation = learned["validation"]

    def on_validation(network: Run | nn.Module) -> float:
        logits = predict_logits(network, validation.images)
        return measure_accuracy(
            logits, validation.labels, split="validation", label_source=learned.name
        ).top1

    def on_test(network: Run | nn.Module) -> float:
        score, _ = score_test(
            network,
            data,
            model_name=weights.name,
            weights_sha256=weights.sha256,
            variant="pytorch-float32" if network is model else variant,
            log=test_log,
            labels=labels,
            views=(),
        )
        return score.top1

    accuracy = dict(card.accuracy)
    lost: dict[str, float] = {}
    for split, score in (("validation", on_validation), ("test", on_test)):
        if split not in learned.splits:
            continue
        before, after = score(model), score(run)
        accuracy[split], lost[split] = after, round((before - after) * 100, 2)
        if split == "validation" and lost[split] > allow_loss:
            raise ExportError(
                f"int8 costs {weights.name} {lost[split]:.2f} points on validation, more than "
                f"{allow_loss:g}: nothing was written. --allow-loss {lost[split]:.2f} accepts it"
            )
    return replace(card, accuracy=accuracy, accuracy_on=learned.label, accuracy_lost=lost)
