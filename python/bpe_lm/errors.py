"""What can go wrong. Each class is also the builtin that a caller would catch."""


class BpeLmError(Exception):
    """Any error of this package."""


class CorpusError(BpeLmError, OSError):
    """A text is missing, empty, no file, no text by its first bytes, or changed while it was read."""


class FileError(BpeLmError, OSError):
    """A file other than the corpus could not be read or written."""


class DownloadError(BpeLmError, OSError):
    """A file could not be fetched whole: the network, the server, its bytes, or the disk."""


class OutputExists(BpeLmError, FileExistsError):
    """A file would be overwritten, or what is no file replaced by one."""


class OutputBusy(BpeLmError, BlockingIOError):
    """Another process is writing the file."""


class ResumeMismatch(BpeLmError, ValueError):
    """What an interrupted run left is of other files, other options or another tokenizer, or damaged."""


class TokenFileError(BpeLmError, ValueError):
    """A token file is damaged, not whole, or not what its reader wants."""


class TokenIdError(BpeLmError, ValueError):
    """A number is no token."""


class SpecialTokenFound(BpeLmError, ValueError):
    """A text has a special token, and was to be refused then."""


class FormatError(BpeLmError, ValueError):
    """A tokenizer contradicts itself, or a file is not what its format says."""


class ArgumentTypeError(BpeLmError, TypeError):
    """An argument is of a type that makes no sense there."""


class TextError(BpeLmError, UnicodeError):
    """A str has half of a surrogate pair, which UTF-8 cannot have."""


class OptionError(BpeLmError, ValueError):
    """An option's value makes no sense."""


class VocabTooSmall(OptionError):
    """The vocabulary cannot hold 256 bytes and the special tokens."""


class VocabTooLarge(OptionError):
    """The vocabulary has more tokens than an id can number."""


class SpecialTokenError(OptionError):
    """A special token is empty or given twice."""


class PatternError(OptionError):
    """A pretokenization pattern does not compile, or gave up on a text."""


class LimitExceeded(BpeLmError, OverflowError):
    """Counts beyond 63 bits, or a corpus with more than 2**32 places to merge at."""


class MissingExtra(BpeLmError, ImportError):
    """A package that only this function needs is not installed."""


class InternalError(BpeLmError, RuntimeError):
    """A defect of this package."""


class ConfigError(OptionError):
    """A training run's configuration has an unknown key, or a value that makes no sense."""


class CheckpointError(BpeLmError, ValueError):
    """A checkpoint is damaged, not whole, or of another model."""


class ExportError(BpeLmError, ValueError):
    """A model is not what another program, or this one, could be: its architecture is another."""


class OutOfMemory(BpeLmError, MemoryError):
    """A device, or the machine, has too little memory."""


class TrainingDiverged(BpeLmError, ArithmeticError):
    """Loss or gradients are not finite any more."""
