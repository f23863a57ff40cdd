.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
# Space-safe: every path here is relative.
RUST := Cargo.toml $(shell find src -name '*.rs')
DEMO := runs/demo

.PHONY: help demo test test-long lint format bench clean

help: ## Show this list
	@grep -E '^[a-z-]+:.*##' Makefile | sed 's/:.*## /\t/' | expand -t 12

.venv/installed: pyproject.toml constraints.txt
	@echo "Setting up .venv with the tools that constraints.txt names (some 100 MB, once) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt maturin
	@touch $@

.venv/built: .venv/installed $(RUST)
	@echo "Building the Rust extension in release mode (about a minute the first time) ..."
	@PIP_CONSTRAINT=constraints.txt PIP_QUIET=1 VIRTUAL_ENV="$(CURDIR)/.venv" \
		$(BIN)/python -m maturin develop --release --extras dev --quiet
	@touch $@

demo: .venv/built ## Train a tokenizer on made-up stories and look at it
	$(BIN)/bpe-lm data sample --megabytes 20
	$(BIN)/bpe-lm train-tokenizer data/sample-train.txt --vocab-size 10000 --special-token '<|endoftext|>' \
		--out $(DEMO) --force
	@echo
	@echo "Next, on a text of your own:"
	@echo "  $(BIN)/bpe-lm train-tokenizer PATH/TO/TEXT.txt --vocab-size 10000 --special-token '<|endoftext|>' --out runs/mine"
	@echo "or, on TinyStories (2.2 GB):"
	@echo "  $(BIN)/bpe-lm data download tinystories"
	@echo "  $(BIN)/python train_bpe_tinystories.py"

test: .venv/built ## Rust tests, Python tests, lints
	cargo test --release
	$(BIN)/python -m pytest
	$(MAKE) lint

test-long: .venv/built ## What takes minutes
	cargo test --release -- --include-ignored
	$(BIN)/python -m pytest -m 'long or not long'

lint: .venv/built ## rustfmt, clippy, ruff, mypy, and the rules of the house
	@if cargo fmt --version >/dev/null 2>&1; then cargo fmt --check; else echo "rustfmt is not installed: skipped"; fi
	@if cargo clippy --version >/dev/null 2>&1; then \
		cargo clippy --release --all-targets --features python -- -D warnings; \
		else echo "clippy is not installed: skipped"; fi
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest bpe_lm._core
	@! grep -rl pyo3 src --include='*.rs' | grep -v -e '^src/lib.rs$$' -e '^src/python/' \
		|| { echo "pyo3 belongs in src/python/ only"; exit 1; }

format: .venv/built ## Format the sources
	cargo fmt
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: ## One criterion bench a stage
	cargo bench

clean: ## Remove what was built, but not data/ and runs/
	rm -rf .venv target
