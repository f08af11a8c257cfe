# make demo: sets everything up and opens the page. make test: sets everything up and runs the tests.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: demo test quick slow check fuzz audit weights release browser space clean

demo: $(READY)
	$(BIN)/python app.py

# -I: the variables PYTHON... do not reach the tests (tests/conftest.py drops the others)
PYTEST := env -u PYTEST_ADDOPTS -u PYTEST_PLUGINS $(BIN)/python -I -X utf8 -m pytest

test: $(READY) browser
	$(PYTEST)

# Under a minute on two cores: some files of each room, without a browser and without what takes more than some seconds
QUICK := $(patsubst %,tests/test_%.py,architecture metrics threshold images layouts data plots equations publish cli \
  contract tabs ablate export embedded take_apart) $(wildcard tests/test_your*.py)
LONG := two_processes or distilling or (test_contract and not (patchcore or stfpm))

quick: $(READY)
	$(PYTEST) -m "not slow and not browser" -k "not ($(LONG))" $(QUICK)

slow: $(READY) browser
	$(PYTEST) -m slow -n 0 --timeout 3600

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Thousands of valid, damaged and hostile inputs for everything that takes untrusted ones: an hour on one core. What was
# tried is kept in build/fuzz, where a stopped run continues. make fuzz FUZZ="--target images --count 500" runs a part.
fuzz: $(READY)
	env OMP_NUM_THREADS=1 $(BIN)/python -X utf8 -m tests.fuzz $(FUZZ)

# Asks about known vulnerabilities of everything that is installed in .venv; needs the network
audit: $(READY)
	$(BIN)/python .ci/audit

# Makes the ready detectors that are missing or stale: twenty minutes for all thirty, on two cores
weights: $(READY)
	$(BIN)/python -m lab weights

# uv where present, pip otherwise; either way in an environment of the project's own
$(READY): requirements.txt requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	@if command -v uv >/dev/null; then \
	  uv venv --quiet --clear --python $(PYTHON) .venv && \
	  uv pip install --quiet --python $(BIN)/python -r requirements-dev.txt; \
	else \
	  $(PYTHON) -m venv --clear .venv && \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt; \
	fi
	@touch $(READY)

# The page is tested in a real browser. Without one, and without the right to install it, those tests are skipped.
browser:
	@command -v chromium >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
	  apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium >/dev/null; } || \
	  echo "no chromium: the tests of the page will be skipped (Debian, Ubuntu: apt-get install chromium)"

# Checks that a release is ready, tries its wheel in a clean environment and prints the command that tags it
release: $(READY)
	.ci/release

# The files of a Hugging Face Space, as committed, in a new folder: make space DIR=/tmp/space [SPACE=user/name].
# SPACE is where it will be, and gives it its thumbnail, which must be an address.
THUMBNAIL := .github/page.png
space:
	@test -n "$(DIR)" || { echo "name a new folder: make space DIR=/tmp/space"; exit 2; }
	@mkdir -p "$(DIR)" && test -z "$$(ls -A "$(DIR)")" || { echo "$(DIR) is not empty"; exit 2; }
	git archive HEAD $(THUMBNAIL) LICENSE README.md app.py lab requirements.txt weights | tar -x -C "$(DIR)"
	@test -z "$(SPACE)" || { cd "$(DIR)" && awk '{ print } /^app_file:/ { print \
	  "thumbnail: https://huggingface.co/spaces/$(SPACE)/resolve/main/$(THUMBNAIL)" }' README.md > README.new && \
	  mv README.new README.md; }

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
