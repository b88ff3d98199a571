# exmedic: `make demo` shows it working, `make test` proves it. Both install what they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Tests start hundreds of processes, each of which would compile everything anew.
unexport PYTHONDONTWRITEBYTECODE
APT := DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0

.PHONY: demo test powershell powershell-ladders chaos mutants lint venv dev system-python system-test clean

demo: venv
	@$(BIN)/exmedic demo

# Tests mostly wait: eight at a time keep two cores busy.
test: dev system-test
	$(BIN)/python -m pytest -q -n 8 --dist worksteal -m "not chaos and not powershell and not powershell_ladders"

# The shipped scripts run by a real PowerShell, which EXMEDIC_PWSH names or PATH has: minutes, so `make test` runs a few of
# the calls. It goes on where it was cut off: what passed is kept in .powershell/ by the hashes of script, stubs and case.
powershell: dev
	$(BIN)/python -m pytest -q -n 2 --dist worksteal -m powershell tests/powershell

# A ladder of each shipped runbook, healed by the real scripts behind real WinRM: nothing in it runs fast, so each takes
# minutes. It goes on where it was cut off, by the same list.
powershell-ladders: dev
	$(BIN)/python -m pytest -q -n 2 --dist worksteal -m powershell_ladders tests/powershell

# Killed everywhere, and every real part failing in its own way: takes long, so it is not part of `make test`.
# Kills and nights go on where they were cut off, by the list in .campaigns/, until the code changes; so do the mutants.
chaos: dev system-test
	$(BIN)/python -m pytest -q -n 4 --dist worksteal -m chaos
	$(BIN)/python -m tests.chaos.campaign
	$(BIN)/exmedic simulate --seeds 100000 --kept .campaigns/nights

# Is the checker right? Every runbook that is one edit away from a shipped one, checked and played.
mutants: dev
	$(BIN)/python -m tests.mutants

lint: dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

venv: $(VENV)/.installed
dev: $(VENV)/.installed-dev

$(VENV)/.installed: pyproject.toml | system-python
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip --disable-pip-version-check -q install -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@$(BIN)/pip --disable-pip-version-check -q install -e '.[dev]'
	@touch $@

# A Debian python3 comes without ensurepip, which `python3 -m venv` needs.
system-python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo "exmedic needs Python 3.11 or newer as $(PYTHON)"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || $(MAKE) --no-print-directory debian PACKAGES=python3-venv

# The real parts the tests run against: a broker, and systemd's journald, journalctl and systemd-analyze, and a
# clock that a test can set.
system-test:
	@missing=; command -v mosquitto /usr/sbin/mosquitto >/dev/null || missing="$$missing mosquitto"; \
	command -v mosquitto_pub >/dev/null || missing="$$missing mosquitto-clients"; \
	{ [ -x /lib/systemd/systemd-journald ] && command -v journalctl systemd-analyze >/dev/null; } || missing="$$missing systemd"; \
	ls /usr/lib/*/faketime/libfaketimeMT.so.1 >/dev/null 2>&1 || missing="$$missing libfaketime"; \
	[ -z "$$missing" ] || $(MAKE) --no-print-directory debian PACKAGES="$$missing"

debian:
	@[ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null || { echo "Missing Debian packages. Install them, then run make again: apt-get install $(PACKAGES)"; exit 1; }
	@$(APT) update >/dev/null && $(APT) install -y --no-install-recommends $(PACKAGES) >/dev/null

clean:
	rm -rf $(VENV) .powershell .campaigns .mypy_cache .ruff_cache .hypothesis
