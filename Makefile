# Two commands do it all: `make chat` and `make test`. Everything is installed into .venv beside this file.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet -c constraints.txt

.PHONY: chat test test-distributed check soak fuzz format eval reader screenshot clean

# The index is built once; later changes of the corpus are told in the chat (F5) and taken in by `assistant index`.
# (Not a target of its own: make deletes the target of a recipe that was stopped.)
chat: $(VENV)/installed
	@test -e .index/ledger.db || $(BIN)/assistant index
	@$(BIN)/assistant

test: $(VENV)/installed-for-tests
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal

# Indexes on a Milvus server and builds on a Ray cluster, on real ones that the tests start here; some 20 minutes.
test-distributed: $(VENV)/installed-for-distributed-tests
	ASSISTANT_DISTRIBUTED=1 $(BIN)/python -m pytest tests/contracts tests/index/test_milvus.py tests/index/test_ray_build.py \
		tests/index/test_copying.py

check: $(VENV)/installed-for-tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Damaged files of every format, ten minutes each.
MINUTES ?= 10
fuzz: $(VENV)/installed-for-tests
	$(BIN)/python -m tests.index.fuzz_loaders --minutes $(MINUTES)

format: $(VENV)/installed-for-tests
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The long forms of what the store must stand: 1,000 killed builders, a minute of readers and writers. About 20 minutes.
soak: $(VENV)/installed-for-tests
	ASSISTANT_SOAK=1 $(BIN)/python -m pytest tests/index/test_faults.py

eval: $(VENV)/installed
	@$(BIN)/assistant eval alliance

# Trains the reader and ships it: DATA and SETS are the folders of docs/answers.md, RUN where it is saved every five minutes.
# Stopped, the same command goes on. Hours on two processor cores: some 25 pairs a second.
RUN ?= .evals/reader-run
# STEPS=20 tries the whole of it in half an hour, nearly all of it preparation; what that makes is no reader.
LEARNS = --written assistant/reader/written.txt --epochs 1 --wrong 1 --singles 1000 $(if $(STEPS),--steps $(STEPS))
reader: $(VENV)/installed
	@test -n "$(DATA)" -a -n "$(SETS)" || { echo "make reader DATA=folder SETS=folder (see docs/answers.md)"; exit 1; }
	$(BIN)/python -m assistant.reader.train "$(DATA)" "$(SETS)" "$(RUN)/first" $(LEARNS) --rate 1.2e-4
	$(BIN)/python -m assistant.reader.train "$(DATA)" "$(SETS)" "$(RUN)/second" $(LEARNS) --rate 1e-4 \
		--start "$(RUN)/first/best.safetensors"
	$(BIN)/python -m assistant.reader.export "$(RUN)/second" --mean-with "$(RUN)/first/best.safetensors"

# The pictures of docs/, made by the program itself.
screenshot: $(VENV)/installed
	$(BIN)/python docs/screenshot.py

clean:
	rm -rf $(VENV) .index build dist

$(VENV)/installed: pyproject.toml constraints.txt
	@echo "Installing into $(VENV) (once, a few minutes) …"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 chat")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@# torch first and exactly: that takes the CPU build where one is provided.
	@$(PIP) torch==2.13.0
	@$(PIP) -e .
	@touch $@

$(VENV)/installed-for-tests: $(VENV)/installed
	@$(PIP) -e '.[test,test-llm,test-web]'
	@touch $@

$(VENV)/installed-for-distributed-tests: $(VENV)/installed-for-tests
	@$(PIP) -e '.[milvus,ray,test-distributed]'
	@touch $@
