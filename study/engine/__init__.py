"""What runs a study: the ledger, the queue, Ray, the worker, the books."""
