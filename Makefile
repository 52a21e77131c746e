# Everything runs in .venv, which is made on first use and renewed only when the pins or the project's metadata change.
PYTHON ?= python3
VENV   := .venv
PY     := $(VENV)/bin/python

.PHONY: demo test test-all bench clean

demo: $(VENV)/.installed
	$(PY) -m rs_cae fit --config configs/demo.yaml
	$(PY) -m rs_cae test
	@echo "report: $$(realpath runs/latest)/report.html"

test: $(VENV)/.installed
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(PY) -m pytest

test-all: $(VENV)/.installed
	$(PY) -m pytest -m ""

bench: $(VENV)/.installed
	$(PY) scripts/write_benchmarks.py $(if $(QUICK),--quick)

$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
