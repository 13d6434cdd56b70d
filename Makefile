# knarr: `make run` brings a cluster up and runs the main job; `make test` runs every test this machine can run.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/pip --disable-pip-version-check --quiet

.PHONY: run test check bench soak lock clean packages packages-test machine

run: packages .venv/.run
	@tools/main-job.sh

test: packages-test .venv/.test check
	$(BIN)/pytest -n 2 tests/scenarios tests/simulation
	$(BIN)/pytest tests/contracts tests/conformance tests/e2e

check: .venv/.test
	$(BIN)/ruff format --check src tests bench
	$(BIN)/ruff check src tests bench
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/pytest -n 2 tests/tidy tests/unit tests/fuzz

bench: packages-test .venv/.run
	@for claim in cluster rollouts node probes api controllers scheduler images registry_clients builds inner_loop; do \
	  echo "== bench/$$claim.py"; $(BIN)/python -m bench.$$claim || exit 1; done

soak: .venv/.test
	KNARR_EXPLORE=1 $(BIN)/pytest -n 2 --timeout 3600 tests/unit
	KNARR_ROUNDS=60 $(BIN)/pytest --timeout 3600 tests/conformance/test_consistency.py
	KNARR_POWER_LOSSES=10000 $(BIN)/pytest --timeout 3600 tests/conformance/test_store_power_loss.py \
	  tests/conformance/test_registry_power_loss.py
	KNARR_SEEDS=20000 SEEDS=500 $(BIN)/pytest --timeout 3600 tests/simulation tests/unit/kubelet/test_survival.py
	KNARR_SCHEDULER_SEEDS=5000 $(BIN)/pytest --timeout 3600 tests/unit/scheduler/test_oracle.py
	KNARR_ODD_OBJECTS=2000 $(BIN)/pytest -n 2 --timeout 3600 tests/unit/kinds/test_rules_hold.py
	KNARR_FUZZ=100000 $(BIN)/pytest -n 2 --timeout 3600 tests/fuzz
	KNARR_RBAC_CASES=200000 $(BIN)/pytest --timeout 3600 tests/unit/apiserver/test_rbac_oracle.py
	KNARR_RACE_TRIES=100000 $(BIN)/pytest --timeout 3600 tests/unit/kubelet/test_sub_path_race.py
	KNARR_MOUNT_TRIES=10000 KNARR_DELETE_ROUNDS=50 $(BIN)/pytest -s --timeout 7200 tests/e2e/test_mount_races.py \
	  tests/e2e/test_remnants.py
	KNARR_LAYER_BYTES=5368709120 $(BIN)/pytest --timeout 900 tests/conformance/test_registry_process.py
	KNARR_KILL_ROUNDS=50 KNARR_KILL_PODS=100 KNARR_KILL_CYCLES=2000 KNARR_STREAM_SECONDS=3600 $(BIN)/pytest -s \
	  --timeout 14400 tests/e2e/test_outliving.py tests/e2e/test_survival.py tests/e2e/test_streams.py

machine:
	tools/machine.sh build
	tools/machine.sh start
	tools/machine.sh put
	tools/machine.sh ssh 'cd knarr && make run'

packages:
	@tools/packages.sh run

packages-test:
	@tools/packages.sh test

.venv/.run: requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) install --require-hashes -r requirements.lock
	$(PIP) install --no-deps --no-build-isolation -e .
	touch $@

.venv/.test: .venv/.run requirements-test.lock
	$(PIP) install --require-hashes -r requirements-test.lock
	touch $@

lock:
	uv pip compile --universal --generate-hashes --no-emit-index-url --no-header --upgrade --extra build -o requirements.lock pyproject.toml
	uv pip compile --universal --generate-hashes --no-emit-index-url --no-header --upgrade --extra build --extra test -c requirements.lock -o requirements-test.lock pyproject.toml

clean:
	@for file in .cache/machine-*/pid; do \
	  [ ! -s $$file ] || [ "$$(cat /proc/$$(cat $$file)/comm 2>/dev/null)" != qemu-system-x86 ] || \
	  { echo "the machine in $$(dirname $$file) runs: tools/machine.sh stop ends it"; exit 1; }; done
	rm -rf .venv .cache
