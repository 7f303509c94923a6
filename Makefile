.PHONY: $(shell sed -n 's/^\([a-z-]*\):.*##.*/\1/p' Makefile)
PY := .venv/bin/python
VENV := .venv/.ready
PYTHON ?= python3

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

$(VENV): requirements.txt sandbox/requirements.txt tests/requirements.txt
	@command -v git >/dev/null || { echo "git is not installed: get it, then this again"; exit 1; }
	@test -x $(PY) || $(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" 2>/dev/null || { \
		echo "$(PYTHON) is not Python 3.11 or newer: install one, or name it: make PYTHON=python3.12 …"; exit 1; }
	@test -x $(PY) || $(PYTHON) -c "import ensurepip, venv" 2>/dev/null || { \
		echo "$(PYTHON) cannot make a virtual environment: on Debian and Ubuntu, apt install python3-venv"; exit 1; }
	@test -x $(PY) || $(PYTHON) -m venv .venv
	@echo "installing (once; about a minute)"
	@$(PY) -m pip install --quiet --disable-pip-version-check -r tests/requirements.txt
	@touch $@

demo: $(VENV)  ## the whole story on this machine, no account; ONCE=1 ends by itself
	@$(PY) -m sandbox up --story $(if $(ONCE),--once)

test: $(VENV)  ## every test, on SQLite and PostgreSQL
	@$(PY) -m pytest -n auto

test-fast: $(VENV)  ## all tests but the slow ones and those of foreign programs
	@$(PY) -m pytest -n auto -m "not slow and not peer"

contract: $(VENV)  ## every operation asked of GitHub, and what of it GitHub's published schemas have checked
	@$(PY) -m tests.contracts

check: $(VENV)  ## format, lint, types, import contracts
	@$(PY) -m ruff format --check .
	@$(PY) -m ruff check .
	@$(PY) -m mypy
	@PATH=.venv/bin:$$PATH lint-imports --no-cache

audit: $(VENV)  ## credentials in tree and history, known holes in requirements.lock, what bandit has beside ruff; ARGS=--must
	@$(PY) -m bandit --quiet --configfile pyproject.toml --recursive app.py bot sandbox benchmarks tests
	@$(PY) -m tests.supply $(ARGS)

sbom: $(VENV)  ## sbom.json: what requirements.lock brings, as CycloneDX; the same bytes for the same lock
	@$(PY) -m pip install --quiet --disable-pip-version-check cyclonedx-bom==7.5.0
	@$(PY) -m cyclonedx_py requirements requirements.lock --output-reproducible --output-format JSON --output-file sbom.json

format: $(VENV)  ## put the code in its form
	@$(PY) -m ruff format .
	@$(PY) -m ruff check --fix .

lock: $(VENV)  ## rebuild requirements.lock (hashes of the whole run-time tree)
	@$(PY) -m pip install --quiet pip-tools==7.5.3
	@CUSTOM_COMPILE_COMMAND="make lock" $(PY) -m piptools compile --quiet --generate-hashes --allow-unsafe --no-emit-index-url --no-emit-find-links --strip-extras -o requirements.lock requirements.txt

lock-aider: $(VENV)  ## rebuild Aider's lock from its version in requirements.in (takes minutes)
	@$(PY) -m pip install --quiet pip-tools==7.5.3
	@cd bot/runner/engines/locks/aider && CUSTOM_COMPILE_COMMAND="make lock-aider" $(CURDIR)/$(PY) -m piptools \
		compile --quiet --generate-hashes --allow-unsafe --no-annotate --no-emit-index-url --no-emit-find-links \
		--strip-extras -o requirements.txt requirements.in

exam: $(VENV)  ## fifteen small repositories with a bug each; with ANTHROPIC_API_KEY it costs money; ARGS=…
	@$(PY) -m bot exam --cost 1 $(ARGS)

exam-engines: $(VENV)  ## the exam with each engine, one after the other: solved, cost, steps, time
	@$(PY) -m benchmarks.engines --cost 1 $(ARGS)

fuzz: $(VENV)  ## bad input at every place that reads any, for half an hour; findings in .fuzz/; ARGS=…
	@$(PY) -m tests.fuzz $(ARGS)

pictures: $(VENV)  ## docs/reports/*.png and docs/dashboard/*.png anew, from real runs; needs chromium
	@$(PY) -m sandbox pictures
	@$(PY) -m sandbox views

bench-gateway: $(VENV)  ## latency, throughput and memory of the gateway beside LiteLLM's
	@$(PY) -m benchmarks.gateway $(ARGS)

bench-memory: $(VENV)  ## what a web worker holds, at rest and with bodies of up to 32 MB
	@$(PY) -m benchmarks.memory $(ARGS)

bench-overshoot: $(VENV)  ## dollars past a ceiling: ours, LiteLLM, mini-swe-agent, Claude Code
	@$(PY) -m benchmarks.overshoot $(ARGS)

bench-cost: $(VENV)  ## dollars for the same forty steps: ours, mini-swe-agent, the least possible
	@$(PY) -m benchmarks.cost $(ARGS)

bench-harness: $(VENV)  ## milliseconds a step outside the model, and how they grow: ours, mini-swe-agent
	@$(PY) -m benchmarks.harness $(ARGS)

bench-scale: $(VENV)  ## how long a page's figures take with 200,000 runs and 8 million turns; ARGS=…
	@$(PY) -m benchmarks.scale $(ARGS)

bench-scrape: $(VENV)  ## what a scrape of /metrics costs with 200,000 runs, and how that grows; ARGS=…
	@$(PY) -m benchmarks.scrape $(ARGS)

hosts: $(VENV)  ## two hosts over one PostgreSQL, cut off, killed, upgraded, with wrong clocks; root, Linux; ARGS=…
	@$(PY) -m tests.hosts $(ARGS)

bench-webhooks: $(VENV)  ## 50, 200 and 500 signed deliveries a second: how soon acknowledged, none lost, none twice; ARGS=…
	@$(PY) -m benchmarks.webhooks $(ARGS)

bench-streams: $(VENV)  ## a hundred runs that stream at once through one worker: latency, memory, ledger against invoice; ARGS=…
	@$(PY) -m benchmarks.streams $(ARGS)

bench-day: $(VENV)  ## a day of 500 engineers, 2,000 runs, 60,000 turns, as fast as it goes; ARGS="--runs 200 --turns 6000"
	@$(PY) -m benchmarks.day $(ARGS)

durability: $(VENV)  ## 500 runs while all of it is killed again and again, and the power cut; ARGS=…
	@$(PY) -m tests.chaos.durability $(ARGS)

api: $(VENV)  ## docs/openapi.json and the table of who may see what anew, from the routes
	@$(PY) -m tests.web.access

schemas: $(VENV)  ## docs/policy.schema.json and docs/service-policy.schema.json anew, from the policy's keys
	@$(PY) -m tests.core.schemas
