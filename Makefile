.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
# Space-safe: every path here is relative.
RUST := Cargo.toml $(shell find src -name '*.rs')
DEMO := runs/demo
# Each of several processes at a time has a thread of its own for torch: two would spin and wait for the cores of the others.
PYTEST := OMP_WAIT_POLICY=passive OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal

.PHONY: help demo test test-gpu test-long test-lowest faults fuzz loom miri races mutants lint format bench clean
.PHONY: tests-compiled lint-rust lint-python

help: ## Show the targets
	@grep -E '^[a-z-]+:.*##' Makefile | sed 's/:.*## /\t/' | expand -t 12

.venv/installed: pyproject.toml constraints.txt
	@echo "Setting up .venv with the tools that constraints.txt names (some 100 MB, once) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt maturin
	@touch $@

# What takes minutes goes on two at a time: fetching and compiling, and the lints.
ifeq ($(MAKELEVEL),0)
MAKEFLAGS += -j2
endif

.venv/libraries: .venv/installed
	@echo "Fetching what the package and its tests need, torch with them (3 GB on Linux) ..."
	@$(BIN)/python tests/libraries.py dev lm | $(BIN)/python -m pip install --quiet --disable-pip-version-check \
		-c constraints.txt -r /dev/stdin
	@touch $@

.venv/compiled: .venv/installed $(RUST)
	@echo "Compiling the Rust extension in release mode: some minutes the first time ..."
	@VIRTUAL_ENV="$(CURDIR)/.venv" $(BIN)/python -m maturin develop --release --skip-install --quiet
	@touch $@

.venv/built: .venv/libraries .venv/compiled
	@PIP_CONSTRAINT=constraints.txt PIP_QUIET=1 VIRTUAL_ENV="$(CURDIR)/.venv" \
		$(BIN)/python -m maturin develop --release --extras dev,lm --quiet
	@touch $@

demo: .venv/built ## Write stories, train a tokenizer and a small Transformer on them, generate a story (2 to 8 minutes)
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

test: .venv/built tests-compiled ## Run the Rust tests, the Python tests and the lints
	cargo test --release
	$(PYTEST)
	$(MAKE) lint

tests-compiled:
	@echo "Compiling the Rust tests in release mode: some minutes the first time ..."
	@cargo test --release --no-run --quiet

test-gpu: .venv/built ## Run the tests that need an NVIDIA GPU: much of their time is compiling
	$(BIN)/python -m pytest -n auto --maxprocesses 8 --dist worksteal -m gpu -W default tests/gpu

test-long: .venv/built ## All tests, also those that take minutes: builds llama.cpp, then runs test-lowest
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt llama-cpp-python
	cargo test --release -- --include-ignored
	BPE_LM_CASES=many $(PYTEST) -m 'long or not long'
	$(MAKE) test-lowest

faults: .venv/built ## Every case of the scorecard, and the peers: writes docs/reliability.md and docs/peers.md (some 40 minutes)
	$(BIN)/python tests/faults/scorecard.py
	@for peer in $$($(BIN)/python tests/faults/peers --missing); do \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --retries 1 -c constraints.txt $$peer \
		|| echo "$$peer is not installed: its column says so"; done
	$(BIN)/python tests/faults/peers

# SECONDS=120 is for each target; TARGETS='pattern index' are some of them.
fuzz: ## Fuzz each parser, the scanners, the encoder and the learner, guided by coverage (20 targets, a minute each)
	@$(PYTHON) tests/fuzz/guided.py --seconds $(or $(SECONDS),60) $(TARGETS)

loom: ## Run models of what threads share in every order of their threads
	cargo test --release --lib --features loom --target-dir target/loom -- models::

# valgrind's DRD and helgrind do not see std's locks: they name conflicts in each place that a lock protects, such as
# Queue::claim and Partial::add. So Miri and ThreadSanitizer are the judges here.
miri: ## Look for undefined behaviour in a part of the crate that uses no intrinsics
	@if cargo +nightly miri --version >/dev/null 2>&1; \
		then cargo +nightly miri test --lib -- hash_seed merge_table pretoken_table byte_alphabet; \
		else echo "Miri is not installed: skipped (rustup component add --toolchain nightly miri)"; fi

