"""The two forms of an operation, and the number formats of matrix products."""

from typing import Literal

Implementation = Literal["fast", "reference"]
"""The fast form of an operation, or its formula."""

Dtype = Literal["float32", "bfloat16"]
"""The number format of matrix products; weights are float32 in both."""

AutoDtype = Literal["auto", "float32", "bfloat16"]
"""A number format, or the one that is chosen for a device when a run begins."""
