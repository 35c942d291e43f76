# Every command works from a bare checkout: .venv is made and filled on first use, and again only when what is installed changes.
SHELL = /bin/sh
.DELETE_ON_ERROR:
.NOTPARALLEL:
.DEFAULT_GOAL = help

JOBS ?= 2
RUN = .venv/bin/python -m
# Wheels only: without a compiler, a missing wheel is one line here and not a failed build. -qq leaves errors.
PIP = PIP_NO_INPUT=1 $(RUN) pip install -qq --disable-pip-version-check --only-binary :all: -c constraints.txt
# One thread per worker: two workers on two cores do not fight.
ONE_THREAD = OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1
PYTEST = $(RUN) pytest --durations=15 --durations-min=1
USABLE = $(shell [ -x .venv/bin/python ] && [ "$$(cat .venv/.ready 2>/dev/null)" = "$$(pwd -P)" ] && echo yes)

.PHONY: help install demo test test-slow lint docs bench bench-peers reference format clean FORCE

help:
	@echo "make demo        install and run the main job: digits on 25 simulated PCM chips"
	@echo "make test        install and run lint, types and the fast tests"
	@echo "make test-slow   the other tests: statistics and published results"
	@echo "make lint        ruff, import-linter and mypy"
	@echo "make format      let ruff rewrite the sources"
	@echo "make docs        the documentation, to docs/_build/html"
	@echo "make bench       times of analog layers beside torch's, of crossbars with wires and of pulsed updates: ENGINE=<name>"
	@echo "make bench-peers the same beside other simulators', in an environment of their own: PEERS_PYTHON=python3.12"
	@echo "make reference   replay another simulator's numbers, one row per case: DIR=<folder> ENGINE=<name> GROUPS=<letters>"
	@echo "make install     install only, with what tests and examples need"
	@echo "make clean       delete .venv, .venv-peers, caches and builds; results in runs/ stay"
	@echo "options:         PYTHON=python3.12   JOBS=8   TORCH_INDEX=<package index to take torch from>"

demo: .venv/.examples
	.venv/bin/ohmlet run examples/digits_pcm.yaml --out runs/digits_pcm

test: lint
	$(ONE_THREAD) $(PYTEST) -n $(JOBS) -m "not slow"

test-slow: .venv/.dev
	$(ONE_THREAD) $(PYTEST) -n $(JOBS) -m slow

lint: .venv/.dev
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	.venv/bin/lint-imports --no-logo
	$(RUN) mypy

format: .venv/.dev
	$(RUN) ruff check --fix .
	$(RUN) ruff format .

docs: .venv/.docs
	$(RUN) sphinx -q -E -W --keep-going -b html docs docs/_build/html

bench: .venv/.ready .venv/.dev
	@NUMBA_NUM_THREADS=1 .venv/bin/python benchmarks/mvm.py $(ENGINE)
	@NUMBA_NUM_THREADS=1 .venv/bin/python benchmarks/digits.py $(ENGINE)
	@NUMBA_NUM_THREADS=1 .venv/bin/python benchmarks/crossbar.py $(ENGINE)
	@NUMBA_NUM_THREADS=1 .venv/bin/python benchmarks/update.py $(ENGINE)

bench-peers: .venv-peers/.ready bench

reference: .venv/.ready .venv/.dev
	@$(RUN) ohmlet.interop.replay "$(or $(DIR),tests/reference/data)" $(if $(ENGINE),--engine "$(ENGINE)") $(if $(GROUPS),--groups "$(GROUPS)")

install: .venv/.dev

clean:
	rm -rf .venv .venv-peers build dist docs/_build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find core kernels plugins tests docs -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp exists only after its recipe succeeded.
.venv/.dev: .venv/.ready pyproject.toml constraints.txt
	$(call install,dev$(comma)examples)
	@touch .venv/.examples $@

.venv/.examples: .venv/.ready pyproject.toml constraints.txt
	$(call install,examples)
	@touch $@

.venv/.docs: .venv/.ready pyproject.toml constraints.txt
	$(call install,docs)
	@touch $@

# aihwkit's wheel is for CPython 3.12 and for the ABI of one torch; it asks for compilers that a wheel does not need.
.venv-peers/.ready: Makefile
	@echo "filling .venv-peers, once: several GB with a CUDA build of torch (TORCH_INDEX=<package index> chooses another)"
	@$(or $(PEERS_PYTHON),python3.12) -m venv .venv-peers
	@PIP_NO_INPUT=1 .venv-peers/bin/python -m pip install -qq --disable-pip-version-check --only-binary :all: $(if $(TORCH_INDEX),--index-url "$(TORCH_INDEX)") torch==2.13.0
	@PIP_NO_INPUT=1 .venv-peers/bin/python -m pip install -qq --disable-pip-version-check --only-binary :all: numpy scipy tqdm
	@PIP_NO_INPUT=1 .venv-peers/bin/python -m pip install -qq --disable-pip-version-check --only-binary :all: --no-deps aihwkit==1.2.0
	@PIP_NO_INPUT=1 .venv-peers/bin/python -m pip install -qq --disable-pip-version-check --no-deps badcrossbar==1.1.0 pathvalidate sigfig
	@touch $@

comma = ,
define install
@if $(RUN) pip show -q torch 2>/dev/null; then echo "bringing .venv up to date"; else \
echo "filling .venv, once: 0.4 GB to download with a CPU build of torch, several GB with a CUDA build (README: Choosing a torch)"; fi
@$(if $(TORCH_INDEX),$(PIP) --index-url "$(TORCH_INDEX)" torch)
@$(PIP) hatchling && $(PIP) --no-build-isolation -e ".[$(1)]" || \
{ echo "error: pip could not install into .venv (its reason is above); with no network try again, else try another Python: make clean, then make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
endef

.venv/.ready: $(if $(USABLE),,FORCE)
	@PYTHON="$(PYTHON)" .ci/venv

FORCE:
