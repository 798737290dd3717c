# Two commands: `make demo` and `make test`. Both set up what they need in .venv; no root.
PYTHON ?= python3
VENV ?= .venv
WHAT ?= ecg
WORKERS ?= 2
BIN := $(VENV)/bin

FAMILIES := keras torch litert-torch onnx2tf

.PHONY: demo test check convert legacy openvino soak kills crash-states endurance \
    update-states update-mutants clean

demo: $(VENV)/all.stamp
	$(BIN)/edge-run demo $(WHAT)

test: check
	$(BIN)/python -m pytest -m "not alone" -n $(WORKERS) --dist loadfile
	$(BIN)/python -m pytest -m alone

check: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The backends on runtimes that cannot share an environment with the default ones.
legacy openvino:
	PYTHON=$(PYTHON) tests/runtimes.sh $@ .venv-$@

# The converters with every framework: environments of 6 GB together, made once, then their tests.
convert: $(VENV)/dev.stamp
	for family in $(FAMILIES); do $(BIN)/edge-convert setup $$family || exit 1; done
	EDGE_CONVERT_ALL=1 $(BIN)/python -m pytest tests/convert

# A million states that power cuts may leave the outbox in: half an hour, goes on where it was.
crash-states: $(VENV)/dev.stamp
	$(BIN)/python -m tests.crash.campaign --states 1000000 --report crash-states.jsonl
	$(BIN)/python -m tests.crash.campaign --faults --states 100000 --report crash-faults.jsonl

# The same for the store of updates, and a hundred thousand damaged models before the gate.
update-states: $(VENV)/dev.stamp
	$(BIN)/python -m tests.update.crash.campaign --states 1000000 --report update-states.jsonl
	$(BIN)/python -m tests.update.crash.campaign --of metadata --states 50000 \
	    --report metadata-states.jsonl

update-mutants: $(VENV)/dev.stamp
	nice -n 5 $(BIN)/python -m tests.update.gate.mutants --count 100000 --state build/update-mutants

# SIGKILL at random moments, ten thousand times: nothing that was accepted may be lost. Over an hour.
kills: $(VENV)/dev.stamp
	$(BIN)/python -m tests.kills --kills 10000

# A day of ECG through a real pipeline, faults included: nothing grows, drifts or is lost in silence.
endurance: $(VENV)/dev.stamp
	mkdir -p build
	nice -n 5 $(BIN)/python benchmarks/endurance.py --hours 24 --json build/endurance.json

# Ten million results through the durable sink into a broker that fails all the time: 40 minutes.
soak: $(VENV)/dev.stamp
	mkdir -p build
	nice -n 5 $(BIN)/python benchmarks/soak.py --json build/soak.json

$(VENV)/%.stamp: setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip setuptools
	$(BIN)/python -m pip install --quiet --editable '.[$*]'
	touch $@

clean:
	rm -rf .venv .venv-* build dist *.egg-info
