"""Pure decisions of guards: one mechanism a module, no clock, no threads, no event loop."""
