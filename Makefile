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
