"""Shipped and public: conformance suites, a virtual-time loop, simulated worlds."""
