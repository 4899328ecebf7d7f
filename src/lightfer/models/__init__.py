"""Networks: one file per architecture, `registry` from a name to a net, `weights` and `find` its
files.
"""
