# Every target sets up what it needs. `make` alone lists them.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SETUP := $(VENV)/.installed
SETUP_DEV := $(VENV)/.installed-dev
LOWEST := .venv-lowest
NEWEST := .venv-newest
PACKAGED := .venv-package
BENCH := .venv-bench
SETUP_BENCH := $(BENCH)/.installed
PEERS := .venv-bench-peers
AUDIT := .venv-audit
SETUP_AUDIT := $(AUDIT)/.installed
PEERS_ASKED := benchmarks/speed/others/requirements.txt
SETUP_PEERS := $(PEERS)/.installed

.DEFAULT_GOAL := help
.PHONY: $(shell sed -nE 's/^([a-z-]+):.*##.*/\1/p' $(MAKEFILE_LIST))

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(SETUP): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(SETUP_DEV): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@ $(SETUP)

demo: $(SETUP)  ## the main job on shipped real data: two instances, scored and explained
	$(BIN)/propend demo propend-demo

demo-quick: $(SETUP)  ## the first of the two instances only
	$(BIN)/propend demo propend-demo --quick

test: $(SETUP_DEV)  ## all tests, on every core
	$(BIN)/python -m pytest -n auto --dist loadfile

crashes: $(SETUP_DEV)  ## faults at every operation that changes a file, hours; POINTS=n of each scene, SEED=n, SCENE=, KIND=, AT=
	POINTS=$${POINTS:-all} $(BIN)/python -m pytest -s --timeout 0 tests/test_crashes.py

kills: $(SETUP_DEV)  ## workers and servers killed at random instants, sixty times each; KILLS=n, SEED=n
	KILLS=$${KILLS:-60} $(BIN)/python -m pytest -s --timeout 0 tests/test_kills.py

fuzz: $(SETUP_DEV)  ## inputs that nobody thought of, at everything that reads; MINUTES=n, SEED=n
	$(BIN)/python -W ignore tests/fuzzing.py --minutes $${MINUTES:-10}

# Tools of their own, apart from what they look at.
$(SETUP_AUDIT): constraints-audit.txt
	$(PYTHON) -m venv $(AUDIT)
	$(AUDIT)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-audit.txt cyclonedx-bom pip-audit
	@touch $@

audit: $(SETUP_AUDIT)  ## pinned versions beside a database of known weaknesses; says so where there is none
	.ci/audit $(AUDIT)/bin/python

sbom: $(SETUP) $(SETUP_AUDIT)  ## what is installed with propend, with versions and licences, as CycloneDX
	mkdir -p .bench
	$(AUDIT)/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible -o .bench/sbom.json $(BIN)/python
	@echo "sbom: .bench/sbom.json"

lint: $(SETUP_DEV)  ## style and format
	$(BIN)/ruff check src tests benchmarks docsite
	$(BIN)/ruff format --check src tests benchmarks docsite

types: $(SETUP_DEV)  ## strict type check
	$(BIN)/mypy

format: $(SETUP_DEV)  ## mend style and format
	$(BIN)/ruff check --fix src tests benchmarks docsite
	$(BIN)/ruff format src tests benchmarks docsite

lowest:  ## the demo's short form with the lowest versions that pyproject.toml allows
	$(PYTHON) -m venv --clear $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-lowest.txt .
	$(LOWEST)/bin/propend --help > /dev/null
	$(LOWEST)/bin/propend demo $(LOWEST)/propend-demo --quick

newest:  ## the demo's short form with the newest versions that pyproject.toml allows
	$(PYTHON) -m venv --clear $(NEWEST)
	$(NEWEST)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade '.[server]'
	$(NEWEST)/bin/propend doctor
	$(NEWEST)/bin/propend demo $(NEWEST)/propend-demo --quick

