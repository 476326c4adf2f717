# `make help` lists the targets. Variables: PYTHON (3.11 or newer), VENV, and those of `make run`.

PYTHON ?= python3
VENV   ?= .venv
WORK   ?= work
IMAGES ?=
DATASETS ?=
SEEDS  ?=
# More options for one stage: make run IMAGES=photos LABELS_ARGS="--folds 10"
SCAN_ARGS    ?=
NOISE_ARGS   ?=
LABELS_ARGS  ?=
BALANCE_ARGS ?=

BIN     := $(VENV)/bin
CLEANER := $(BIN)/cleaner
READY   := $(VENV)/.ready
READY_DEV := $(VENV)/.ready-dev
READY_DOCS := .venv-docs/.ready

.DEFAULT_GOAL := help
.PHONY: help demo docs report test test-lowest test-newest check run scan noise labels balance batch clean FORCE
FORCE:

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(READY) sample_data/truth.csv ## clean the sample images into .demo/ and print what was found against what was planted
	$(CLEANER) run sample_data/images --seeds sample_data/seeds.csv --backbone embedded-small -C .demo
	@echo
	@$(BIN)/python benchmarks/sample_truth.py .demo sample_data/truth.csv
	@echo
	@$(CLEANER) report -C .demo --quiet && echo "look at it: $(CURDIR)/.demo/report.html"

report: $(READY) ## write WORK/report.html, to be opened in a browser
	$(CLEANER) report -C "$(WORK)"

test: $(READY_DEV) ## set up and run the tests, on two cores or more
	$(BIN)/python -m pytest -n auto --dist worksteal

# Both want uv (https://docs.astral.sh/uv), and several GB each: networks come with their own torch.
test-lowest: ## run the tests on the oldest packages that pyproject.toml allows, in .venv-lowest
	uv venv --allow-existing --python $(PYTHON) .venv-lowest
	uv pip install --python .venv-lowest --resolution lowest-direct -e '.[dev]'
	.venv-lowest/bin/python -m pytest -n auto --dist worksteal

test-newest: ## run the tests on the newest packages, in .venv-newest
	uv venv --allow-existing --python $(PYTHON) .venv-newest
	uv pip install --python .venv-newest --upgrade -e '.[dev]'
	.venv-newest/bin/python -m pytest -n auto --dist worksteal

docs: $(READY_DOCS) ## build the pages of docs/ as a site, build/site/index.html; strict, links checked, no network
	.venv-docs/bin/python -m mkdocs build --strict

check: $(READY_DEV) ## lint, format, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict cleaner
	$(BIN)/lint-imports

clean: ## remove the demo's workspace and what tools left behind (not .venv, not your workspaces)
	rm -rf .demo build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

# --- the environment -------------------------------------------------------------------------------------------------

# pip would compile all modules on one core; their tests, some of them wrong on purpose, are left as they are.
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile
COMPILE = $(BIN)/python -m compileall -q -q -j 0 -x '/tests?/' $(VENV)/lib || true

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is older than 3.11; name another: make PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(READY): pyproject.toml | $(VENV)/bin/python
	@echo "installing into $(VENV) (about a minute)"
	$(INSTALL) -e .
	$(COMPILE)
	@touch $@

$(READY_DEV): pyproject.toml $(READY)
	$(INSTALL) -e '.[dev]'
	$(COMPILE)
	@touch $@

# The pages are made without importing cleaner, so this environment has the extra `docs` alone: no torch, 15 seconds.
$(READY_DOCS): pyproject.toml
	$(PYTHON) -m venv .venv-docs
	@$(PYTHON) -c 'import tomllib as t; print(*t.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["docs"], sep="\n")' \
	  > .venv-docs/requirements.txt
	.venv-docs/bin/python -m pip install --quiet --disable-pip-version-check -r .venv-docs/requirements.txt
	@touch $@

sample_data/truth.csv: | $(READY)
	$(BIN)/python sample_data/generate.py

# --- the stages ------------------------------------------------------------------------------------------------------
# Each stage's stage.json is written last and is make's target. Every stage is asked, because the stage itself judges
# whether it is up to date: make sees neither settings nor people's decisions. If it is, it leaves its stage.json alone
# and takes about a second. WORK must not hold spaces.

run: balance ## scan, noise, labels, balance: only what is stale. IMAGES=folder [SEEDS=file] [WORK=work]
scan: $(WORK)/scan/stage.json ## this stage alone, after those before it (noise, labels and balance likewise)
noise: $(WORK)/noise/stage.json
labels: $(WORK)/labels/stage.json
balance: $(WORK)/balance/stage.json

ARGS_noise   = $(if $(SEEDS),--seeds "$(SEEDS)") $(NOISE_ARGS)
ARGS_labels  = $(LABELS_ARGS)
ARGS_balance = $(BALANCE_ARGS)

$(WORK)/scan/stage.json: FORCE | $(READY)
	@test -n "$(IMAGES)" || { echo 'which images? make $(MAKECMDGOALS) IMAGES=folder [SEEDS=file] [WORK=work]' >&2; exit 2; }
	$(CLEANER) scan "$(IMAGES)" -C "$(WORK)" $(SCAN_ARGS)

# $(1): the stage, $(2): the one before it
define STAGE
$(WORK)/$(1)/stage.json: $(WORK)/$(2)/stage.json FORCE | $(READY)
	$(CLEANER) $(1) -C "$(WORK)" $$(ARGS_$(1))
endef
$(eval $(call STAGE,noise,scan))
$(eval $(call STAGE,labels,noise))
$(eval $(call STAGE,balance,labels))

# --- many sets -------------------------------------------------------------------------------------------------------
# One workspace for each set, $(WORK)/NAME, where NAME is the last part of its folder's path. A set that fails leaves
# its mark and ends nothing but itself; the marks are read at the end. With -j several sets run at once.

SETS      := $(foreach set,$(DATASETS),$(patsubst %/,%,$(set)))
SET_NAMES := $(notdir $(SETS))

batch: $(addprefix batch-set-,$(SET_NAMES)) ## run each of several sets: DATASETS="a b c" [WORK=work]; goes on past one that fails
	@test -n "$(SETS)" || { echo 'which sets? make batch DATASETS="a b c" [WORK=work]' >&2; exit 2; }
	@failed=; for name in $(SET_NAMES); do test "$$(cat "$(WORK)/.batch/$$name")" = done || failed="$$failed $$name"; done; \
	  echo "batch: $(words $(SETS)) sets, $$(echo $$failed | wc -w | tr -d ' ') failed"; \
	  test -z "$$failed" || { echo "batch: failed:$$failed" >&2; exit 1; }

ifneq ($(words $(SET_NAMES)),$(words $(sort $(SET_NAMES))))
$(error two sets bear the same name, and would share a workspace: $(SETS))
endif

# $(1): the folder of a set
define SET
.PHONY: batch-set-$(notdir $(1))
batch-set-$(notdir $(1)): | $(READY)
	@mkdir -p "$(WORK)/.batch"
	@echo failed > "$(WORK)/.batch/$(notdir $(1))"
	@if $$(MAKE) --no-print-directory run IMAGES="$(1)" WORK="$(WORK)/$(notdir $(1))"; \
	  then echo done > "$(WORK)/.batch/$(notdir $(1))"; else echo "batch: $(notdir $(1)) failed" >&2; fi
endef
$(foreach set,$(SETS),$(eval $(call SET,$(set))))
