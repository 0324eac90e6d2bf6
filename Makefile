# Everything runs in its own virtual environment, .venv; nothing but Python 3.11 or newer and make is needed.
# PYTHON=/path/to/python3.x chooses another interpreter for it.

VENV := .venv
BIN  := $(VENV)/bin
PYTEST_FLAGS ?= -n 2

.PHONY: help demo test check format docs test-system test-docker fuzz writers poison soak shadow-rounds chaos generated bench constraints clean

help:
	@echo "make demo         watch a backfill pace itself on an embedded Postgres and its replica"
	@echo "make test         unit, integration and acceptance tests on real Postgres"
	@echo "make check        lint, formatting, types, import contracts"
	@echo "make test-system  tests that need Debian's Postgres 15, PgBouncer, Prometheus and Chromium"
	@echo "make test-docker  tests that build the image, run docker-compose.yml and follow the tutorial (needs a Docker engine with Compose)"
	@echo "make fuzz         10,000 job rows and 10,000 HTTP requests at random (ten minutes)"
	@echo "make writers      foreground writers on the rows of a backfill, direct and through PgBouncer (three minutes)"
	@echo "make poison       1,000 rows among 1,000,000 that cannot be changed, scattered and in clusters (a minute)"
	@echo "make soak         5,000 jobs, 1,000 pauses, 200 restarts in one database (half an hour)"
	@echo "make shadow-rounds replace a table 200 times under traffic, and kill its commands after every statement (minutes)"
	@echo "make docs         build the documentation as a site, strictly, into build/site"
	@echo "make generated    write Grafana's dashboards, the PrometheusRule, reference pages and diagrams anew"
	@echo "make bench        throughput, scaling, reaction, lanes, handlers, plan and the race, side by side (hours; BENCH_FLAGS=--quick for a minute each)"
	@echo "make chaos        kills, crashes, failovers, cut and frozen connections, every row checked (an hour; needs PgBouncer; CHAOS_FLAGS=--quick)"
	@echo "make format       rewrite the code as make check wants it"
	@echo "make constraints  choose the pinned versions anew (needs uv)"
	@echo "make clean        remove .venv and caches"

demo: $(VENV)/.demo
	$(BIN)/pgbackfill demo $(DEMO_FLAGS)

test: $(VENV)/.dev
	$(BIN)/pytest $(PYTEST_FLAGS)

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test-system: $(VENV)/.dev
	$(BIN)/pytest tests/system

test-docker: $(VENV)/.dev
	$(BIN)/pytest tests/docker

fuzz: $(VENV)/.dev
	PGBACKFILL_FUZZ_CASES=10000 $(BIN)/pytest $(PYTEST_FLAGS) tests/integration/test_fuzz_jobs.py tests/acceptance/test_fuzz_http.py

writers: $(VENV)/.dev
	$(BIN)/python -m benchmarks.writers $(BENCH_FLAGS)
	$(BIN)/python -m benchmarks.writers --pooler $(BENCH_FLAGS)

poison soak: $(VENV)/.dev
	$(BIN)/python -m benchmarks.$@ $(BENCH_FLAGS)

shadow-rounds: $(VENV)/.dev
	PGBACKFILL_SHADOW_ROUNDS=200 PGBACKFILL_SHADOW_KILL_EVERY=1 $(BIN)/pytest -n 2 tests/integration/test_shadow_rounds.py

generated: $(VENV)/.dev
	$(BIN)/python -m deploy.grafana.generate
	$(BIN)/python -m deploy.prometheus.operator
	$(BIN)/python -m docs.tools.reference
	$(BIN)/python -m docs.tools.diagrams

docs: $(VENV)/.dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

chaos: $(VENV)/.dev
	$(BIN)/python -m tests.chaos $(CHAOS_FLAGS)

bench: $(VENV)/.dev
	$(BIN)/pip install --quiet -c constraints.txt -r benchmarks/requirements.txt
	$(BIN)/python -m benchmarks.throughput $(BENCH_FLAGS)
	$(BIN)/python -m benchmarks.scaling $(BENCH_FLAGS)
	$(BIN)/python -m benchmarks.reaction $(BENCH_FLAGS)
	$(BIN)/python -m benchmarks.lanes $(BENCH_FLAGS)
	$(BIN)/python -m benchmarks.handler $(BENCH_FLAGS)
	$(BIN)/python -m benchmarks.plan $(BENCH_FLAGS)
	$(BIN)/python -m benchmarks.race $(BENCH_FLAGS)
	$(BIN)/python -m benchmarks.finish $(BENCH_FLAGS)
	$(BIN)/python -m benchmarks.shadow $(BENCH_FLAGS)

# Without addresses, so that it serves every mirror.
constraints:
	uv pip compile --universal --no-annotate --no-header --no-emit-index-url --upgrade --all-extras pyproject.toml \
		-o constraints.txt

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# Stamps: a second run installs nothing unless what is installed has changed.
$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/.made
	$(BIN)/pip install --quiet -c constraints.txt -e '.[dev]'
	@touch $(VENV)/.dev $(VENV)/.demo

$(VENV)/.demo: pyproject.toml constraints.txt | $(VENV)/.made
	$(BIN)/pip install --quiet -c constraints.txt -e '.[demo]'
	@touch $@

# The first interpreter that is new enough. Debian's has no ensurepip without python3-venv; its pip can stand in.
$(VENV)/.made:
	@for python in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11; do \
		$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
		rm -rf $(VENV); \
		echo "making $(VENV) with $$($$python --version)"; \
		if $$python -c 'import ensurepip, venv' 2>/dev/null; then \
			$$python -m venv $(VENV); \
		elif $$python -m pip --version >/dev/null 2>&1; then \
			$$python -m venv --without-pip $(VENV) && $$python -m pip --python $(VENV) install --quiet pip; \
		else \
			echo "This Python can make no virtual environment: apt-get install python3-venv." >&2; exit 1; \
		fi && touch $@; \
		exit $$?; \
	done; \
	echo "Python 3.11 or newer is needed: install it, or name it with make PYTHON=/path/to/python3." >&2; exit 1
