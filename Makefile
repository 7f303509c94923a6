.PHONY: help demo test test-fast contract check format lock exam bench-gateway bench-memory bench-overshoot bench-cost bench-harness bench-scale pictures
PY := .venv/bin/python
VENV := .venv/.ready

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

$(VENV): requirements.txt sandbox/requirements.txt tests/requirements.txt
	@test -x $(PY) || $${PYTHON:-python3} -m venv .venv
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

format: $(VENV)  ## put the code in its form
	@$(PY) -m ruff format .
	@$(PY) -m ruff check --fix .

lock: $(VENV)  ## rebuild requirements.lock (hashes of the whole run-time tree)
	@$(PY) -m pip install --quiet pip-tools==7.5.3
	@CUSTOM_COMPILE_COMMAND="make lock" $(PY) -m piptools compile --quiet --generate-hashes --allow-unsafe --no-emit-index-url --no-emit-find-links --strip-extras -o requirements.lock requirements.txt

exam: $(VENV)  ## fifteen small repositories with a bug each; with ANTHROPIC_API_KEY it costs money; ARGS=…
	@$(PY) -m bot exam --cost 1 $(ARGS)

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
