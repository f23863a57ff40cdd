"""The commands that use a trained model: evaluate, generate, export."""

from __future__ import annotations

import argparse
from typing import Any, get_args

from bpe_lm.cli.arguments import Parser
from bpe_lm.cli.guard import language_model, notes_afterwards
from bpe_lm.cli.options import add_json_option, add_quiet_option, number, whole
from bpe_lm.cli.tables import print_json, print_rows
from bpe_lm.kernels.implementation import Dtype


def add_commands(commands: Any) -> None:
    """Add the commands to a parser's."""
    _add_evaluate(commands)
    _add_generate(commands)
    _add_export(commands)


def _add_folder(parser: Parser) -> None:
    parser.add_argument("run_folder", metavar="RUN", help="a folder that pretrain wrote, or an exported model")
    parser.add_argument("--last", action="store_true", help="use the newest checkpoint instead of the best")
    parser.add_argument(
        "--device", default="auto", metavar="NAME", help="cpu, cuda, mps, or auto: the fastest that is available"
    )


def _add_tokenizer(parser: Parser) -> None:
    parser.add_argument(
        "--tokenizer",
        "--data.tokenizer",
        metavar="PATH",
        help="tokenizer of the model (default: the run's, or the exported model's own)",
    )


def _add_evaluate(commands: Any) -> None:
    parser = commands.add_parser(
        "evaluate",
        help="compute loss, perplexity and bits per byte of a model on a token file",
        description="Compute loss, perplexity and bits per byte of a run's model on a whole token file.",
    )
    _add_folder(parser)
    parser.add_argument(
        "--tokens",
        "--data.valid",
        metavar="FILE",
        help="token file (default: the run's data.valid; an exported model has none)",
    )
    parser.add_argument(
        "--dtype", choices=get_args(Dtype), help="type of the matrix products (default: the run's, or float32)"
    )
    add_json_option(parser)
    add_quiet_option(parser)
    parser.set_defaults(run=_evaluate)


def _evaluate(options: argparse.Namespace) -> None:
    with language_model(), notes_afterwards():
        from bpe_lm.export.folder import evaluate_folder

        found = evaluate_folder(
            options.run_folder,
            options.tokens,
            last=options.last,
            device=options.device,
            dtype=options.dtype,
            progress=not options.quiet,
        )
    if options.json:
        print_json(found.as_dict())
        return
    evaluation = found.evaluation
    bits = "unknown" if evaluation.bits_per_byte is None else f"{evaluation.bits_per_byte:.4f}"
    print_rows(
        [
            ("tokens", f"{evaluation.tokens:,} of {found.tokens}"),
            ("computed in", found.dtype),
            ("loss", f"{evaluation.loss:.4f} nats per token"),
            ("perplexity", f"{evaluation.perplexity:.3f}"),
            ("bits per byte", bits),
        ]
    )


def _add_generate(commands: Any) -> None:
    parser = commands.add_parser(
        "generate",
        help="let a model write text",
        description="Let a run's model continue a text, or several at the same time. One text is printed as it is "
        "written. Of several, each follows a line with its number.",
    )
    _add_folder(parser)
    parser.add_argument(
        "--prompt",
        action="append",
        metavar="TEXT",
        help="beginning of a text; given several times, of several texts (default: none, a new text begins)",
    )
    parser.add_argument("--num-samples", type=whole(1), default=1, metavar="N", help="number of texts for each prompt")
    parser.add_argument("--max-tokens", type=whole(), default=256, metavar="N", help="greatest number of new tokens")
    parser.add_argument(
        "--temperature", type=number, default=0.8, metavar="T", help="divides the logits; 0 takes the likeliest token"
    )
    parser.add_argument(
        "--top-k", type=whole(), metavar="K", help="draw among the K likeliest tokens only (default: all tokens)"
    )
    parser.add_argument(
        "--top-p",
        type=number,
        default=0.95,
        metavar="P",
        help="draw among the likeliest tokens whose probabilities add up to P",
    )
    parser.add_argument(
        "--seed",
        type=whole(),
        metavar="N",
        help="seed of the draws of the first text; each next text has the next seed (default: a new one each time)",
    )
    parser.add_argument(
        "--dtype", choices=get_args(Dtype), default="float32", help="type of the weights and the matrix products"
    )
    _add_tokenizer(parser)
    add_json_option(parser)
    parser.set_defaults(run=_generate)


def _generate(options: argparse.Namespace) -> None:
    prompts = [prompt for prompt in options.prompt or [""] for _ in range(options.num_samples)]
    choices = {
        name: getattr(options, name)
        for name in ("tokenizer", "temperature", "top_k", "top_p", "seed", "last", "device", "dtype")
    }
    if len(prompts) == 1 and not options.json:
        _stream(options.run_folder, prompts[0], options.max_tokens, choices)
        return
    with language_model():
        from bpe_lm.export.folder import generate_texts_from_folder

        found = generate_texts_from_folder(options.run_folder, prompts, options.max_tokens, **choices)
    texts = [prompt + text for prompt, text in zip(prompts, found, strict=True)]
    if options.json:
        print_json([{"prompt": prompt, "text": text} for prompt, text in zip(prompts, texts, strict=True)])
        return
    for place, text in enumerate(texts, 1):
        print(f"--- text {place} of {len(texts)} ---\n{text}")


def _stream(folder: str, prompt: str, max_tokens: int, choices: dict[str, Any]) -> None:
    """Print a text as it is generated."""
    with language_model():
        from bpe_lm.export.folder import generate_from_folder

        pieces = generate_from_folder(folder, prompt, max_tokens, **choices)
        first = next(pieces, "")  # An error comes before the prompt is printed.
        print(prompt + first, end="", flush=True)
        for piece in pieces:
            print(piece, end="", flush=True)
        print()


def _add_export(commands: Any) -> None:
    parser = commands.add_parser(
        "export",
        help="write a model for transformers or llama.cpp",
        description="Write a run's model for transformers or llama.cpp.",
    )
    _add_folder(parser)
    parser.add_argument(
        "--to",
        nargs=2,
        required=True,
        metavar=("FORMAT", "OUT"),
        help="huggingface FOLDER (AutoModelForCausalLM and AutoTokenizer open it), or gguf FILE (llama.cpp runs it)",
    )
    _add_tokenizer(parser)
    parser.add_argument("--force", action="store_true", help="replace OUT")
    parser.set_defaults(run=_export)


def _export(options: argparse.Namespace) -> None:
    kind, out = options.to
    with language_model():
        from bpe_lm.export.folder import export_folder

        export_folder(
            options.run_folder,
            kind,
            out,
            tokenizer=options.tokenizer,
            last=options.last,
            device=options.device,
            force=options.force,
        )
    print(f"written to {out}")
