"""Prints the queue's numbers."""

from queue_client import Queue

queue = Queue()
print(queue.body(queue.ask("stats")[1]))
