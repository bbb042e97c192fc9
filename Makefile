# Every command there is. `make` alone lists them.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
JOBS ?= 2
T ?= tests
# Of make sim and of make shell-sim, whose runs take longer.
SHELL_N := $(or $(N),100)
N ?= 200
DATA ?= ./veritydb-data
MINUTES ?= 10
EVERY ?= 4
PICKS ?= 20
# A time is told to the simulator only if somebody says one; N seeds are its default.
SIM_TIME := $(if $(filter command% env%,$(origin MINUTES)),--minutes $(MINUTES),--count $(N))
SIM_ONE := $(if $(SHRINK),--shrink-seed $(SHRINK),--seed $(SEED) $(if $(TRACE),--trace $(TRACE)))
SIM_WHAT = $(if $(SHRINK)$(SEED),$(SIM_ONE),$(SIM_TIME))
CHECKED := $(wildcard veritydb simulation shell_simulation nemesis)

.DEFAULT_GOAL := help
.PHONY: help install demo test check lint types cluster sim shell-sim canaries model-check mutants storage-check nemesis bench bench-peers bench-scale golden clean

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(STAMP) ## Make .venv with all dependencies, pinned

# The build backend comes first and is pinned like the rest, so nothing unpinned is ever fetched.
$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt setuptools
	$(BIN)/python -m pip install --quiet -c constraints.txt --no-build-isolation -e '.[dev]'
	touch $@

demo: install ## A cluster, a few events and a failover in one minute
	$(BIN)/python -m examples.demo

test: install ## Run the tests; T=tests/vsr narrows it
	$(BIN)/python -m pytest -n $(JOBS) $(T)

check: lint types test ## What CI runs: format, lint, types, tests, 200 simulated seeds
ifneq ($(wildcard simulation/__main__.py),)
	$(BIN)/python -m simulation --count 200
endif

lint: install ## Check format and style
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: install ## Check types
	$(BIN)/mypy --strict $(CHECKED)

cluster: install ## Three nodes on this machine; DATA=folder
	$(BIN)/veritydb cluster up --foreground --config cluster-configs/three-node --data-dir $(DATA)

sim: install ## Simulate: MINUTES=10 or N=5000, START=1; SEED=123 TRACE=1 one run, SHRINK=123
	$(BIN)/python -m simulation $(SIM_WHAT) $(if $(START),--start $(START)) --processes $(JOBS)

shell-sim: install ## Simulate the server around the core: N=100 seeds, SEED=7 one run, CANARIES=1 planted bugs
	$(BIN)/python -m shell_simulation --processes $(JOBS) \
		$(if $(CANARIES),--canaries,$(if $(SEED),--seed $(SEED),--count $(SHELL_N)))

canaries: install ## Plant bugs: every one has to be found; WRITE=docs/canaries.md
	$(BIN)/python -m simulation.canaries $(if $(WRITE),--write $(WRITE))

model-check: install ## Search what can happen within small bounds, breadth first
	$(BIN)/python -m simulation.model --processes $(JOBS)

mutants: install ## Take gates of the protocol away: PICKS=20 SEED=7 draws twenty; each has to be noticed
	$(BIN)/python -m simulation.mutants --picks $(PICKS) $(if $(SEED),--seed $(SEED))

storage-check: install ## Every power cut of small storage histories, every subset of sectors, rot in all
	$(BIN)/python -m tests.storage.exhaustive

nemesis: install ## Faults of all kinds around real nodes at work; MINUTES=10 EVERY=4 FAULTS=kill,clock SEED=7
	$(BIN)/python -m nemesis --minutes $(MINUTES) --every $(EVERY) \
		$(if $(FAULTS),--faults $(FAULTS)) $(if $(SEED),--seed $(SEED))

bench: install ## Measure
	$(BIN)/python -m benchmarks

bench-peers: install ## Measure beside others: ROUNDS=5 PEERS=etcd,jetstream,postgresql WORKLOADS=core RESUME=1
	$(BIN)/python -m benchmarks.peers --docs docs $(if $(ROUNDS),--rounds $(ROUNDS)) \
		$(if $(PEERS),--peers $(PEERS)) $(if $(WORKLOADS),--workloads '$(WORKLOADS)') \
		$(if $(RESUME),--resume)

bench-scale: install ## Measure faults in a row, full load and growth: ONLY='SIG*' SMALL=1 MINUTES=30 AGAIN=1
	$(BIN)/python -m benchmarks.scale $(if $(SMALL),--small) $(if $(AGAIN),--again) \
		$(if $(filter command% env%,$(origin MINUTES)),--minutes $(MINUTES)) $(if $(ONLY),--only '$(ONLY)')

golden: install ## Add missing golden files; read the diff before you commit it
	VERITYDB_GOLDEN=write $(BIN)/python -m pytest tests/golden

clean: ## Remove everything that can be made again, except a cluster's data
	rm -rf $(VENV) build dist *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
