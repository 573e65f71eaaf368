# Everything runs in .venv, which is made on first use. Another interpreter: make PYTHON=python3.12 …

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: help install demo test test-torch check audit fuzz format docs site dist lock clean

help:
	@echo "make demo     verdicts; then toy dataset → training → evaluation → verdicts, in ./demo"
	@echo "make test     the whole test suite"
	@echo "make test-torch  what needs PyTorch, in .venv-torch, which it makes: 8 GB"
	@echo "make check    lint, formatting, types, licences, prose, spelling and the site, as CI has them"
	@echo "make audit    known vulnerabilities of the versions in requirements.lock; needs a network"
	@echo "make fuzz     look for files that break a reader, for SECONDS=600; in .venv-fuzz, which it makes"
	@echo "make format   fix what can be fixed automatically"
	@echo "make docs     write docs/cli.md, docs/evidence.md and docs/schemas from the code"
	@echo "make site     the documentation as a site that needs no network, in ./site"
	@echo "make dist     a wheel and an sdist in ./dist, checked; needs a network"
	@echo "make lock     write requirements.lock from pyproject.toml, with the newest versions"
	@echo "make install  only set up .venv"
	@echo "make clean    remove .venv, ./demo, ./site and all caches"

install: $(INSTALLED)

$(INSTALLED): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
		echo "This needs Python 3.11, 3.12 or 3.13, and $(PYTHON) is not. Name one: make PYTHON=python3.12" >&2; exit 1; }
	@echo "Installing into .venv, once: a few minutes and 3 GB ..."
	@$(PYTHON) -m venv .venv
	@$(PIP) install --no-deps --requirement requirements.lock
	@$(PIP) install --no-deps --editable .
	@touch $@

demo: export PYRITE_CACHE := demo/cache
demo: $(INSTALLED)
	rm -rf demo
	$(BIN)/pyrite detect docs/photographs/*.jpg
	$(BIN)/pyrite bundle examples --out demo/examples
	$(BIN)/pyrite detect demo/examples/*.png
	$(BIN)/pyrite toy demo/data
	$(BIN)/pyrite train demo/data --recipe tiny --set protocol=official --out demo/run
	$(BIN)/pyrite evaluate demo/run/bundle demo/data --out demo/report
	$(BIN)/pyrite detect --bundle demo/run/bundle demo/data/test/REAL/0000*.png demo/data/test/FAKE/0000*.png
	@echo
	@echo "Where to look:"
	@echo "  docs/photographs             a photograph, and an image by FLUX.2 that says so in its file"
	@echo "  demo/examples                images of CIFAKE, judged by the bundle that comes with Pyrite"
	@echo "  demo/report/report.html      every figure, in a browser"
	@echo "  demo/run/bundle/card.md      what the model is for, and what it is not"
	@echo "  demo/run/history.csv         its training, epoch by epoch"
	@echo "  demo/data/test               the images that it was judged by"
	@echo "What else there is: $(BIN)/pyrite --help"

# Tests start some hundreds of processes, each of which would compile the package anew where bytecode is not kept; and
# threads of linear algebra that wait for each other take the CPUs from the tests in the other processes.
test: export PYTHONDONTWRITEBYTECODE :=
test: export OMP_NUM_THREADS ?= 1
test: export TF_NUM_INTRAOP_THREADS ?= 1
test: $(INSTALLED)
	@$(BIN)/python -m pytest --numprocesses 3

# PyTorch is large, and it and TensorFlow cannot always be in one process: its tests run apart, in an environment of
# their own.
TORCH := .venv-torch/bin/python
test-torch: .venv-torch/.installed
	@$(TORCH) -m pytest tests/converting/test_pytorch.py

.venv-torch/.installed: pyproject.toml requirements.lock
	@echo "Installing into .venv-torch, once: a few minutes and 8 GB ..."
	@$(PYTHON) -m venv .venv-torch
	@$(TORCH) -m pip --disable-pip-version-check --quiet install --no-deps --requirement requirements.lock
	@$(TORCH) -m pip --disable-pip-version-check --quiet install --no-deps --editable .
	@$(TORCH) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["torch"], sep="\n")' \
		| $(TORCH) -m pip --disable-pip-version-check --quiet install --requirement /dev/stdin
	@touch $@

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python scripts/licences.py
	$(BIN)/python scripts/prose.py
	$(BIN)/typos
	$(MAKE) --no-print-directory site

# In an environment of its own. Where the service that knows vulnerabilities cannot be reached, that is said, and is no failure.
AUDIT := .venv-audit/bin
audit:
	@test -x $(AUDIT)/pip-audit || { $(PYTHON) -m venv .venv-audit && $(AUDIT)/python -m pip --disable-pip-version-check --quiet install pip-audit; }
	@$(PYTHON) scripts/audit.py $(AUDIT)/pip-audit

FUZZ := .venv-fuzz/bin/python
SECONDS ?= 600
TARGETS ?=
fuzz: .venv-fuzz/.installed
	$(FUZZ) fuzz/run.py --seconds $(SECONDS) $(TARGETS)

.venv-fuzz/.installed: pyproject.toml
	@$(PYTHON) -m venv .venv-fuzz
	@$(FUZZ) -m pip --disable-pip-version-check --quiet install --constraint requirements.lock --editable '.[credentials,heif,serve]' pytest 'atheris>=3'
	@touch $@

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(INSTALLED)
	$(BIN)/typer pyrite.cli.application utils docs --name pyrite --title "The command line" --output docs/cli.md
	$(BIN)/python -m pyrite.evidence.reference > docs/evidence.md
	$(BIN)/python scripts/schemas.py docs/schemas

# Every link and anchor must lead somewhere, and no page may load anything from elsewhere.
site: $(INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "Open site/index.html"

# The wheel is built from the sdist, which shows that nothing is left out of it.
DIST := .venv-dist/bin
dist:
	@test -x $(DIST)/twine || { $(PYTHON) -m venv .venv-dist && $(DIST)/python -m pip --disable-pip-version-check --quiet install build twine; }
	rm -rf dist
	$(DIST)/python -m build
	$(DIST)/twine check --strict dist/*

# In an environment of its own, so that a lock that does not install can be repaired.
lock:
	@tools=$$(mktemp -d) && trap 'rm -rf "$$tools"' EXIT && $(PYTHON) -m venv "$$tools" && \
		"$$tools/bin/python" -m pip --disable-pip-version-check --quiet install uv && \
		"$$tools/bin/uv" pip compile --quiet --upgrade --universal --python-version 3.11 --extra dev \
			--no-annotate --no-header --no-emit-index-url --no-emit-package tensorflow-text --output-file requirements.lock pyproject.toml >/dev/null

clean:
	rm -rf .venv .venv-torch .venv-audit .venv-dist .venv-fuzz fuzz/corpus demo dist site .mypy_cache .pytest_cache .ruff_cache
