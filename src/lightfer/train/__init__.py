"""Training: `train` gives weights, `train_to_file` a weight file with its card.

`config` what decides the weights, `loop` the passes over the data, `loss` what is minimised,
`state` what is kept on disk, `weight_file` the card.
"""

from lightfer.train.config import TrainConfig as TrainConfig
from lightfer.train.loop import train as train
from lightfer.train.loss import Batch as Batch
from lightfer.train.loss import Loss as Loss
from lightfer.train.loss import label_loss as label_loss
from lightfer.train.state import DivergedError as DivergedError
from lightfer.train.state import Epoch as Epoch
from lightfer.train.state import TrainResult as TrainResult
from lightfer.train.weight_file import train_to_file as train_to_file
