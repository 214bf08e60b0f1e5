"""Pickles that are forged with allowed names only, or ask for others."""

import io
import pickle
import struct

import numpy as np
import pytest
import scipy.sparse
from body_samples import smpl_arrays

from bilayer_graph.body import read_body_file
from bilayer_graph.errors import InputError

VERTICES = smpl_arrays()["v_template"]
LITTLE = (3, "<", None, None, None, -1, -1, 0)


def name(module: str, attribute: str) -> bytes:
    return b"c" + f"{module}\n{attribute}\n".encode()


def literal(value: object) -> bytes:
    """The instructions that push plain data, without the frame of a whole pickle."""
    stream = io.BytesIO()
    pickler = pickle.Pickler(stream, 2)
    pickler.fast = True
    pickler.dump(value)
    return stream.getvalue()[2:-1]


def dtype(text: object = "f8", state: object = LITTLE) -> bytes:
    made = name("numpy", "dtype") + literal((text, False, True)) + b"R"
    return made + literal(state) + b"b"


def array(shape: object = (60, 3), kind: bytes | None = None, content: object = None) -> bytes:
    made = name("numpy.core.multiarray", "_reconstruct") + name("numpy", "ndarray")
    made += literal((0,)) + literal("b") + b"\x87R"
    content = VERTICES.tobytes().decode("latin1") if content is None else content
    text = content.encode("latin1") if isinstance(content, str) else b""
    data = b"T" + struct.pack("<i", len(text)) + text
    data = data if isinstance(content, str) else literal(content)
    return made + b"(K\x01" + literal(shape) + (kind or dtype()) + b"\x89" + data + b"tb"


def read(path, instructions: bytes, field: str = "v_template") -> dict[str, np.ndarray]:
    """Read a body whose field is made by these instructions."""
    start = b"\x80\x02" + literal(smpl_arrays())
    path.write_bytes(start + literal(field) + instructions + b"s.")
    return read_body_file(path)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "body.pkl"


def test_an_array_written_by_hand_is_read(path):
    np.testing.assert_array_equal(read(path, array())["v_template"], VERTICES)
    big = VERTICES.astype(">f8").tobytes().decode("latin1")
    kind = dtype(state=(3, ">", None, None, None, -1, -1, 0))
    found = read(path, array(kind=kind, content=big))["v_template"]
    np.testing.assert_array_equal(found, VERTICES)
    assert found.dtype.isnative


@pytest.mark.parametrize(
    ("module", "attribute"),
    [
        ("numpy", "load"),
        ("numpy", "memmap"),
        ("numpy", "fromfile"),
        ("numpy", "frombuffer"),
        ("numpy", "matrix"),
        ("numpy", "ndarray.tofile"),
        ("numpy.core.multiarray", "fromfile"),
        ("numpy._core.multiarray", "frombuffer"),
        ("numpy.core.numeric", "fromfile"),
        ("numpy.lib.format", "open_memmap"),
        ("scipy.sparse", "load_npz"),
        ("chumpy.ch", "os"),
        ("copyreg", "__newobj__"),
        ("builtins", "eval"),
    ],
)
@pytest.mark.parametrize("called", [True, False])
def test_every_name_off_the_list_is_refused(path, module: str, attribute: str, called: bool):
    instructions = name(module, attribute) + (literal(("nowhere",)) + b"R" if called else b"")
    with pytest.raises(InputError, match=rf"class {module}\.{attribute}, which is not on"):
        read(path, instructions)


@pytest.mark.parametrize(
    "text", ["O8", "V8", "S8", "f16", "b1", "c16", "f8,f8", "(9,)f8", "<f8", 3]
)
def test_types_that_are_no_numbers(path, text: object):
    with pytest.raises(InputError, match="v_template is not numeric"):
        read(path, array(kind=dtype(text)))


@pytest.mark.parametrize(
    "state",
    [
        (4, "|", None, ("a",), {"a": (1, 0)}, 8, 1, 1),  # a record over a forged pointer
        (3, "<", ("f8", (9,)), None, None, -1, -1, 0),
        (3, "|", None, None, None, -1, -1, 0),
        (3, 5, None, None, None, -1, -1, 0),
        (3, "<"),
        "<",
    ],
)
def test_forged_states_of_a_type(path, state: object):
    with pytest.raises(InputError, match=r"v_template (is not numeric|has a state)"):
        read(path, array(kind=dtype(state=state)))


@pytest.mark.parametrize(
    "shape",
    [(-60, -3), (60,), (61, 3), (2**62, 4), (0, 2**70), (60.0, 3), [60, 3], None, (1,) * 70, ()],
)
def test_forged_shapes(path, shape: object):
    with pytest.raises(InputError, match=r"the field v_template (has|claims)"):
        read(path, array(shape))


@pytest.mark.parametrize("content", ["short", [None] * 180, None, 7, ("a",)])
def test_forged_contents(path, content: object):
    content = content if content is not None else VERTICES.tobytes().decode("latin1") + "x"
    with pytest.raises(InputError, match=r"the field v_template (has|is)"):
        read(path, array(content=content))