# The wheel is built from the sdist, and installed where nothing of the checkout can be seen.
package: $(SETUP_DEV)  ## sdist and wheel, installed in a clean environment and run there
	rm -rf dist $(PACKAGED)
	$(BIN)/python -m build --outdir dist .
	$(PYTHON) -m venv $(PACKAGED)
	cd $(PACKAGED) && bin/python -m pip install --quiet --disable-pip-version-check -c ../constraints.txt ../dist/*.whl
	cd $(PACKAGED) && bin/propend --version && bin/propend doctor && bin/propend demo propend-demo --quick
	cd $(PACKAGED) && bin/python -c "import time; a = time.perf_counter(); import propend; \
	  print(f'import propend: {time.perf_counter() - a:.3f} s')"

$(SETUP_BENCH): pyproject.toml constraints-bench.txt
	$(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-bench.txt -e '.[bench]'
	@touch $@

bench-accuracy: $(SETUP_BENCH)  ## accuracy beside rules and hand-made models; FULL=1 all studies, RESUME=1 goes on
	$(BENCH)/bin/python -m benchmarks.accuracy

bench-explain: $(SETUP_BENCH)  ## speed and exactness of explanations; FULL=1 a million rows
	$(BENCH)/bin/python benchmarks/explain.py

bench-faithfulness: $(SETUP_BENCH)  ## factors true to the model, to the next fit, to the simulator; FULL=1 real goals
	$(BENCH)/bin/python benchmarks/faithfulness.py

# What cannot be installed is reported by the benchmark as not run.
$(SETUP_PEERS): $(PEERS_ASKED) constraints-bench-peers.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-bench-peers.txt \
	  -r $(PEERS_ASKED) || echo "not all of $(PEERS_ASKED) could be installed"
	@touch $@

bench-speed: $(SETUP_BENCH) $(SETUP_PEERS)  ## seconds by stage, and beside other tools; FULL=1 up to 200 million events
	$(BENCH)/bin/python -m benchmarks.speed

bench-spark: $(SETUP_DEV)  ## Spark beside DuckDB on one log: equal scores, the overhead; FULL=1 5 million events, and a bot
	$(BIN)/python -m benchmarks.speed.spark

bench-horizons: $(SETUP_BENCH)  ## one training for five horizons beside one for each; FULL=1 more goals
	$(BENCH)/bin/python benchmarks/horizons.py

bench-leaks: $(SETUP_BENCH)  ## planted leaks and drifts found, clean data accused; FULL=1 real data, RESUME=1 goes on
	$(BENCH)/bin/python benchmarks/leaks.py

bench-intervals: $(SETUP_BENCH)  ## true probabilities inside their intervals; FULL=1 more seeds, sizes and real data
	$(BENCH)/bin/python benchmarks/intervals.py

bench-stitching: $(SETUP_BENCH)  ## ids of one person joined, apart, or by the truth, of a simulated shop; FULL=1 five larger seeds
	$(BENCH)/bin/python benchmarks/stitching.py

selftests: $(SETUP_BENCH)  ## statistical promises on the simulator, whose truth is known; FULL=1 100 seeds, RESUME=1 goes on
	$(BENCH)/bin/python benchmarks/selftests.py

gallery: $(SETUP_DEV)  ## the studies of docs/gallery.md whose data are in DATA; reports in .bench/gallery; ONLY=, REMAKE=1
	$(BIN)/python -m benchmarks.gallery

bad-data: $(SETUP_DEV)  ## real orders broken in 122 ways: answers, how far scores move, docs/bad_data.md
	$(BIN)/python -m benchmarks.bad_data

bench-serving: $(SETUP_DEV)  ## look-ups and live scores, over HTTP while a run trains; FULL=1 a million profiles, 200 a second
	$(BIN)/python -m benchmarks.serving

bench-pages: $(SETUP_DEV)  ## server time of every page; FULL=1 a million scored profiles, 200 instances
	$(BIN)/python -m benchmarks.pages

soak: $(SETUP_DEV)  ## a server under mixed work: what it holds must not grow; MINUTES=5, FULL=1 an hour
	$(BIN)/python -m benchmarks.soak

evidence: $(SETUP_BENCH)  ## tables and pictures of docs/evidence.md from the results of FULL=1 make bench-accuracy, bench-speed
	$(BENCH)/bin/python -m benchmarks.accuracy.evidence
	$(BENCH)/bin/python -m benchmarks.speed.evidence

docs: $(SETUP_DEV)  ## the documentation as a site, in site/
	$(BIN)/python -m docsite

.PHONY: references
references: $(SETUP_DEV)  ## docs/reference/, written from the code
	$(BIN)/python -m docsite.references

pictures: $(SETUP_DEV)  ## pictures of the pages in docs/pictures/, by Chromium; EVERY=folder every page, light, dark, wide, narrow
	$(BIN)/python -m docsite.pictures

translations: $(SETUP_DEV)  ## new texts into the catalogs of every language, those no longer said out of them
	mkdir -p .bench
	$(BIN)/pybabel -q extract -F babel.cfg -k say -k say_many:1,2 -k say_marked -k noted --no-default-keywords \
	  --no-location --omit-header -o .bench/texts.pot .
	for catalog in src/propend/translations/*.po; do \
	  $(BIN)/pybabel update -i .bench/texts.pot -o $$catalog -l $$(basename $$catalog .po) \
	    --no-fuzzy-matching --ignore-obsolete --ignore-pot-creation-date --width 120; done

postgres:  ## Debian's PostgreSQL, for the tests of the catalog on a real server
	apt-get update -qq && apt-get install -y -qq postgresql

browser:  ## Debian's Chromium, for the tests that open the report in a real browser
	apt-get update -qq && apt-get install -y -qq chromium

clean:  ## remove what the targets made
	rm -rf $(VENV) $(LOWEST) $(NEWEST) $(PACKAGED) $(BENCH) $(PEERS) $(AUDIT) .bench .cache propend-demo build dist site \
	  .mypy_cache .ruff_cache .hypothesis
