from pipelines.artifacts.dropped import dropped_pairs_writer


def test_each_dropped_pair_is_a_line_with_its_part_and_reason(tmp_path):
    path = tmp_path / "dropped.tsv"
    with dropped_pairs_writer(path) as dropped:
        dropped.write("train", 0, [(2, "blank"), (7, "ratio")])
        dropped.write("train", 1, [])
        dropped.write("valid", 12, [(1, "too_long")])
    assert path.read_bytes() == (
        b"split\tpart\tline\treason\n"
        b"train\t00000\t2\tblank\n"
        b"train\t00000\t7\tratio\n"
        b"valid\t00012\t1\ttoo_long\n"
    )


def test_a_text_without_dropped_pairs_has_only_the_header(tmp_path):
    with dropped_pairs_writer(tmp_path / "dropped.tsv"):
        pass
    assert (tmp_path / "dropped.tsv").read_text() == "split\tpart\tline\treason\n"