def chain(instructions: bytes, depth: int) -> bytes:
    """An object, and again and again one that holds the one before it twice."""
    made = name("chumpy.reordering", "Select") + b"q\x00" + instructions + b"q\x01"
    for place in range(1, depth):
        inner = b"h" + bytes([place])
        made += b"h\x00)\x81}(U\x01a" + inner + b"U\x04idxs" + inner + b"ub"
        made += b"q" + bytes([place + 1])
    return b"(" + made + b"t"


def laughs() -> bytes:
    made = b"](" + b"K\x01" * 10 + b"eq\x01"
    for place in range(1, 30):
        made += b"](" + (b"h" + bytes([place])) * 10 + b"eq" + bytes([place + 1])
    return b"(" + made + b"l"


@pytest.mark.parametrize(
    "instructions",
    [
        literal(None) + b"r\xff\xff\xff\x7f",
        b"\x8e" + struct.pack("<Q", 2**60),
        b"\x96" + struct.pack("<Q", 2**40),
        b"\x8b" + struct.pack("<i", 2**30),
        b"I" + b"9" * 1_000_000 + b"\n",
        b"]" * 100_000 + b"a" * 99_999,
        b"N" + b"\x85" * 100_000,
        b"}N" + b"\x85" * 100_000 + b"Ns",
        name("chumpy.ch", "Ch") + b")\x81q\x05}U\x01xh\x05sb",
        chain(literal([1, 2]), 40) + b"\x85",
        laughs(),
        b"]q\x05h\x05a",
        name("numpy", "dtype") + literal({"x": 1}) + b"b",
        name("_codecs", "encode") + literal({"__defaults__": ()}) + b"b",
        name("_codecs", "encode") + laughs() + b"h\x1e\x86R",
        name("numpy", "ndarray") + literal((0,) * 9) + b"R",
        b"\x82\x01",
        b"Pelsewhere\n",
        b"0" * 10,
        b"1",
    ],
    ids=lambda instructions: ascii(instructions[:12])[2:-1],
)
def test_bombs_and_nonsense(path, instructions: bytes):
    with pytest.raises(InputError, match=r"^body=\S+: \S.*Give a file"):
        read(path, instructions)


def test_more_instructions_than_any_body_has(path):
    path.write_bytes(b"\x80\x02" + b"N0" * 600_000 + b".")
    with pytest.raises(InputError, match="more than 1000000 instructions"):
        read_body_file(path)


@pytest.mark.parametrize("layout", ["csc", "csr"])
@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("indices", lambda old: old - 1),
        ("indices", lambda old: old + 100),
        ("indices", lambda old: old * 1.0),
        ("indptr", lambda old: old[::-1].copy()),
        ("indptr", lambda old: old + 1),
        ("indptr", lambda old: old[:-1].copy()),
        ("data", lambda old: old[:-1].copy()),
        ("_shape", lambda old: (2**40, 2**40)),
        ("_shape", lambda old: (-24, 60)),
        ("_shape", lambda old: (24, 60, 1)),
        ("_shape", lambda old: None),
    ],
)
def test_forged_sparse_matrices(path, layout: str, part: str, change):
    matrix = getattr(scipy.sparse, f"{layout}_matrix")(smpl_arrays()["J_regressor"])
    state = {"data": matrix.data, "indices": matrix.indices, "indptr": matrix.indptr}
    state["_shape"] = (24, 60)
    made = name(f"scipy.sparse.{layout}", f"{layout}_matrix") + b")\x81"
    good = read(path, made + literal(state) + b"b", "J_regressor")["J_regressor"]
    np.testing.assert_array_equal(good, smpl_arrays()["J_regressor"])
    state[part] = change(state[part])
    with pytest.raises(InputError, match=r"the field J_regressor (is|has|claims)"):
        read(path, made + literal(state) + b"b", "J_regressor")


def test_lists_are_read(path):
    found = read(path, literal(VERTICES.tolist()))["v_template"]
    np.testing.assert_array_equal(found, VERTICES)
    ragged = VERTICES.tolist()
    ragged[7] = ragged[7][:2]
    with pytest.raises(InputError, match="v_template has rows of different lengths"):
        read(path, literal(ragged))


def test_empty_arrays_of_old_pickles_are_no_obstacle(path):
    path.write_bytes(pickle.dumps(smpl_arrays() | {"note": np.zeros(0), "names": {"a", "b"}}, 2))
    np.testing.assert_array_equal(read_body_file(path)["v_template"], VERTICES)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_damage_never_ends_in_a_traceback(path, protocol: int):
    whole = pickle.dumps({key: value[:1] for key, value in smpl_arrays().items()}, protocol)
    random = np.random.default_rng(protocol)
    for _ in range(60):
        content = bytearray(whole)
        for place in random.integers(0, len(content), 5):
            content[place] = random.integers(256)
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"^body="):
            read_body_file(path)
