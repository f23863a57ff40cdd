"""The command's start, as `bpe-lm` or `python -m bpe_lm`. It imports nothing before it answers signals."""

import signal
import sys
from typing import NoReturn


def main() -> int:
    """Run a command; return its exit status."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        from bpe_lm.cli.main import main as run

        return run()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    finally:
        # Nothing is left to be cleaned up: another Ctrl-C while Python goes kills it, without a traceback.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)


def _terminate(number: int, frame: object) -> NoReturn:
    """Until the command has a handler of its own: nothing is begun that must be cleaned up."""
    raise SystemExit(143)


if __name__ == "__main__":
    raise SystemExit(main())
