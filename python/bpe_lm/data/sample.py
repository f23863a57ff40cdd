"""Write a sample corpus of made-up children's stories, which needs no download."""

from pathlib import Path

from bpe_lm import _core
from bpe_lm.files import StrPath, check_file_target, check_folder_target

SAMPLE_SEED = 336


def write_samples(folder: StrPath, megabytes_wanted: float, seed: int = SAMPLE_SEED) -> tuple[Path, Path]:
    """Write training stories, and a tenth as many validation stories that share no sentence with them.

    Args:
        folder: Where `sample-train.txt` and `sample-valid.txt` are written; files of these names are replaced.
        megabytes_wanted: Size of the training stories in units of 1,000,000 bytes. The last story is not cut, so the
            file is a little larger.
        seed: The same seed and size give the same bytes.

    Returns:
        The paths of the training and the validation file.

    Raises:
        OutputExists: The folder is not a folder, or a file's name belongs to a folder, a device, a pipe or a socket.
            Nothing has been written then.
        FileError: A file could not be written.
    """
    check_folder_target(folder)
    folder = Path(folder)
    train, valid = folder / "sample-train.txt", folder / "sample-valid.txt"
    for path in (train, valid):
        check_file_target(path)
    _core.write_sample(train, int(1e6 * megabytes_wanted), seed, False)
    _core.write_sample(valid, int(1e5 * megabytes_wanted), seed, True)
    return train, valid
