"""Expressions of faces in photographs, films and crops; works without torch on exported files.

from lightfer import Predictor
predictions = Predictor("model.onnx")(["portrait.jpg", "group.png"])
"""

from lightfer.data.crop import Box
from lightfer.inference.predict.prediction import Prediction
from lightfer.inference.predict.predictor import Predictor

__all__ = ["Box", "Prediction", "Predictor"]
