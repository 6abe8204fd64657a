# make demo: run the quickstart scenario.   make test: run the tests.   Both make .venv first if it is missing.
PYTHON ?= python3
PY := .venv/bin/python
ARGS ?=

.PHONY: demo test check docs reference gallery coverage lock clean

demo: .venv/.run-ready
	$(PY) -m bidsim demo $(ARGS)

test: .venv/.dev-ready
	$(PY) -m pytest $(ARGS)

OURS := bidsim bench tests notebooks docs
check: .venv/.dev-ready
	$(PY) -m ruff format --check $(OURS)
	$(PY) -m ruff check $(OURS)
	$(PY) -m mypy

# the site, into build/site; warnings are errors
docs: .venv/.dev-ready
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict --quiet

# reference pages: keys of scenarios, the command line, errors
reference: .venv/.dev-ready
	$(PY) docs/generate.py

# pages and pictures that are made by running bidsim: a quarter of an hour; the last needs Chromium
gallery: reference
	$(PY) docs/gallery.py
	$(PY) docs/pictures/screens.py

# lines of the package that the tests reach, kernels by those that are run again as plain Python: half an hour
PLAIN := tests/kernels tests/conformance/test_auctions.py tests/conformance/test_pacers.py tests/cvr/test_delay.py \
	tests/cvr/test_masks.py tests/explain/test_attribution.py::test_all_kinds__agree_with_all_subsets \
	tests/engine/test_figures.py
coverage: .venv/.dev-ready
	$(PY) -m coverage erase
	$(PY) -m coverage run -m pytest -q $(ARGS)
	NUMBA_DISABLE_JIT=1 $(PY) -W ignore -m coverage run -m pytest -q -W ignore $(PLAIN)
	$(PY) -m coverage combine -q
	$(PY) -m coverage report --skip-covered --sort=miss

.venv/bin/python:
	@sh setup/venv.sh "$(PYTHON)"

.venv/.run-ready: requirements.lock | .venv/bin/python
	@sh setup/install.sh "$(PYTHON)" requirements.lock
	@touch $@

.venv/.dev-ready: requirements-dev.lock | .venv/bin/python
	@sh setup/install.sh "$(PYTHON)" requirements-dev.lock
	@touch $@ .venv/.run-ready

# needs uv; run after changing the dependencies in pyproject.toml
COMPILE := uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-header \
	--no-emit-index-url --no-annotate -q
lock:
	$(COMPILE) --extra build --extra completion -o requirements.lock
	$(COMPILE) --extra build --extra dev --extra docs --extra completion -o requirements-dev.lock

clean:
	rm -rf .venv runs build *.egg-info .mypy_cache .ruff_cache .pytest_cache
