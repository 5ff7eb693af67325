# failover-sync. `make help` lists the targets; `make demo` and `make test` set up everything they need.

SHELL := /bin/bash
.DEFAULT_GOAL := help

VENV := .venv
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export SAM_CLI_TELEMETRY := 0

FUNCTIONS := failover-sync flush-hosts
BUILT := $(CURDIR)/.aws-sam/build
ZIP_LIMIT := 6000000
STACK ?= failover-sync
PAYLOAD ?= {}
# cfn-lint and sam validate check against the resource schemas of a Region; which one does not matter.
LINT_REGION := us-east-1

.PHONY: help setup mariadb mysql demo demo-mysql lab simulate test lint build deploy invoke clean

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  STACK=name           the stack of deploy and invoke (default: $(STACK))"
	@echo "  PAYLOAD='{...}'      what invoke sends (default: {}), for example '{\"dryRun\": true}'"
	@echo "  AWS_ENDPOINT_URL=... lets invoke talk to the lab that 'make lab' keeps running"

setup: $(VENV)/installed ## Install the Python tools into .venv

$(VENV)/installed: tests/requirements.txt
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "Python 3.10 or newer is needed; python3 is $$(python3 --version 2>&1)"; exit 1; }
	@echo "Installing the Python tools into $(VENV) (about a minute)"
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --upgrade pip
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --requirement tests/requirements.txt
	@touch $@

mariadb: ## Install MariaDB, without its service, for the tests of flush-hosts
	@tests/install-mariadb.sh

mysql: ## Install MySQL into target/mysql, for more tests: MYSQL_CHROOT=$PWD/target/mysql make test
	@tests/install-mysql.sh

demo: setup ## Show a failover and a failback on a local AWS, under write load
	@echo "Compiling the lab (a few minutes the first time)"
	cargo build --package lab
	target/debug/lab demo

demo-mysql: mariadb ## Show health checks that lock a load balancer out of MariaDB, and the way back
	@echo "Compiling the lab and the function (a few minutes the first time)"
	cargo build --package lab --package flush-hosts
	target/debug/lab demo-mysql

lab: setup ## Keep the local AWS of the demo running, to play with
	@echo "Compiling the lab (a few minutes the first time)"
	cargo build --package lab
	target/debug/lab up

simulate: ## Let the function and its rivals live through 100,000 simulated failovers
	cargo run --package simulation -- --failovers 100000 --seed 1

test: lint build mariadb ## Run every test: code, template, binary, and the deployed stack on a local AWS
	cargo test --workspace
	@echo "The tests of the binaries once more, with those that are deployed"
	BOOTSTRAP=$(BUILT)/Function/bootstrap cargo test --workspace --test runtime
	BOOTSTRAP=$(BUILT)/FlushHosts/bootstrap cargo test --workspace --test servers

lint: setup ## Check formatting, clippy and the templates
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cfn-lint template.yaml infra/*.yaml
	sam validate --lint --region $(LINT_REGION)

build: setup ## Build the functions: what sam deploy uploads, and a zip of each
	sam build
	@for function in $(FUNCTIONS); do \
		zip=target/lambda/$$function/bootstrap.zip; \
		(cd functions/$$function && cargo lambda build --release --output-format zip) || exit 1; \
		size=$$(wc -c < $$zip); echo "$$zip: $$size bytes"; \
		[ $$size -lt $(ZIP_LIMIT) ] || { echo "the zip is over $(ZIP_LIMIT) bytes"; exit 1; }; \
	done

deploy: build ## Deploy to AWS; asks for the parameters and remembers them in samconfig.toml
	sam deploy --guided --stack-name $(STACK)

invoke: setup ## Invoke the deployed function with PAYLOAD, on AWS or in the lab
	@set -o pipefail; sam remote invoke Function --stack-name $(STACK) --event '$(PAYLOAD)' | python3 -m json.tool

clean: ## Remove everything that was built or installed here
	rm -rf target .aws-sam $(VENV)
