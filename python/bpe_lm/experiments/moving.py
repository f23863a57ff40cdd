"""Folders that may be moved: what is stored about them has no path of theirs."""

from __future__ import annotations

import json
import re
from pathlib import Path


def without_folder(text: str, folder: Path, sign: str) -> str:
    """Put a sign in the place of a folder's path, wherever a path in a text begins with it. The text may be JSON."""
    paths = {str(folder.resolve()), str(folder)}
    written = paths | {json.dumps(path)[1:-1] for path in paths}
    longest_first = "|".join(map(re.escape, sorted(written, key=len, reverse=True)))
    return re.sub(rf'(?<![^"=])(?:{longest_first})(?=[/"]|$)', lambda found: sign, text)