# A second environment has the lowest versions; its .pth file names the sources and, behind its own packages, those of
# .venv, for torch and the test tools. WITH_TORCH=1 fetches the lowest torch as well (3 GB on Linux).
.venv-lowest/installed: pyproject.toml tests/lowest.py tests/libraries.py .venv/built
	@echo "Setting up .venv-lowest with the lowest versions that pyproject.toml allows ..."
	@$(BIN)/python -m venv --clear .venv-lowest
	@.venv-lowest/bin/python -m pip install --quiet --disable-pip-version-check \
		$$($(BIN)/python tests/lowest.py $(if $(WITH_TORCH),--with-torch))
	@$(BIN)/python -c 'import packaging, pathlib, sys; print(*sys.argv[1:], pathlib.Path(packaging.__file__).parents[1], sep="\n")' \
		"$(CURDIR)/python" > "$$(.venv-lowest/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/tested.pth"
	@touch $@

# transformers itself asks for newer versions, so the tests that call it are left out.
test-lowest: .venv-lowest/installed ## The Python tests with the lowest versions that pyproject.toml allows
	.venv-lowest/bin/python -m pytest -k 'not transformers and not auto_tokenizer and not hugging_faces_llama'

# The standard library is built with the sanitizer too: it does not see the locks of one built without.
NIGHTLY_HOST = $(shell rustc +nightly -vV 2>/dev/null | sed -n 's/^host: //p')
# Without the kernels: it does not see the barriers of OpenMP's library, which is not built for it.
races: ## Run the tests of what threads share under ThreadSanitizer
	@if test -d "$$(rustc +nightly --print sysroot 2>/dev/null)/lib/rustlib/src/rust/library"; \
		then RUSTFLAGS=-Zsanitizer=thread cargo +nightly test --release -Zbuild-std --target $(NIGHTLY_HOST) \
			--target-dir target/races --lib -- counts:: corpus:: encode job merges:: threads::; \
		else echo "The sources of nightly's library are not installed: skipped" \
			"(rustup component add --toolchain nightly rust-src)"; fi

# SHARD=0/100 is every hundredth mutant; FILE=src/counts/table.rs is one file.
mutants: ## Change the tables of counting, merging and encoding in 1,700 ways that a test must notice: takes hours
	@if cargo mutants --version >/dev/null 2>&1; \
		then cargo mutants --output target $(if $(SHARD),--shard $(SHARD)) $(if $(FILE),--file $(FILE)); \
		else echo "cargo-mutants is not installed: skipped (cargo install cargo-mutants)"; fi

lint: lint-rust lint-python ## Check format, types, stubs, and which module may import which

lint-rust: .venv/built
	@if cargo fmt --version >/dev/null 2>&1; then cargo fmt --check; else echo "rustfmt is not installed: skipped"; fi
	@if cargo clippy --version >/dev/null 2>&1; then \
		cargo clippy --release --all-targets --features python -- -D warnings; \
		else echo "clippy is not installed: skipped"; fi
	$(BIN)/python tests/rust_modules.py
	@! grep -rl pyo3 src --include='*.rs' | grep -v -e '^src/lib.rs$$' -e '^src/python/' \
		|| { echo "pyo3 belongs in src/python/ only"; exit 1; }
	@awk '/#\[py(methods|function)/ { inside = 1; methods = /methods/ } \
		inside && /^ *(pub(\([a-z]+\))? )?fn / { name = $$0; is_guarded = 0 } \
		/guarded\(/ { is_guarded = 1 } \
		inside && name != "" && (methods ? /^    }$$/ : /^}$$/) { \
			if (!is_guarded) { print FILENAME ": not guarded:" name; bad = 1 } name = ""; if (!methods) inside = 0 } \
		/^}$$/ { inside = 0 } END { exit bad }' src/python/*.rs \
		|| { echo "a panic would leave as pyo3's own exception: make each entry one call of guarded()"; exit 1; }

lint-python: .venv/built
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest bpe_lm._core
	$(BIN)/python tests/rooms.py

format: .venv/built ## Format the sources
	cargo fmt
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: ## Run the criterion benchmarks, one per stage
	cargo bench

clean: ## Remove .venv, .venv-lowest and target; keep data/ and runs/
	rm -rf .venv .venv-lowest target
