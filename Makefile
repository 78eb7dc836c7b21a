# Everything a person does with this repository. `make` alone tells what there is.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help setup demo dev test test-slow test-next test-machine test-weaviate \
	test-weaviate-kills coverage lint types format bench bench-full docs pictures release-check \
	clean

help: ## What there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

setup: $(READY) ## Make .venv and install the pinned dependencies

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; name one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing pinned dependencies into $(VENV) (once; a few minutes) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(READY) ## The main job from end to end on real rows, in minutes
	@$(BIN)/python examples/debian/demo.py

dev: $(READY) ## Dagster UI and daemon of the project here, else of the demo; Ctrl-C stops all of it
	@if [ ! -f sl.config.yaml ] && [ -d examples/debian/.semilayer ]; then cd examples/debian; fi; \
		"$(CURDIR)/$(BIN)/semilayer" dev

test: $(READY) ## The test suite, in four processes: half of the time it waits
	@$(BIN)/python -m pytest -m 'not slow' -n 4 --dist loadfile

test-slow: $(READY) ## The tests that take long
	@$(BIN)/python -m pytest -m slow

test-next: $(READY) ## The tests of Dagster's layer, against the newest Dagster that the registry offers
	@.ci/test-next $(BIN)/python $(TESTS)

test-machine: $(READY) ## 500 random histories of the whole system (an hour or less)
	@$(BIN)/python -m pytest -m slow tests/machine

test-weaviate: ## The tests of the store Weaviate and the demo, against the server at WEAVIATE_URL
	@test -n "$$WEAVIATE_URL" || { echo "WEAVIATE_URL is not set: it names the Weaviate server to test against, such as"; \
		echo "  WEAVIATE_URL=http://localhost:8080 make test-weaviate"; \
		echo "CONTRIBUTING.md says how to start one."; exit 2; }
	@$(MAKE) --no-print-directory $(READY)
	@$(BIN)/python -m pytest tests/stores tests/ingest/test_weaviate.py tests/ingest/test_tenants.py tests/test_searching_page.py
	@SEMILAYER_STORE=weaviate SEMILAYER_ENV=weaviate $(BIN)/python examples/debian/demo.py

test-weaviate-kills: $(READY) ## 40 kills of a Weaviate server, and a search for every row and chunk after each (30 minutes)
	@$(BIN)/python -m pytest -s tests/ingest/test_weaviate_kills.py

coverage: $(READY) ## The quick tests, and the lines that they reach; TESTS=tests/mapping measures some
	@rm -rf build/coverage
	@$(BIN)/python -m pytest -m 'not slow' --cov --cov-report=term --cov-report=html:build/coverage/html $(TESTS)

lint: $(READY) ## ruff
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(READY) ## mypy, strict
	@$(BIN)/mypy

format: $(READY) ## Format the code
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(READY) ## The benchmarks, beside their floors; writes benchmarks/out/latest.json
	@$(BIN)/python -m benchmarks

bench-full: $(READY) ## A whole catalogue through the real model: make bench-full CATALOGUE=file.parquet
	@$(BIN)/python -m benchmarks.whole "$(CATALOGUE)"

docs: $(READY) ## Regenerate what is generated: the JSON Schema, three reference pages
	@$(BIN)/python -m semilayer_pipelines.config.schema > sl.config.schema.json
	@$(BIN)/python -m semilayer_pipelines.config.reference > docs/configuration.md
	@$(BIN)/python -m semilayer_pipelines.cli.reference > docs/cli.md
	@$(BIN)/python docs/limits.py > docs/limits.new && mv docs/limits.new docs/limits.md
	@cp dagster.yaml workspace.yaml semilayer_pipelines/project_files/

pictures: $(READY) ## Take the pictures of the console that the documentation shows (needs Chromium)
	@$(BIN)/python -m tests.console.screenshots build/pictures
	@cp build/pictures/console-*.png docs/images/

release-check: $(READY) ## Build sdist and wheel, and use the wheel in a fresh environment
	@.ci/release-check

clean: ## Remove what was built; the project's state in .semilayer/ stays
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis benchmarks/out
