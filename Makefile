# Forwards to ./run, which needs nothing but a shell.
VERBS := setup build demo test bench style install
.PHONY: all $(VERBS)
all: build
$(VERBS):
	./run $@ $(ARGS)
