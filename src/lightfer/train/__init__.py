"""Training: `loop.train` gives weights, `job.train_to_file` a weight file with its card.

`config` what decides the weights, `loop` the passes over the data, `loss` what is minimised,
`state` what is kept on disk, `job` the card.
"""
