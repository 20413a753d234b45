# Every target sets up what it needs in .venv: Python 3.11 with venv and pip, make and a PyPI index are enough.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
# pip, mypy and pytest need no colour or progress bars in logs.
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo run test lint types wheel lock setup clean

setup: $(READY)

$(READY): pyproject.toml requirements.lock
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --requirement requirements.lock
	$(BIN)/pip install --quiet --no-deps --editable .
	@touch $@

demo: $(READY)  ## the main job, end to end, over real HTTP
	@$(BIN)/python scripts/demo.py

run: $(READY)  ## the service on 127.0.0.1:8080 with demo data
	@$(BIN)/accredit serve --demo

test: $(READY)  ## the whole test suite
	$(BIN)/python -m pytest

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

wheel: $(READY)
	$(BIN)/python -m build --wheel --outdir dist

lock:
	scripts/lock

clean:
	rm -rf .venv dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis
