"""Print the predicted and the measured peak of a GPU's memory in eager steps of TinyStories' shape, as JSON.

python measure_memory.py TRAIN FOLDER
"""

import gc
import json
import sys

import torch
from bpe_lm.training.config import override
from bpe_lm.training.presets import resolve
from bpe_lm.training.step_memory import step_memory
from bpe_lm.training.trainer import Trainer

CASES = [(16, "float32"), (64, "bfloat16"), (128, "bfloat16")]


def measured(rows: int, dtype: str, train: str, folder: str) -> tuple[int, int]:
    changes = {
        "batch_size": rows,
        "dtype": dtype,
        "device": "cuda",
        "compile": False,
        "steps": 3,
        "validate_every": 100,
        "data": {"train": train},
    }
    config = override(resolve("tinystories"), changes)
    with Trainer(config, f"{folder}/{rows}-{dtype}") as trainer:
        torch.cuda.reset_peak_memory_stats()
        trainer.run()
        peak = torch.cuda.max_memory_allocated()
    return step_memory(config).peak, peak


found = {}
for rows, dtype in CASES:
    found[f"{rows} {dtype}"] = measured(rows, dtype, *sys.argv[1:3])
    gc.collect()
    torch.cuda.empty_cache()
print(json.dumps(found))
