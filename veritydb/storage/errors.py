"""Why a directory cannot be opened. Messages name files, positions and numbers, never contents."""


class StorageError(Exception):
    """Base of all."""


class Damaged(StorageError):
    """Bytes that this replica cannot do without, and cannot get back by itself, have rotted."""

    def __init__(self, file: str, at: int, problem: str, op: int | None = None) -> None:
        """`at` is the first bad byte of `file`; `op` the op that is lost, if it is one."""
        assert at >= 0
        where = f"op {op}: " if op is not None else ""
        super().__init__(f"{where}{file} at byte {at}: {problem}")
        self.file = file
        self.at = at
        self.op = op


class WrongIdentity(StorageError):
    """The directory belongs to another cluster, group, region, index or incarnation."""

    def __init__(self, field: str, expected: object, found: object) -> None:
        """`field` is the first that differs."""
        assert expected != found
        super().__init__(f"the directory's {field} is {found}, expected was {expected}")
        self.field = field


class NotFormatted(StorageError):
    """There is no superblock: nothing was ever stamped here, or its stamping was not finished."""


class NotEmpty(StorageError):
    """A directory to be stamped already holds something."""


class UnknownFormat(StorageError):
    """A file is intact and of a format version that this program does not know."""
