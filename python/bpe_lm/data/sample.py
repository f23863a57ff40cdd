"""Made-up stories to try everything on."""

from pathlib import Path

from bpe_lm import _core
from bpe_lm.files import check_file_target, check_folder_target

SAMPLE_SEED = 336


def write_samples(folder: str | Path, megabytes_wanted: float, seed: int = SAMPLE_SEED) -> tuple[Path, Path]:
    """Write training stories, and a tenth as many validation stories that share no sentence with them.

    Raises:
        OutputExists: Before any work, when something else has the name of the folder or of a file.
    """
    check_folder_target(folder)
    folder = Path(folder)
    train, valid = folder / "sample-train.txt", folder / "sample-valid.txt"
    for path in (train, valid):
        check_file_target(path)
    _core.write_sample(train, int(1e6 * megabytes_wanted), seed, False)
    _core.write_sample(valid, int(1e5 * megabytes_wanted), seed, True)
    return train, valid
