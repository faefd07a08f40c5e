# Everything a newcomer or a developer types. `make setup` needs Python ≥ 3.11, and nothing else.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup demo test lint prove bench lock docs clean

setup: .venv/.ready

.venv/.ready: requirements.lock pyproject.toml
	@echo "Setting up .venv (once; about a minute) …"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Keepwell needs Python 3.11 or newer; say which with: make PYTHON=python3.12 …"; exit 2; }
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: setup
	@$(BIN)/keepwell demo

# The quick suite. Tests of PostgreSQL are skipped, with the reason, where no server answers.
test: setup
	@$(BIN)/pytest -n 2 -q

lint: setup
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy

# The slow proofs: the suite from a built wheel, the mutants, killed processes. With PROVE_SECONDS=300 no proof begins
# after five minutes; those left out are named. KEEPWELL_CRASH_KILLS says how often the whole worker is killed: 1,200 times,
# 200 where CI=true.
prove: setup
	@$(BIN)/pytest -m prove -n 2 -q

bench: setup
	@$(BIN)/python -m bench.hooks
	@$(BIN)/python -m bench.score
	@$(BIN)/python -m bench.mail

# Writes config.example.toml and the README's table of integrations from what the code declares.
docs: setup
	@$(BIN)/python docs/refresh.py

# Resolves every dependency anew, for all platforms, with hashes.
lock:
	@$(PYTHON) -m venv build/lock
	@build/lock/bin/python -m pip install --quiet --disable-pip-version-check uv
	@build/lock/bin/uv pip compile pyproject.toml --quiet --upgrade --universal --python-version 3.11 --all-extras \
		--group dev --generate-hashes --no-header --output-file build/lock/body
	@{ head -n 1 requirements.lock; cat build/lock/body; } > build/lock/whole && mv build/lock/whole requirements.lock
	@rm -r build/lock

clean:
	@rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
