"""Strict reading: every scalar text, everything ambiguous refused, nothing but PolicyError whatever a file holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from agent.model.errors import PolicyError
from agent.model.rule import Network
from agent.policy import document
from agent.policy.document import MAX_BYTES, MAX_DEPTH, load_device, load_mapping, load_names, load_rules, merged
from agent.policy.values import parse_network


def load(text: str | bytes) -> dict[str, Any]:
    data = text.encode() if isinstance(text, str) else text
    return load_mapping(data, name="doc.yaml")


def refusal(text: str | bytes) -> str:
    with pytest.raises(PolicyError) as caught:
        load(text)
    message = str(caught.value)
    assert message.startswith("doc.yaml: ")
    assert "\n" not in message
    return message


def outcome(data: bytes) -> str:
    """What a document is refused with, or nothing."""
    try:
        load(data)
    except PolicyError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param("1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8", id="sexagesimal of YAML 1.1"),
        pytest.param("no", "no", id="boolean word"),
        pytest.param("010", "010", id="octal"),
        pytest.param("1e3", "1e3", id="float"),
        pytest.param("2026-01-05", "2026-01-05", id="date"),
        pytest.param("~", None, id="tilde"),
        pytest.param("", None, id="nothing"),
        pytest.param("null", None, id="null"),
        pytest.param("'null'", "null", id="quoted null"),
        pytest.param("''", "", id="quoted nothing"),
        pytest.param('"a\\u00e9\\n"', "aé\n", id="escapes"),
        pytest.param("|\n  two\n  lines", "two\nlines", id="block"),
        pytest.param("[1, [x]]", ["1", ["x"]], id="lists"),
        pytest.param("{b: 1}", {"b": "1"}, id="mapping"),
    ],
)
def test_yaml_scalars_stay_text(text: str, value: object) -> None:
    assert load(f"a: {text}") == {"a": value}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param("1", "1", id="integer"),
        pytest.param("1.50", "1.50", id="float keeps its digits"),
        pytest.param("123456789012345678901234567890", "123456789012345678901234567890", id="long integer"),
        pytest.param("true", "true", id="true"),
        pytest.param("false", "false", id="false"),
        pytest.param("null", None, id="null"),
        pytest.param('"\\/\\u00e9\\ud83d\\ude00"', "/é😀", id="escapes"),
        pytest.param('"null"', "null", id="quoted null"),
        pytest.param('[1,\t{"c": "~"}]', ["1", {"c": "~"}], id="tabs, and no null of YAML's"),
    ],
)
def test_json_reads_as_yaml_does(text: str, value: object) -> None:
    assert load('{\t"a": ' + text + "\r\n}") == {"a": value}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("a: 1\na: 2", "line 2: key 'a' stands twice", id="duplicate key"),
        pytest.param("a: {b: 1, 'b': 2}", "key 'b' stands twice", id="duplicate nested key, quoted"),
        pytest.param('{"a": 1, "a": 2}', "key 'a' stands twice", id="duplicate key in JSON"),
        pytest.param('{"a": {"b": 1, "b": 2}}', "key 'b' stands twice", id="duplicate nested key in JSON"),
        pytest.param("a: &x 1\nb: *x", "line 1: anchors", id="anchor"),
        pytest.param("a: *x", "line 1: anchors", id="alias"),
        pytest.param("a: {<<: *x}", "anchors", id="merge key"),
        pytest.param("a: !!str 1", "the tag 'tag:yaml.org,2002:str'", id="tag"),
        pytest.param("a: !secret 1", "the tag '!secret'", id="own tag"),
        pytest.param("a: !!python/object:os.system 1", "the tag", id="python tag"),
        pytest.param("a: 1\n---\nb: 2", "line 2 begins another document", id="two documents"),
        pytest.param("---\n---\nb: 2", "begins another document", id="an empty document before"),
        pytest.param("? [a]\n: 1", "line 1: a key must be text, not a list", id="list as key"),
        pytest.param("? {a: 1}\n: 1", "line 1: a key must be text, not a mapping", id="mapping as key"),
        pytest.param("- a", "holds a list", id="list"),
        pytest.param("a", "holds text", id="scalar"),
        pytest.param("", "is empty", id="empty"),
        pytest.param("# only a comment\n", "is empty", id="comment"),
        pytest.param("a: [1, 2", "not YAML: while parsing a flow sequence", id="syntax"),
        pytest.param("a: 1\n\tb: 2", "line 2, column 1: not YAML", id="tab"),
        pytest.param("a: \x00", "not YAML", id="NUL"),
        pytest.param('a: "\\ud800"', "doc.yaml", id="half a surrogate pair"),
        pytest.param('{"a": "\\ud800"}', "half of a surrogate pair", id="half a surrogate pair in JSON"),
        pytest.param('{"\\udc00": 1}', "half of a surrogate pair", id="half a surrogate pair as key"),
        pytest.param('{"a": 1,}', ": line 1, column ", id="JSON syntax"),
        pytest.param('{"a": }', "not JSON", id="JSON without a value, which YAML would read as undefined"),
        pytest.param(b"a: \xe9", "is not UTF-8 text: bad byte at offset 3", id="latin-1"),
        pytest.param(b"\xff\xfea", "is not UTF-16 text", id="broken UTF-16"),
    ],
)
def test_everything_ambiguous_is_refused_in_one_line(text: str | bytes, said: str) -> None:
    assert said in refusal(text)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("text", ["a: é", '{"a": "é"}'])
def test_the_encodings_editors_write_are_read(encoding: str, text: str) -> None:
    assert load(text.encode(encoding)) == {"a": "é"}


@pytest.mark.parametrize(
    ("opening", "closing"),
    [
        pytest.param("[", "]", id="list"),
        pytest.param("{a: ", "}", id="yaml"),
        pytest.param('{"a":', "}", id="json"),
        pytest.param("- ", "", id="block"),
    ],
)
@pytest.mark.parametrize("times", [MAX_DEPTH + 1, 100_000], ids=["just too deep", "absurd"])
def test_depth_is_bounded(opening: str, closing: str, times: int) -> None:
    assert f"more than {MAX_DEPTH} levels" in refusal(opening * times + "1" + closing * times)


def test_the_deepest_allowed_document_is_read_both_ways() -> None:
    depth = MAX_DEPTH - 1
    expected: Any = None
    for _ in range(depth):
        expected = [expected]
    assert load("a: " + "[" * depth + "~" + "]" * depth) == {"a": expected}
    assert load('{"a": ' + "[" * depth + "null" + "]" * depth + "}") == {"a": expected}


def test_size_is_bounded(tmp_path: Path) -> None:
    big = b"a: " + b"x" * MAX_BYTES
    assert "larger than 4 MiB" in refusal(big)
    path = tmp_path / "big.yaml"
    path.write_bytes(big)
    with pytest.raises(PolicyError, match="larger than 4 MiB"):
        load_mapping(str(path))


@pytest.mark.parametrize("loader", [load_rules, load_device, load_names, load_mapping])
@pytest.mark.parametrize("name", ["absent.yaml", ".", "nul\0.yaml"], ids=["absent", "folder", "impossible name"])
def test_what_cannot_be_read_is_a_policy_error_naming_the_file(loader: Any, name: str, tmp_path: Path) -> None:
    path = f"{tmp_path}/{name}"
    with pytest.raises(PolicyError, match="cannot be read") as caught:
        loader(path)
    assert caught.value.path == path
    assert caught.value.exit_code == 2


def test_the_loaders_read_files(tmp_path: Path) -> None:
    rules, device, names = (tmp_path / name for name in ("r.yaml", "d.json", "n.yaml"))
    rules.write_text("version: 1\nwindows_rules: [{name: All}]", "utf-8")
    device.write_text('{"version": 1, "platform": "macOS"}', "utf-8")
    names.write_text("version: 1\nnames: {203.0.113.9: Support.Test.}", "utf-8")
    assert [rule.name for rule in load_rules(str(rules)).windows_rules] == ["All"]
    assert load_rules(str(rules)).path == str(rules)
    assert load_device(str(device)).platform == "macOS"
    assert list(load_names(str(names)).values()) == [("support.test",)]


TREES = st.recursive(
    st.none() | st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc%: -", max_size=5), inner, max_size=4),
    max_leaves=20,
)
DOCUMENTS = st.dictionaries(st.text("abcdefgh", min_size=1, max_size=8), TREES, max_size=5)


@given(DOCUMENTS)
def test_whatever_json_can_say_comes_back(tree: dict[str, Any]) -> None:
    assert load(json.dumps(tree)) == tree
    assert load(json.dumps(tree, ensure_ascii=False, indent="\t")) == tree


@given(DOCUMENTS)
def test_whatever_yaml_can_say_comes_back(tree: dict[str, Any]) -> None:
    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    if tree:
        assert load(yaml.dump(tree, Dumper=Dumper, allow_unicode=True)) == tree


@given(st.text(alphabet=st.sampled_from("ab:-?[]{}&*!|>%@`'\"#,. \n\t\\0~<="), max_size=60) | st.text(max_size=60))
def test_no_text_raises_anything_but_policy_error(text: str) -> None:
    for parser in (yaml.SafeLoader, document._LOADER):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(document, "_LOADER", parser)
            assert "\n" not in outcome(text.encode("utf-8", "surrogatepass"))


@given(st.binary(max_size=60))
def test_no_bytes_raise_anything_but_policy_error(data: bytes) -> None:
    assert "\n" not in outcome(data)


@pytest.mark.parametrize("text", ["%YAML " + "9" * 5000 + ".1\n---\na: 1", 'a: "\\U00110000"', 'a: "\\UFFFFFFFF"'])
def test_the_python_parser_fails_in_one_line_too(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """PyYAML without its C library raises ValueError and OverflowError for these."""
    monkeypatch.setattr(document, "_LOADER", yaml.SafeLoader)
    assert "not YAML" in refusal(text)


def test_floats_of_json_that_are_no_numbers_stay_text() -> None:
    assert load('{"a": NaN, "b": -Infinity}') == {"a": "NaN", "b": "-Infinity"}


NETWORKS = st.builds(
    lambda version, value, length: parse_network(
        f"{value >> 24}.{value >> 16 & 255}.{value >> 8 & 255}.{value & 255}/{length % 33}"
        if version == 4
        else f"2001:db8::{value >> 16:x}:{value & 0xFFFF:x}/{length}"
    ),
    st.sampled_from([4, 6]),
    st.integers(0, (1 << 32) - 1),
    st.integers(0, 128),
)


@given(st.lists(NETWORKS, min_size=1, max_size=8))
def test_merged_holds_the_same_addresses(networks: list[Network]) -> None:
    """Edges of every block, one address on each side: the same blocks hold them before and after."""
    shorter = [parse_network(text) for text in merged(networks)]
    assert len(shorter) <= len({(network.version, network.first, network.last) for network in networks})
    for network in networks:
        for value in (network.first - 1, network.first, network.last, network.last + 1):
            before = any(n.version == network.version and n.first <= value <= n.last for n in networks)
            after = any(n.version == network.version and n.first <= value <= n.last for n in shorter)
            assert before == after
