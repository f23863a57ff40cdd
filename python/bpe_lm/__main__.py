"""`python -m bpe_lm`."""

from bpe_lm.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
