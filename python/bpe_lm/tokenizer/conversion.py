"""The same tokenizer as an object of tiktoken or of Hugging Face's tokenizers, without files between."""

import re
from itertools import pairwise
from typing import TYPE_CHECKING

from bpe_lm import _core
from bpe_lm.errors import FormatError, MissingExtra

if TYPE_CHECKING:
    import tiktoken
    import tokenizers

# A second copy of an expression with one of these would mean something else.
_NUMBERED_OR_NAMED = re.compile(r"\\[1-9gk]|\(\?P?[<'](?![=!])|\(\?P[=>]|\(\?\(")


def to_tiktoken(core: _core.Tokenizer, name: str) -> "tiktoken.Encoding":
    """Return tiktoken's form of a tokenizer.

    Raises:
        FormatError: tiktoken cannot express the tokenizer.
        MissingExtra: tiktoken is not installed.
    """
    try:
        import tiktoken
    except ImportError as error:
        raise MissingExtra(f"as_tiktoken needs tiktoken ({error}): pip install tiktoken") from error
    special_ids = dict(core.special_tokens)
    _check_prefixes(sorted(special_ids))
    pattern, ranks = _one_expression(core), core.tiktoken_ranks()
    try:
        return tiktoken.Encoding(name, pat_str=pattern, mergeable_ranks=ranks, special_tokens=special_ids)
    except ValueError as error:
        raise FormatError(f"tiktoken refuses the tokenizer: {error}") from error


def _check_prefixes(special_tokens: list[str]) -> None:
    """Refuse special tokens of which tiktoken does not say which it finds. The shorter one sorts directly before."""
    for short, long in pairwise(special_tokens):
        if long.startswith(short):
            raise FormatError(
                f"special token {long!r} begins with special token {short!r}, and tiktoken finds either; rename one"
            )


def _one_expression(core: _core.Tokenizer) -> str:
    """Return one expression that matches every stretch of text. tiktoken drops what its expression does not match."""
    splits = core.splits
    if len(splits) > 1:
        raise FormatError(
            f"the pattern {core.pattern} has {len(splits)} expressions, which split one after the other, and tiktoken "
            "has one; use as_huggingface"
        )
    [source] = splits
    if core.has_scanner:
        return source
    if _NUMBERED_OR_NAMED.search(source):
        raise FormatError(
            f"the pattern {source!r} has a group that is named or referred to, so it cannot be written for tiktoken, "
            "which drops text that its expression does not match; use groups (?:...)"
        )
    return rf"(?:{source})|(?:(?!{source})[\s\S])+"


def to_huggingface(core: _core.Tokenizer) -> "tokenizers.Tokenizer":
    """Return Hugging Face's form of a tokenizer.

    Raises:
        FormatError: Hugging Face's tokenizers cannot express the tokenizer.
        MissingExtra: tokenizers is not installed.
    """
    try:
        import tokenizers
    except ImportError as error:
        raise MissingExtra(f"as_huggingface needs tokenizers ({error}): pip install tokenizers") from error
    text, differing = core.to_tokenizer_json()
    if differing is not None:
        raise FormatError(
            f"the pattern {core.pattern!r} {differing}, which Hugging Face's engine (Oniguruma) reads differently, so "
            "some texts would get other ids"
        )
    return tokenizers.Tokenizer.from_str(text)
