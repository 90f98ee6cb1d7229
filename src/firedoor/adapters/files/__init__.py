"""Models on a folder: bundles and the registry, also on one that several machines share."""
