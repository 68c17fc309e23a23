"""Decision records as Parquet: the fields of the JSON record, flattened with `_`.

Knows columns and row groups. Must not know how a record is made: each row is the JSON line taken apart, so that both
forms cannot say different things. Needs the extra `parquet`.
Memory: never more than ROWS_PER_GROUP rows, of which ROWS_AS_OBJECTS as Python values (some 7 kB each with all near
misses) and the others as Arrow columns (a tenth of that); written groups leave a few kilobytes for the file's footer.

    writer = ParquetWriter("decisions.parquet"); writer.flow(event); writer.close()
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from agent.model.errors import EnvironmentFailure
from agent.sinks.lines import LineRenderer, record_line
from agent.sinks.partial import PartialFile

if TYPE_CHECKING:
    from agent.engine.events import FlowEvent

ROWS_PER_GROUP = 50_000
ROWS_AS_OBJECTS = 5_000

COLUMNS: Mapping[str, str] = {
    "schema": "string",
    "event_type": "string",
    "timestamp": "time",
    "flow_id": "uint64",
    "authorisation": "uint32",
    "community_id": "string",
    "protocol": "string",
    "direction": "string",
    "direction_basis": "string",
    "local_ip": "string",
    "local_port": "uint16",
    "remote_ip": "string",
    "remote_port": "uint16",
    "remote_names": "strings",
    "icmp_type": "uint16",
    "icmp_code": "uint16",
    "process_pid": "uint64",
    "process_image": "string",
    "process_services": "strings",
    "process_package_family_name": "string",
    "process_source": "string",
    "process_confidence": "string",
    "process_container": "string",
    "process_candidates": "candidates",
    "verdict": "string",
    "reason": "string",
    "rules": "strings",
    "near_misses": "near_misses",
    "near_miss_count": "uint32",
    "service": "string",
    "evidence": "string",
    "policy_generation": "uint64",
    "policy_mode": "string",
    "policy_digest": "string",
    "enforcement": "string",
    "packets_original": "uint64",
    "packets_reply": "uint64",
    "bytes_original": "uint64",
    "bytes_reply": "uint64",
    "attempted": "uint64",
    "mixed_allowed": "uint64",
    "mixed_denied": "uint64",
    "first_seen": "time",
    "last_seen": "time",
    "end": "string",
    "record": "string",
}
"""Column to kind, in file order. `record` holds the whole JSON of an event that is no flow."""

_NESTED = ("local", "remote", "process", "policy", "packets", "bytes", "mixed")
_TIMES = ("timestamp", "first_seen", "last_seen")
_LAST_TIME = (1 << 63) - 1


class ParquetWriter:
    """An event sink. Raises EnvironmentFailure naming the file, or the missing extra."""

    def __init__(self, path: str, *, flows_only: bool = False) -> None:
        """`flows_only`: write flow records and drop decision, reverdict, isolation and fault events."""
        try:
            pyarrow = import_module("pyarrow")  # here: heavy, and an extra
            parquet = import_module("pyarrow.parquet")
        except ImportError:
            raise EnvironmentFailure(
                f"{path}: writing Parquet needs pyarrow: pip install 'isolation-agent[parquet]'"
            ) from None
        self._pyarrow = pyarrow
        self._file = PartialFile(path)
        self._flows_only = flows_only
        self._render = LineRenderer().flow
        self._schema = _schema(pyarrow)
        self._writer = parquet.ParquetWriter(_Drain(self._file), self._schema, compression="zstd")
        self._columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
        self._tables: list[Any] = []
        """The rows of the group before those in `_columns`."""

    def flow(self, event: FlowEvent) -> None:
        if self._flows_only and event.event_type != "flow":
            return
        import orjson

        row = flatten(orjson.loads(self._render(event)))
        for name in _TIMES:
            ns = getattr(event, name)
            row[name] = ns if 0 <= ns <= _LAST_TIME else None
        self._append(row)

    def isolation(self, record: Mapping[str, Any]) -> None:
        self._record("isolation", record)

    def fault(self, record: Mapping[str, Any]) -> None:
        self._record("fault", record)

    def _record(self, event_type: str, record: Mapping[str, Any]) -> None:
        if not self._flows_only:
            line = record_line({"event_type": event_type, **record})
            self._append({"schema": "decision/1", "event_type": event_type, "record": line.decode().rstrip("\n")})

    def close(self) -> None:
        """Writes what is held and gives the file its name."""
        if self._file.closed:
            return
        self._pack()
        self._write_group()
        self._writer.close()
        self._file.close()

    def abandon(self) -> None:
        self._file.abandon()
        self._writer.close()

    def _append(self, row: Mapping[str, Any]) -> None:
        for name, column in self._columns.items():
            column.append(row.get(name))
        if len(self._columns["schema"]) >= ROWS_AS_OBJECTS:
            self._pack()
            if sum(table.num_rows for table in self._tables) >= ROWS_PER_GROUP:
                self._write_group()

    def _pack(self) -> None:
        """Turns the Python values at hand into Arrow columns."""
        if self._columns["schema"]:
            self._tables.append(self._pyarrow.table(self._columns, schema=self._schema))
            self._columns = {name: [] for name in COLUMNS}

    def _write_group(self) -> None:
        if self._tables:
            tables, self._tables = self._tables, []
            self._writer.write_table(self._pyarrow.concat_tables(tables), row_group_size=ROWS_PER_GROUP)


class _Drain:
    """The file as pyarrow sees it. Once it is gone this swallows what comes: pyarrow insists on writing a footer."""

    closed = False

    def __init__(self, file: PartialFile) -> None:
        self._file = file

    def write(self, data: bytes) -> int:
        return len(data) if self._file.closed else self._file.write(data)

    def flush(self) -> None:
        """Nothing is held back here."""

    def close(self) -> None:
        """The file is closed by whoever opened it."""


def flatten(record: Mapping[str, Any]) -> dict[str, Any]:
    """`{"local": {"ip": ...}}` as `{"local_ip": ...}`, for the record's own objects."""
    row: dict[str, Any] = {}
    for name, value in record.items():
        if name in _NESTED:
            row.update({f"{name}_{inner}": item for inner, item in (value or {}).items()})
        else:
            row[name] = value
    return row


def _schema(pyarrow: Any) -> Any:
    kinds = {
        "string": pyarrow.string(),
        "strings": pyarrow.list_(pyarrow.string()),
        "time": pyarrow.timestamp("ns", tz="UTC"),
        "uint16": pyarrow.uint16(),
        "uint32": pyarrow.uint32(),
        "uint64": pyarrow.uint64(),
        "candidates": pyarrow.list_(
            pyarrow.struct(
                [("pid", pyarrow.uint64()), *((name, pyarrow.string()) for name in ("image", "source", "confidence"))]
            )
        ),
        "near_misses": pyarrow.list_(
            pyarrow.struct([(name, pyarrow.string()) for name in ("rule", "condition", "state")])
        ),
    }
    return pyarrow.schema([(name, kinds[kind]) for name, kind in COLUMNS.items()])
