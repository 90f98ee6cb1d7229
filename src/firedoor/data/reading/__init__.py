"""Cut batches from files and iterables, so that the same place always cuts the same batch."""
