"""From a weight file to a file for a device, checked before it is left anywhere.

    write into a temporary folder -> open it again -> compare logits with PyTorch's
    -> for int8, measure the accuracy lost -> write the card -> move to where it was wanted

A file that differs, or loses more than is allowed on validation, is never seen at `out`; what lay
there stays.
"""

from lightfer.inference.export.config import ExportConfig, ExportError
from lightfer.inference.export.flow import Exported, export
from lightfer.inference.export.targets import TARGETS

__all__ = ["TARGETS", "ExportConfig", "ExportError", "Exported", "export"]
