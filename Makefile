# A thin way in for those who type make: ./dev does the work.
COMMANDS = help setup demo test lint format wheel kernels gate deb book bench instructions datasets lock clean
.PHONY: $(COMMANDS)
$(COMMANDS):
	@./dev $@
