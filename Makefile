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
	@echo "Building the Rust extension in release mode, and fetching torch (3 GB on Linux): some minutes the first time ..."
	@PIP_CONSTRAINT=constraints.txt PIP_QUIET=1 VIRTUAL_ENV="$(CURDIR)/.venv" \
		$(BIN)/python -m maturin develop --release --extras dev,lm --quiet
	@touch $@

demo: .venv/built ## Stories -> tokenizer -> token ids -> a small Transformer -> its loss as a picture -> a story (3 to 8 minutes)
	$(BIN)/bpe-lm data sample --megabytes 20
	$(BIN)/bpe-lm train-tokenizer data/sample-train.txt --vocab-size 4000 --special-token '<|endoftext|>' \
		--out $(DEMO)/tokenizer --force
	$(BIN)/bpe-lm encode data/sample-train.txt --tokenizer $(DEMO)/tokenizer --out $(DEMO)/train.bin --force
	$(BIN)/bpe-lm encode data/sample-valid.txt --tokenizer $(DEMO)/tokenizer --out $(DEMO)/valid.bin --force
	$(BIN)/bpe-lm pretrain demo --out $(DEMO)/model --force --data.train $(DEMO)/train.bin --data.valid $(DEMO)/valid.bin \
		--data.tokenizer $(DEMO)/tokenizer
	$(BIN)/bpe-lm evaluate $(DEMO)/model --quiet
	$(BIN)/bpe-lm plot $(DEMO)/model --out $(DEMO)/losses.png
	@echo
	$(BIN)/bpe-lm generate $(DEMO)/model --prompt 'Once upon a time' --seed 336
	@echo
	@echo "Next, on a text of your own: docs/tokenizer.md, then docs/training.md."

test: .venv/built ## Rust tests, Python tests, lints
	cargo test --release
	$(BIN)/python -m pytest
	$(MAKE) lint

test-long: .venv/built ## What takes minutes, and llama.cpp, which is built for it
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt llama-cpp-python
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
	$(BIN)/python tests/rooms.py
	@! grep -rl pyo3 src --include='*.rs' | grep -v -e '^src/lib.rs$$' -e '^src/python/' \
		|| { echo "pyo3 belongs in src/python/ only"; exit 1; }
	@awk '/#\[py(methods|function)/ { inside = 1; methods = /methods/ } \
		inside && /^ *(pub(\([a-z]+\))? )?fn / { name = $$0; is_guarded = 0 } \
		/guarded\(/ { is_guarded = 1 } \
		inside && name != "" && (methods ? /^    }$$/ : /^}$$/) { \
			if (!is_guarded) { print FILENAME ": not guarded:" name; bad = 1 } name = ""; if (!methods) inside = 0 } \
		/^}$$/ { inside = 0 } END { exit bad }' src/python/*.rs \
		|| { echo "a panic would leave as pyo3's own exception: make each entry one call of guarded()"; exit 1; }

format: .venv/built ## Format the sources
	cargo fmt
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: ## One criterion bench a stage
	cargo bench

clean: ## Remove what was built, but not data/ and runs/
	rm -rf .venv target
