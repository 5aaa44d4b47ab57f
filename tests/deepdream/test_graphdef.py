"""Frozen TensorFlow graphs: nodes, attributes and tensors of valid files, and refusal of damaged ones."""

import numpy as np
import pytest
from graphs import block, ints, kind, node, number, real, small_inception, tensor, varint
from hypothesis import given
from hypothesis import strategies as st

from streamfx.deepdream.graphdef import _varint, read_graph
from streamfx.errors import StreamfxError


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return small_inception().write(tmp_path_factory.mktemp("graph") / "graph.pb")


@pytest.fixture
def read(tmp_path):
    """read(content): the nodes in a file with these bytes."""

    def read(content):
        (tmp_path / "g.pb").write_bytes(content)
        return read_graph(tmp_path / "g.pb")

    return read


def constant(content):
    """A node with a TensorProto of these bytes."""
    return node("c", "Const", (), value=block(8, content))


def shape(*sides):
    return block(2, b"".join(block(2, number(1, side)) for side in sides))


def test_nodes_have_names_operations_and_inputs(read):
    content = node("a", "Placeholder") + node("scope/b", "Add", ["a:0", "a", "^control", "split:3"])
    first, second = read(content)
    assert (first.name, first.op, first.inputs, first.attributes) == ("a", "Placeholder", (), {})
    assert (second.name, second.op, second.inputs) == ("scope/b", "Add", ("a", "a", "control", "split"))


def test_attributes_of_all_kinds(read):
    attributes = {
        "strides": ints([1, 2, -1, 1]),
        "padding": block(2, "SAME"),
        "T": kind(1),
        "N": number(3, 5),
        "axis": number(3, -1),
        "flag": number(5, 1),
        "alpha": real(4, 0.25),
        "empty": b"",
        "other": block(10, "x"),
    }
    (only,) = read(node("a", "Op", (), **attributes))
    assert only.attributes == {
        "strides": [1, 2, -1, 1],
        "padding": b"SAME",
        "T": 1,
        "N": 5,
        "axis": -1,
        "flag": 1,
        "alpha": 0.25,
    }


def test_integer_lists_may_be_packed_or_not(read):
    unpacked = block(1, number(3, 7) + number(3, 300))
    (only,) = read(node("a", "Op", (), packed=ints([7, 300]), unpacked=unpacked))
    assert only.attributes["packed"] == only.attributes["unpacked"] == [7, 300]


@pytest.mark.parametrize(
    ("code", "dtype"), [(1, "<f4"), (2, "<f8"), (3, "<i4"), (9, "<i8")], ids=["float", "double", "int32", "int64"]
)
def test_raw_tensors_of_all_types(code, dtype, read):
    values = np.array([[1, -2, 3], [4, 5, -6]], dtype)
    (only,) = read(constant(number(1, code) + shape(2, 3) + block(4, values.tobytes())))
    result = only.attributes["value"]
    assert result.dtype == values.dtype
    np.testing.assert_array_equal(result, values)


@pytest.mark.parametrize(
    ("code", "field", "values"),
    [
        (1, 5, np.array([1.5, -2], "<f4").tobytes()),
        (2, 6, np.array([1.5, -2], "<f8").tobytes()),
        (9, 10, varint(1) + varint(-2)),
    ],
    ids=["float_val", "double_val", "int64_val"],
)
def test_values_that_are_stored_one_by_one(code, field, values, read):
    (only,) = read(constant(number(1, code) + shape(2) + block(field, values)))
    assert only.attributes["value"].tolist() == [1 if field == 10 else 1.5, -2]


def test_scalars_have_no_shape_and_empty_tensors_no_values(read):
    (scalar,) = read(constant(tensor(np.float32(2.5))))
    assert (scalar.attributes["value"].shape, float(scalar.attributes["value"])) == ((), 2.5)
    (empty,) = read(constant(number(1, 1) + shape(0, 4)))
    assert empty.attributes["value"].shape == (0, 4)


def test_tensors_of_other_types_are_empty(read):
    (text,) = read(constant(number(1, 7) + shape(3) + block(8, "words")))
    assert text.attributes["value"].size == 0


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "has no nodes"),
        (number(2, 1) + block(4, "versions"), "has no nodes"),
        (block(1, b"\x0b"), "unsupported wire type 3"),
        (block(1, block(1, b"\xff\xfe")), "not a complete TensorFlow graph"),
        (constant(number(1, 1) + shape(3) + block(4, b"\0" * 8)), r"shape \[3\] has 2 values"),
        (constant(number(1, 1) + shape(2) + block(4, b"\0" * 12)), r"shape \[2\] has 3 values"),
        (constant(number(1, 1) + shape(2)), r"shape \[2\] has 0 values"),
        (constant(number(1, 1) + shape(2) + block(4, b"\0" * 7)), "not a complete TensorFlow graph"),
        (node("a", "Op", (), alpha=block(4, b"\0")), "not a complete TensorFlow graph"),
    ],
)
def test_damaged_messages_are_refused(content, reason, read):
    with pytest.raises(StreamfxError, match=reason) as error:
        read(content)
    assert "\n" not in str(error.value)


