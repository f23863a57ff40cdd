"""A tripwire for the scorecard: with this folder in PYTHONPATH, each process writes a line to $BPE_LM_TRIPWIRE if the
package unpickles something or calls torch.load.

The interpreter raises an event when a pickle names a class, and when a file is opened; the frames say who asked. What
torch.compile takes from its own cache is left out (SECURITY.md).
"""

import os
import sys


def _asked_by_the_package(event, arguments):
    if event not in ("pickle.find_class", "open"):
        return
    frame, names = sys._getframe().f_back, []  # None while the interpreter opens its script.
    while frame is not None:
        names.append((frame.f_code.co_filename, frame.f_code.co_name))
        frame = frame.f_back
    is_load = event == "pickle.find_class" or any(
        path.endswith("torch/serialization.py") and name == "load" for path, name in names
    )
    if names and any(part in names[0][0] for part in ("/torch/_inductor/", "/torch/_functorch/")):
        return
    by_us = [path for path, _ in names if "/python/bpe_lm/" in path or "/site-packages/bpe_lm/" in path]
    if is_load and by_us:
        with os.fdopen(os.open(_PATH, os.O_WRONLY | os.O_APPEND | os.O_CREAT), "a") as file:
            file.write(f"{event} {arguments} {by_us}\n")


_PATH = os.environ.get("BPE_LM_TRIPWIRE")
if _PATH:
    sys.addaudithook(_asked_by_the_package)
