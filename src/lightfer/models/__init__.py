"""Networks: one file per architecture, `registry` from a name to a net, `weights` its files."""
