# `make book` and `make test` set themselves up from nothing: Python 3.11 to 3.13, git, make.
PYTHON ?= python3
VENV   ?= .venv
JOBS   ?= 2
BIN    := $(VENV)/bin
PY     := $(BIN)/python
# The environment is made anew when what it is made from changes, and only then.
PINS   := $(shell cat requirements.txt requirements-dev.txt requirements.lock pyproject.toml | cksum | cut -d' ' -f1)
READY  := $(VENV)/.ready-$(PINS)
DEV    := $(VENV)/.ready-dev-$(PINS)
LOG    := $(VENV)/pip.log
PIP     = $(PY) -m pip install --disable-pip-version-check --progress-bar off -c requirements.lock

.PHONY: help book pdf test test-full lint validate benchmark benchmark-inference benchmark-outcomes benchmark-growth benchmark-chapters benchmark-book test-spark wheelhouse fetch-public verify release clean clean-all

help:
	@echo "make book          build the report into _build/html (a second run does only what changed)"
	@echo "make pdf           the whole report as one tagged PDF, linked from the site (needs Chromium)"
	@echo "make test          all tests that fit in minutes, in a browser too"
	@echo "make test-full     the slow tests as well"
	@echo "make lint          style and types"
	@echo "make validate      run thousands of made-up data sets through every method (minutes)"
	@echo "make benchmark     time inference, outcomes, growth, chapters and the book (long; benchmark-NAME for one)"
	@echo "make test-spark    the same counts on Spark (needs Java 17; an environment of its own)"
	@echo "make wheelhouse    all packages as files, to install without a network"
	@echo "make fetch-public  download the public statistics"
	@echo "make verify        compare every number on the pages with the results"
	@echo "make release       put disclosure-checked results into release/"
	@echo "make clean         remove what was built; clean-all also removes data and environment"
	@echo "ARGS=... adds options, as in: make book ARGS='--only rq4_kinship_care'"

book: $(READY)
	@$(PY) -m sos_analysis build --jobs $(JOBS) $(ARGS)

# The pages are built, printed, and built again: only then can they link what was printed.
pdf: book
	@$(PY) -m sos_analysis pdf
	@$(PY) -m sos_analysis build --jobs $(JOBS) $(ARGS)

test: $(DEV)
	@$(PY) -m pytest -n $(JOBS) --dist loadfile -m "not full" $(ARGS)

test-full: $(DEV)
	@$(PY) -m pytest -n $(JOBS) --dist loadfile $(ARGS)

lint: $(DEV)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy sos_analysis

validate: $(READY)
	@$(PY) -m sos_analysis validate --jobs $(JOBS) $(ARGS)

# One after another, so that none disturbs the next; `make benchmark-outcomes ARGS=...` for one.
BENCHMARKS := inference outcomes growth chapters book

benchmark: $(DEV)
	@set -e; for one in $(BENCHMARKS); do echo "benchmark: $$one"; $(PY) benchmarks/$$one.py; done

$(BENCHMARKS:%=benchmark-%): benchmark-%: $(DEV)
	@$(PY) benchmarks/$*.py $(ARGS)

# Spark is heavy, so it has an environment of its own.
SPARK := $(VENV)-spark

test-spark: $(DEV)
	@test -x $(SPARK)/bin/python || $(PYTHON) -m venv $(SPARK)
	@$(SPARK)/bin/python -m pip install -q --disable-pip-version-check -c requirements.lock -r requirements.txt -r requirements-dev.txt -r requirements-spark.txt -e .
	@SOS_TEST_SPARK=1 $(SPARK)/bin/python -m pytest tests/test_engines.py $(ARGS)

# On a machine with a network and the same system and Python as in the secure setting.
wheelhouse: $(READY)
	@$(PY) -m pip wheel --disable-pip-version-check --progress-bar off -c requirements.lock -r requirements.txt "setuptools>=77" wheel --wheel-dir wheelhouse
	@echo "wheelhouse/: take it and this repository in; then see docs/secure_setting.md"

fetch-public: $(READY)
	@$(PY) -m sos_analysis fetch-public $(ARGS)

verify: $(READY)
	@$(PY) -m sos_analysis verify $(ARGS)

release: $(READY)
	@$(PY) -m sos_analysis release $(ARGS)

clean:
	rm -rf _build results book/chapters book/_extra/downloads book/_extra/report data/cells

clean-all: clean
	rm -rf $(VENV) data/extract data/truth data/public

$(PY):
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else "Python 3.11, 3.12 or 3.13 is needed, this is %d.%d: try make PYTHON=python3.11" % v)'
	@echo "making the environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "the venv module is missing: apt-get install python3-venv"; exit 1; }

$(READY): | $(PY)
	@echo "installing the pinned libraries (a minute or two, once)"
	@$(PIP) -r requirements.txt -e . >$(LOG) 2>&1 || { tail -n 25 $(LOG); exit 1; }
	@rm -f $(VENV)/.ready-* && touch $@

$(DEV): | $(READY)
	@echo "installing what the tests need (once)"
	@$(PIP) -r requirements-dev.txt >$(LOG) 2>&1 || { tail -n 25 $(LOG); exit 1; }
	@touch $@
