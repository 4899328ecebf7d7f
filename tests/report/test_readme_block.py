"""The block of a README on results that are made up: what is said, and what is left out."""

import re

from msgspec.structs import replace

from lightfer.report.figures import shown_trade_off
from lightfer.report.readme import block, finding, shown, table
from lightfer.results import Results
from tests.report.made_up import made_up


def test_nothing_to_show_is_none():
    assert shown(Results()) is None


def test_one_machine_and_way_with_a_row_for_every_net():
    results = made_up(6, 2)
    found = shown(results)
    assert found is not None
    assert len({(e.environment, e.runtime, e.precision) for e in found.entries}) == 1
    lines = table(found)
    assert len(lines) == 2 + len(found.entries)
    tops = [float(line.split("|")[2].split()[0]) for line in lines[2:]]
    assert tops == sorted(tops, reverse=True)
    text = block(found, "![figure](x.png)")
    assert text.startswith("![figure](x.png)\n- Most accurate is ")
    assert "FLOPs against time, rank correlation over 6 nets: " in text


def test_fewer_than_four_nets_have_no_rank_correlation_and_one_no_comparison():
    found = shown(made_up(3, 1))
    assert found is not None
    assert len(finding(found)) == 2
    alone = shown(made_up(1, 1))
    assert alone is not None
    assert finding(alone) == []


def test_what_was_scored_by_other_labels_stands_below_and_is_not_compared():
    results = made_up(6, 1)
    first, *others = results.entries
    assert first.accuracy
    best = replace(first.accuracy, labels="fer+", top1=0.99, ci95=(0.98, 1.0))
    of_votes = replace(first, model="voted_ferplus", accuracy=best)
    found = shown(Results(environments=results.environments, entries=(of_votes, *others)))
    assert found is not None
    assert len(found.entries) == len(others)
    assert "voted_ferplus" not in "\n".join([*table(found), *finding(found)])
    last = block(found).splitlines()[-1]
    assert last.endswith("other images or labels: voted_ferplus 99.00 [98.0, 100.0] (FER+)")


def test_a_name_is_shown_as_it_is():
    """`*a*` was in italics, `_b_` too, and `&lt;` became another character."""
    results = made_up(2, 1)
    names = "own:_net_ *a* my_net", "&lt;b&gt; &#61;1 R&D; a] b"
    entries = tuple(replace(e, model=n) for e, n in zip(results.entries, names, strict=True))
    found = shown(Results(environments=results.environments, entries=entries))
    assert found is not None
    text = "\n".join(table(found))
    assert r"own:\_net\_ \*a\* my_net" in text
    assert "&amp;lt;b&amp;gt; &amp;#61;1 R&amp;D; a] b" in text
    assert r"a\] b" in shown_trade_off(found.results, "f.png", found.times)


def test_a_string_of_a_file_makes_no_tag_link_or_picture():
    results = made_up(4, 1)
    evil = "<img src=x>![x](http://example.org/x.png) a\\|b"
    entries = tuple(replace(e, runtime=evil, model=f"{e.model} {evil}") for e in results.entries)
    found = shown(Results(environments=results.environments, entries=entries))
    assert found is not None
    text = block(found)
    assert "<" not in text
    assert "](" not in text
    assert shown_trade_off(found.results, "f.png", found.times).count("](") == 1
    cells = re.split(r"(?<!\\)(?:\\\\)*\|", table(found)[2])  # a pipe behind an escaped backslash
    assert len(cells) == len(re.split(r"\|", table(found)[0]))
