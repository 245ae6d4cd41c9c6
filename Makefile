# make demo   the whole way on the example scene; results in demo-out/
# make test   the whole test suite
# make soak   the tests that try many cases, such as damaged files and kills, in full; takes long
# Each makes the virtual environment .venv first. Another Python: make PYTHON=/path/to/python3.11 test

# A version manager's stand-in is on the path even where it runs nothing, so each candidate is tried.
runs = for p in $(2); do "$$p" -c 'import sys; sys.exit("%d.%d" % sys.version_info[:2] != "$(1)")' 2>/dev/null && echo "$$p" && break; done
PYTHON ?= $(or $(shell $(call runs,3.11,python3.11 python3 python)),python3)
PYTHON313 ?= $(shell $(call runs,3.13,python3.13 $(HOME)/.pyenv/versions/3.13*/bin/python3.13))
VENV ?= .venv
VENV52 ?= .venv-blender52
OUT ?= demo-out
PIP_INSTALL = -m pip install --disable-pip-version-check --quiet --constraint constraints.txt
BLENDER52_TESTS ?= tests/blender

.PHONY: demo test soak test-blender52 python313 lint bench clean

demo: $(VENV)/demo-is-ready
	$(VENV)/bin/lyra demo --out $(OUT)

test: $(VENV)/test-is-ready
	$(VENV)/bin/python -m ruff check .
	$(VENV)/bin/python -m ruff format --check .
	$(VENV)/bin/python -m mypy
	$(VENV)/bin/python -m pytest --numprocesses auto --maxprocesses 4 --dist worksteal

soak: $(VENV)/test-is-ready
	LYRA_SOAK=1 $(VENV)/bin/python -m pytest -m soak

# The extension in Blender 5.2 LTS, whose module needs Python 3.13, against a backend in the Python 3.11 environment.
test-blender52: $(VENV)/test-is-ready $(VENV52)/is-ready
	LYRA_ENGINE_PYTHON=$(abspath $(VENV))/bin/python $(VENV52)/bin/python -m pytest $(BLENDER52_TESTS)

# Prints the Python for Blender 5.2, or nothing where there is none.
python313:
	@echo $(PYTHON313)

lint: $(VENV)/test-is-ready
	$(VENV)/bin/python -m ruff check .
	$(VENV)/bin/python -m ruff format --check .
	$(VENV)/bin/python -m mypy

bench: $(VENV)/test-is-ready
	$(VENV)/bin/python -m benchmarks.geometry

$(VENV)/bin/python:
	sh scripts/prepare-system.sh "$(PYTHON)"
	"$(PYTHON)" -c 'import sys; v = sys.version_info[:2]; sys.exit(v != (3, 11) and f"This needs Python 3.11, not {v[0]}.{v[1]}: make PYTHON=/path/to/python3.11")'
	"$(PYTHON)" -m venv $(VENV)

$(VENV)/demo-is-ready: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing Lyra Worlds and Blender into $(VENV)"
	$(VENV)/bin/python $(PIP_INSTALL) --editable .[demo]
	touch $@

$(VENV)/test-is-ready: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing Lyra Worlds, Blender and the test tools into $(VENV)"
	$(VENV)/bin/python $(PIP_INSTALL) --editable .[test]
	touch $@ $(VENV)/demo-is-ready

$(VENV52)/is-ready: constraints.txt
	@test -n "$(PYTHON313)" || { echo "Blender 5.2's module needs Python 3.13: make PYTHON313=/path/to/python3.13 $(MAKECMDGOALS)" >&2; exit 1; }
	"$(PYTHON313)" -m venv $(VENV52)
	$(VENV52)/bin/python $(PIP_INSTALL) bpy==5.2.3 pytest requests pillow platformdirs
	touch $@

clean:
	rm -rf $(VENV) $(VENV52) build dist *.egg-info