def test_unknown_fields_are_skipped(read):
    fields = varint(9 << 3 | 1) + b"\0" * 8 + varint(9 << 3 | 5) + b"\0" * 4 + number(9, 300) + block(9, "text")
    plain = node("a", "Relu", ["b"])
    assert read(fields + plain + fields) == read(plain)


def test_nodes_keep_the_order_of_the_file(file):
    names = [item.name for item in read_graph(file)]
    assert names[:4] == ["input", "conv2d0_w", "conv2d0_b", "conv2d0_pre_relu/conv"]
    assert len(set(names)) == len(names)


def test_folders_are_refused(tmp_path):
    with pytest.raises(StreamfxError, match=r"cannot read graph .*directory"):
        read_graph(tmp_path)


@pytest.mark.parametrize("message", [b"", b"\x80", b"\xff" * 9, b"\xff" * 10 + b"\x01"])
def test_varints_without_an_end_are_refused(message):
    with pytest.raises(ValueError, match="truncated"):
        _varint(message, 0)


def test_last_stored_value_fills_the_tensor(tmp_path):
    def value(content):
        return node("c", "Const", (), value=block(8, content))

    shape = block(2, block(2, b"\x08\x02") + block(2, b"\x08\x03"))
    packed = block(5, np.array([1.5, -2.0], "<f4").tobytes())
    minus_one = b"\xff" * 9 + b"\x01"
    path = tmp_path / "g.pb"
    path.write_bytes(value(b"\x08\x01" + shape + packed))
    (first,) = (n.attributes["value"] for n in read_graph(path))
    np.testing.assert_array_equal(first, [[1.5, -2, -2], [-2, -2, -2]])
    path.write_bytes(value(b"\x08\x03" + block(2, block(2, b"\x08\x02")) + block(7, b"\x07" + minus_one)))
    (second,) = (n.attributes["value"] for n in read_graph(path))
    np.testing.assert_array_equal(second, [7, -1])


@given(st.integers(-(2**63), 2**63 - 1))
def test_varint_round_trip(value):
    message = varint(value)
    assert _varint(message, 0) == (value, len(message))


@given(st.integers(0, 2000))
def test_truncated_graphs_are_refused(file, position):
    content = file.read_bytes()
    broken = file.with_name("broken.pb")
    broken.write_bytes(content[: len(content) * position // 2001])
    message, nodes = "TensorFlow graph", []
    try:
        nodes = read_graph(broken)
    except StreamfxError as error:
        message = str(error)
    assert "TensorFlow graph" in message
    assert len(nodes) < len(read_graph(file))  # a cut between two nodes gives a shorter graph


@given(st.binary(max_size=200))
def test_other_files_are_refused(file, content):
    other = file.with_name("other.pb")
    other.write_bytes(content)
    message = "is not a"
    try:
        assert read_graph(other)
    except StreamfxError as error:
        message = str(error)
    assert "is not a" in message


def test_missing_file_is_an_error(tmp_path):
    with pytest.raises(StreamfxError, match="cannot read graph"):
        read_graph(tmp_path / "none.pb")


# --- malicious graphs


def filled(name, sides):
    """A constant of this shape, stored as one value that fills it."""
    shape = block(2, b"".join(block(2, number(1, side)) for side in sides))
    return node(name, "Const", (), value=block(8, number(1, 1) + shape + block(5, b"\0\0\x80?")))


@pytest.mark.parametrize("sides", [(10**6, 10**6), (2**62, 4), (2**63 - 1,), (-1,), (-2, -2), (2**40,) * 9])
def test_impossible_shapes_are_refused(tmp_path, sides):
    path = tmp_path / "g.pb"
    path.write_bytes(filled("c", sides))
    with pytest.raises(StreamfxError, match="not a complete TensorFlow graph"):
        read_graph(path)


def test_tensors_much_larger_than_the_file_are_refused(tmp_path):
    path = tmp_path / "g.pb"
    path.write_bytes(b"".join(filled(f"c{i}", (2000, 1000)) for i in range(20)))
    with pytest.raises(StreamfxError, match="its tensors are much larger than the file"):
        read_graph(path)


def test_duplicate_node_names_are_refused(tmp_path):
    path = tmp_path / "g.pb"
    path.write_bytes(node("a", "Relu", ["a"]) * 2)
    with pytest.raises(StreamfxError, match="duplicate node 'a'"):
        read_graph(path)
