# Short names for dev.py, which does the work. Rule: nothing here that dev.py cannot do without make.
# Arguments for the tool: make test ARGS="-k ledger -x"

PYTHON ?= python3

.PHONY: demo serve check test slow soak simulate faults load bench bench-quick bench-parts format clean

demo serve check test slow soak simulate faults load bench bench-quick bench-parts format:
	@$(PYTHON) dev.py $@ $(ARGS)

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
