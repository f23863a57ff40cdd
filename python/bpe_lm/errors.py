"""The errors of this package. Each class is also the builtin exception that a caller would expect."""


class BpeLmError(Exception):
    """Base class of all errors of this package."""


class CorpusError(BpeLmError, OSError):
    """A text is missing, empty, not a file, not text by its first bytes, or changed while it was read."""


class FileError(BpeLmError, OSError):
    """A file other than a text could not be read or written."""


class DownloadError(BpeLmError, OSError):
    """A file could not be downloaded whole, because of the network, the server, wrong content, or the disk."""


class OutputExists(BpeLmError, FileExistsError):
    """An output has the name of an existing file, or of something that a file never replaces."""


class OutputBusy(BpeLmError, BlockingIOError):
    """Another process is writing the output."""


class ResumeMismatch(BpeLmError, ValueError):
    """The interrupted work cannot be resumed: it has other files, options or tokenizer, or it is damaged."""


class TokenFileError(BpeLmError, ValueError):
    """A token file is damaged, incomplete, or of another type or tokenizer than its reader expects."""


class CountFileError(BpeLmError, ValueError):
    """A count file is damaged, incomplete, or was counted with another pattern or other special tokens."""


class TokenIdError(BpeLmError, ValueError):
    """An id is not the id of a token."""


class SpecialTokenFound(BpeLmError, ValueError):
    """A text contains a special token, and special="raise" was given."""


class FormatError(BpeLmError, ValueError):
    """A tokenizer contradicts itself, or a file does not follow its format."""


class ArgumentTypeError(BpeLmError, TypeError):
    """An argument is of the wrong type."""


class TextError(BpeLmError, UnicodeError):
    """A str has half of a surrogate pair, which UTF-8 cannot encode."""


class OptionError(BpeLmError, ValueError):
    """An option has a value that is not possible."""


class VocabTooSmall(OptionError):
    """The vocabulary cannot hold 256 bytes and the special tokens, or nothing beside those of a tokenizer to extend."""


class VocabTooLarge(OptionError):
    """The vocabulary has more tokens than ids can number, or than the tokenizer to truncate."""


class SpecialTokenError(OptionError):
    """A special token is empty, is given twice, has an impossible id, or could not be saved."""


class PatternError(OptionError):
    """A pretokenization pattern does not compile, or its engine gave up on a text."""


class LimitExceeded(BpeLmError, OverflowError):
    """A count needs more than 63 bits, in a count file 64, or a corpus has more than 2**32 places to merge at."""


class MissingExtra(BpeLmError, ImportError):
    """A function needs a package that is not installed."""


class ClusterError(BpeLmError, RuntimeError):
    """A cluster does not answer, or has lost a task more often than it is started again."""


class InternalError(BpeLmError, RuntimeError):
    """A defect of this package."""


class ConfigError(OptionError):
    """The config of a training run has an unknown key, or a value that is not possible."""


class CheckpointError(BpeLmError, ValueError):
    """A checkpoint is damaged, incomplete, or of another model."""


class ExportError(BpeLmError, ValueError):
    """The model's architecture cannot be represented in the target format, or read from it."""


class OutOfMemory(BpeLmError, MemoryError):
    """A device or the machine has too little memory."""


class MemoryLimitExceeded(BpeLmError, MemoryError):
    """A limit of memory is too small for the work. The message has both sizes."""


class TrainingDiverged(BpeLmError, ArithmeticError):
    """Loss or gradients stay infinite or NaN."""
