"""Pure decisions about which rows, if any, are to blame for a failure."""
