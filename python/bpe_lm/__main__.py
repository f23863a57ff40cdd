"""Start the command, as `bpe-lm` or `python -m bpe_lm`. Signals are answered before anything is imported."""

import signal
import sys
from typing import NoReturn


def main() -> int:
    """Run a command and return its exit status."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        from bpe_lm.cli.main import main as run

        return run()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    finally:
        # Everything is cleaned up by now. Another Ctrl-C while Python ends kills it without a traceback.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)


def _terminate(number: int, frame: object) -> NoReturn:
    """End at once on SIGTERM, until the command sets a handler of its own. No work has begun that needs cleaning up."""
    raise SystemExit(143)


if __name__ == "__main__":
    raise SystemExit(main())
