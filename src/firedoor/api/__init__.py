"""The control API: rollouts, flags and changes over HTTP, for people's tools and for CI."""
