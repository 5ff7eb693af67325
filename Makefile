# failover-sync. `make help` lists the targets; `make demo` and `make test` set up everything they need.

SHELL := /bin/bash
.DEFAULT_GOAL := help

# A program is built with a test of its package, and so with the features of all tests: with its own alone half of the
# libraries would be built once more.
CARGO_BUILD := cargo test --workspace --locked --no-run --test

VENV := .venv
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export SAM_CLI_TELEMETRY := 0

FUNCTIONS := failover-sync flush-hosts
# Layers that can be deployed on their own.
LAYERS := link database function flush-hosts ranges
ZIP_LIMIT := 4500000
# An environment of samconfig.toml; a preset has a stack of its own.
PRESET ?= default
STACK ?= failover-sync$(patsubst %,-%,$(filter-out default,$(PRESET)))
DENY_VERSION := 0.20.2
DENY := target/tools/bin/cargo-deny
CYCLONEDX_VERSION := 0.5.9
CYCLONEDX := target/tools/bin/cargo-cyclonedx
# What a release is for, and where the binaries are. The templates at its top are for the first.
ARCHITECTURES ?= arm64 x86_64
BINARIES_arm64 := target/arm64
BINARIES_x86_64 := target/lambda
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
# A release of this version, packaged or unpacked here. With DIST= deploy compiles nevertheless.
DIST ?= $(if $(shell grep -s 'SemanticVersion: $(VERSION)$$' dist/template.yaml),dist)
LINTERS := target/tools/lint
STANDALONE := $(LINTERS)/function-standalone.yaml
LINTED := template.yaml $(wildcard infra/*.yaml)
TERRAFORM := $(wildcard infra/terraform/*.tf infra/terraform/examples/*/*.tf)
WORKFLOWS := $(wildcard .github/workflows/*)
PAYLOAD ?= {}
TO ?= $(filter starburst planetscale,$(PRESET))
MINUTES ?= 30
CASES ?= 100000
SEED := $(or $(SEED),$(shell date +%s))
FUNCTION ?= $(STACK)
# sam validate wants a Region; which one does not matter.
LINT_REGION := us-east-1

.PHONY: help setup mariadb mysql demo picture demo-mysql lab soak simulate fuzz bench check test programs arm64 lint tables deny build build-arm64 package packaged preset named configure deploy $(LAYERS:%=deploy-%) accept ticket check-peering preflight invoke status clean

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  STACK=name           the stack of deploy, deploy-..., accept, ticket, invoke and status (default: $(STACK))"
	@echo "  DIST=                deploy and deploy-... compile although dist has this version"
	@echo "  ARCHITECTURES=...    what package makes a release for (default: arm64 x86_64); the first is at its top"
	@echo "  PRESET=name          a vendor's values for deploy, from samconfig.toml: starburst or planetscale"
	@echo "  ENDPOINT=vpce-...    the endpoint connection to accept, or all that are pending"
	@echo "  TO=name              who gets the ticket, if neither PRESET nor the allowed principals say it"
	@echo "  NAME=name            the configuration's name in the ticket, if it is not the stack's"
	@echo "  RESOURCE=name        what invoke invokes, if the stack has more than one function"
	@echo "  FUNCTION=name        the function of status, if it is not named after the stack"
	@echo "  PAYLOAD='{...}'      what invoke sends (default: {}), for example '{\"dryRun\": true}'"
	@echo "  TARGET_GROUP=arn:... the target group that preflight looks at"
	@echo "  DATABASE=name        the database's endpoint, or a CNAME of it, for configure and preflight"
	@echo "  VPC, PEER, ROUTED    ranges for check-peering: VPC='10.50.0.0/21' PEER='172.20.0.0/20' ROUTED='172.19.0.0/20'"
	@echo "  PEER_ROUTED, CIDRS   what PEER routes already; or ranges of which check-peering compares each with each"
	@echo "  MINUTES=30           how long soak goes on"
	@echo "  CASES=100000         how many cases fuzz tries of each property; SEED=number repeats a run"
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
	$(CARGO_BUILD) removal
	target/debug/lab demo

picture: demo ## Show the demo, and make its picture that of the README
	cp target/demo/timeline.svg tests/timeline.svg

demo-mysql: mariadb ## Show health checks that lock a load balancer out of MariaDB, and the way back
	@echo "Compiling the lab and the function (a few minutes the first time)"
	$(CARGO_BUILD) removal --test flush
	target/debug/lab demo-mysql

lab: setup ## Keep the local AWS of the demo running, to play with
	@echo "Compiling the lab (a few minutes the first time)"
	$(CARGO_BUILD) removal
	target/debug/lab up

soak: setup ## Fail over at random for MINUTES on the local AWS, under write load
	@echo "Compiling the lab (a few minutes the first time)"
	$(CARGO_BUILD) removal
	target/debug/lab soak --minutes $(MINUTES)

simulate: ## Let the function and its rivals live through 100,000 simulated failovers
	$(CARGO_BUILD) worlds
	target/debug/simulate --failovers 100000 --seed 1

fuzz: ## Try CASES of every property: variables, events, verdicts, and answers of AWS
	@echo "SEED=$(SEED)"
	PROPTEST_CASES=$(CASES) PROPTEST_RNG_SEED=$(SEED) cargo test --workspace --lib --test hostile

bench: setup ## Measure the function's release binary on loopback, and hold it to its budgets
	cd functions/failover-sync && cargo lambda build --release --output-format zip
	cargo build --workspace --bin bench
	target/debug/bench

check: setup ## The quick loop: formatting, clippy, all libraries, scripted worlds, documents
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	@python tests/run.py --quick

# Linking a release occupies one core only, for minutes: the rest is compiled beside it.
test: mariadb ## Run every test: code, template, binary, and the deployed stack on a local AWS
	@$(MAKE) --no-print-directory --jobs 2 build programs
	@python tests/run.py

programs: lint
	cargo test --workspace --locked --no-run

arm64: build-arm64 mariadb ## Run the tests of the binaries against those for arm64, under QEMU
	@tests/arm64.sh

lint: setup $(LINTERS)/templates ## Check formatting, clippy, the templates and the workflows
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

# Not again before one of them, or a linter, is another one.
$(LINTERS)/templates: $(LINTERS)/installed $(VENV)/installed $(LINTED) $(STANDALONE) $(TERRAFORM) tests/terraform.py $(WORKFLOWS)
	$(LINTERS)/bin/cfn-lint $(LINTED) $(STANDALONE)
	@printf '%s\n' $(LINTED) $(STANDALONE) | xargs -P 2 -I {} sam validate --region $(LINT_REGION) --template-file {}
	$(LINTERS)/bin/checkov --framework cloudformation --file $(LINTED) --compact --quiet --skip-download
	$(LINTERS)/bin/python tests/terraform.py --check
	$(LINTERS)/bin/checkov --framework terraform --directory infra/terraform --compact --quiet --skip-download
	$(LINTERS)/bin/zizmor --quiet --offline $(WORKFLOWS)
	@touch $@

# What a release makes out of that layer.
$(STANDALONE): infra/standalone.py infra/function.yaml $(VENV)/installed
	@mkdir -p $(@D)
	python infra/standalone.py > $@

$(LINTERS)/installed: tests/lint-requirements.txt
	@echo "Installing cfn-lint, checkov and zizmor into $(LINTERS) (one or two minutes)"
	python3 -m venv $(LINTERS)
	$(LINTERS)/bin/pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

tables: setup ## Renew the guides' tables and the variables of Terraform from the templates
	@python tests/tables.py
	@python tests/terraform.py

# The advisories are a repository on the Internet; without it the rest is checked all the same.
deny: $(DENY) ## Check the licenses and sources of all dependencies, and the advisories where they can be fetched
	$(DENY) check bans licenses sources
	@if $(DENY) fetch db; then $(DENY) check --disable-fetch advisories; \
		else echo "advisories: NOT CHECKED, because their database could not be fetched"; fi

$(DENY):
	@echo "Compiling cargo-deny into target/tools (some minutes, once)"
	cargo install --quiet --locked --root target/tools cargo-deny@$(DENY_VERSION)

build: setup ## Build the functions: what sam deploy uploads, and a zip of each
	sam build
	@for layer in database flush-hosts; do \
		sam build --template-file infra/$$layer.yaml --build-dir .aws-sam/$$layer || exit 1; \
	done
	@for function in $(FUNCTIONS); do \
		zip=target/lambda/$$function/bootstrap.zip; \
		(cd functions/$$function && cargo lambda build --release --output-format zip) || exit 1; \
		size=$$(wc -c < $$zip); echo "$$zip: $$size bytes"; \
		[ $$size -lt $(ZIP_LIMIT) ] || { echo "the zip is over $(ZIP_LIMIT) bytes"; exit 1; }; \
	done

build-arm64: setup ## Build the functions for arm64 into target/arm64
	@infra/build-arm64.sh

# The list of components is the same for both architectures. cargo-cyclonedx puts one beside every crate.
package: build $(filter build-arm64,$(ARCHITECTURES:%=build-%)) $(CYCLONEDX) ## Make a release in dist: zips, templates, guides, sums, SBOM
	@mkdir -p target/sbom
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct 2>/dev/null || echo 0) $(CYCLONEDX) cyclonedx --quiet --format json \
		--spec-version 1.5 --describe binaries --target x86_64-unknown-linux-gnu
	@for function in $(FUNCTIONS); do \
		sed 's|file://$(CURDIR)/|file:///|g' functions/$$function/$${function}_bin.cdx.json > target/sbom/$$function.cdx.json; \
	done
	@rm functions/*/*.cdx.json tests/*.cdx.json tests/*/*.cdx.json
	python3 infra/package.py dist $(foreach one,$(ARCHITECTURES),$(one)=$(BINARIES_$(one))) $(FUNCTIONS:%=target/sbom/%.cdx.json)

$(CYCLONEDX):
	@echo "Compiling cargo-cyclonedx into target/tools (some minutes, once)"
	cargo install --quiet --locked --root target/tools cargo-cyclonedx@$(CYCLONEDX_VERSION)

# The function is named after the stack.
named:
	@name=$(STACK); [ $${#name} -le 64 ] || \
		{ echo "a function's name has at most 64 characters, $$name has $${#name}: give STACK a shorter one"; exit 1; }

# SAM takes an environment that does not exist for an empty one.
preset:
	@grep -q '^\[$(PRESET)\.deploy\.' samconfig.toml || { echo "samconfig.toml has no PRESET=$(PRESET)"; exit 1; }

packaged: setup
	@echo "Deploying version $(VERSION) out of $(DIST); with DIST= it is compiled anew"

deploy: preset named $(if $(DIST),packaged,build) ## Deploy to AWS; asks for the parameters and remembers them in samconfig.toml
	sam deploy --guided $(if $(DIST),--template-file $(DIST)/template.yaml --config-file $(CURDIR)/samconfig.toml )--config-env $(PRESET) --stack-name $(STACK)

# With files of its own: the build and the saved answers of the front door stay what they are.
deploy-database: ## Add another database to a link; needs STACK=name for its own stack, as the other layers do
deploy-function: ## The function for a target group that exists; it only observes at first
deploy-flush-hosts: ## For MySQL and MariaDB: add the function that flushes the host cache
deploy-link: ## A link without a database, with all of its parameters
deploy-ranges: ## Address ranges as prefix lists, for several databases to share
$(LAYERS:%=deploy-%): deploy-%: $(if $(DIST),packaged,setup) named
	@[ "$(origin STACK)" = "command line" ] || { echo "give its stack a name: make $@ STACK=billing"; exit 1; }
	$(if $(DIST),,sam build --template-file infra/$*.yaml --build-dir .aws-sam/$*)
	sam deploy --guided --template-file $(if $(DIST),$(DIST)/infra/$*.yaml,.aws-sam/$*/template.yaml) --config-file $(CURDIR)/samconfig.toml \
		--config-env $(STACK) --stack-name $(STACK) --capabilities CAPABILITY_IAM

accept: setup ## List the endpoint connections of STACK, and accept the pending ENDPOINT
	@python infra/accept.py $(STACK) $(ENDPOINT)

configure: setup ## Fill the parameters of a deployment from DATABASE, and ask for the rest; changes nothing on AWS
	@python infra/configure.py $(DATABASE)$(if $(filter-out default,$(PRESET)), --preset $(PRESET))

preflight: setup ## Whether the function can keep TARGET_GROUP, which exists, for DATABASE; changes nothing
	@python infra/preflight.py $(TARGET_GROUP) $(DATABASE)

ticket: setup ## What a vendor needs for its endpoint to STACK, ready to paste
	@python infra/ticket.py $(STACK)$(if $(TO), --to $(TO))$(if $(NAME), --name '$(NAME)')

invoke: setup ## Invoke the deployed function with PAYLOAD, on AWS or in the lab
	@set -o pipefail; sam remote invoke $(if $(RESOURCE),$(RESOURCE) )--config-env $(PRESET) --stack-name $(STACK) --event '$(PAYLOAD)' | python3 -m json.tool

status: ## Show endpoint, addresses, members and verdict of each binding of the deployed function
	@[ -x target/debug/status ] || echo "Compiling it (a minute and a half the first time)" >&2
	@$(CARGO_BUILD) version --quiet
	@target/debug/status --function $(FUNCTION)

check-peering: ## Whether VPC and PEER can be peered, and what ROUTED has in the way; or whether any of CIDRS overlap
	@python3 infra/check_peering.py $(CIDRS) $(if $(VPC),--vpc $(VPC)) $(if $(PEER),--peer $(PEER)) \
		$(if $(ROUTED),--routed $(ROUTED)) $(if $(PEER_ROUTED),--peer-routed $(PEER_ROUTED))

clean: ## Remove everything that was built or installed here
	rm -rf target dist .aws-sam $(VENV)
