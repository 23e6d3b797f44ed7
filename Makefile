# A thin way in for those who type make: ./dev does the work.
.PHONY: help setup demo test lint format bench datasets clean
help setup demo test lint format bench datasets clean:
	@./dev $@
