"""From what clients of a run are told to histories, and what these must be like."""

from collections.abc import Callable, Iterator
from typing import ClassVar

from simulation.checkers import history, wing_gong
from simulation.checkers.base import Answer, Checker, ReadAnswer, Request
from simulation.checkers.history import Contents, Operation, Result
from veritydb.types import multi
from veritydb.types.entry import EXPECT_ANY, EXPECT_EXISTS, EXPECT_NO_STREAM, HEADER_BYTES, Kind
from veritydb.types.outcome import BASE_UNKNOWN, Code, Outcome

EXPECTED = {EXPECT_ANY: history.ANY, EXPECT_EXISTS: history.EXISTS, EXPECT_NO_STREAM: 0}
OPEN = (Code.NO_SESSION, Code.STALE_NUMBER, Code.WINDOW_EXCEEDED, Code.OUTCOME_UNKNOWN)
"""Said of an attempt: an earlier one, whose answer was lost, may have been carried out."""


class Histories(Checker):
    """What clients were told fits what the streams hold in the end, and the times it was told at.

    Of some runs each stream is looked at once more without believing what orders its operations.
    """

    name: ClassVar[str] = "linearizable"

    def __init__(self, contents: Callable[[], dict[int, Contents]], searched: bool) -> None:
        """`contents()` is what each stream holds; `searched` tells whether to search for orders."""
        self._contents = contents
        self._searched = searched
        self._told: dict[int, Answer | None] = {}
        self._requests: dict[int, Request] = {}
        self._reads: list[Operation] = []
        self.searches = self.given_up = 0
        """Streams for which an order was looked for, and those where that would take too long."""

    def invoked(self, request: Request) -> None:
        """Note a request that has no answer yet."""
        self._requests[id(request)] = request
        self._told[id(request)] = None

    def denied(self, request: Request) -> None:
        """It was never carried out."""
        self._told.pop(id(request), None)

    def answered(self, answer: Answer) -> None:
        """Note the answer."""
        self._told[id(answer.request)] = answer

    def read(self, answer: ReadAnswer) -> None:
        """Note what was shown."""
        self._reads.append(
            Operation(
                process=answer.client,
                stream=answer.stream,
                kind=history.Kind.READ,
                invoked=answer.invoked,
                returned=answer.time,
                result=Result.OK,
                values=answer.tokens,
                offset=answer.first,
                next=answer.next,
                fresh=answer.fresh,
            )
        )

    def ended(self) -> None:
        """Judge every stream."""
        operations = list(self._reads)
        for key, answer in self._told.items():
            operations += operations_of(self._requests[key], answer)
        contents = self._contents()
        for stream, told in history.by_stream(operations).items():
            problems = history.judge(told, contents.get(int(stream), Contents(())))
            if problems:
                self.fail(f"stream {stream}: {problems[0]}")
            if self._searched:
                verdict = wing_gong.check(told)
                self.searches += 1
                self.given_up += verdict.sound is None
                if verdict.sound is False:
                    self.fail(f"stream {stream}: {verdict.what}")


def operations_of(request: Request, answer: Answer | None) -> Iterator[Operation]:
    """What a request wants of each stream, and what it was told of it."""
    header = request.header
    told = answer.outcome if answer is not None else None
    base = Operation(
        process=request.client,
        stream=header.stream,
        kind=history.Kind.SEAL,
        invoked=request.invoked,
        returned=answer.time if answer is not None else 0,
        result=Result.UNKNOWN if told is None else _result(told),
    )
    if request.what == "seal":
        # Told that it is sealed already, it may have been this very request that did it.
        again = told is not None and told.code is Code.DUPLICATE
        yield base._replace(result=Result.UNKNOWN) if again else base
    elif header.kind is Kind.APPEND:
        yield base._replace(
            kind=history.Kind.APPEND,
            values=request.tokens,
            expected=EXPECTED.get(header.expected, header.expected),
            offset=0 if told is None else told.base,
        )
    elif header.kind is Kind.APPEND_MANY:
        yield from _shares(request, base, told)


def _shares(request: Request, base: Operation, told: Outcome | None) -> Iterator[Operation]:
    tokens = request.tokens
    for share in multi.parse(memoryview(request.data)[HEADER_BYTES:]):
        mine, tokens = tokens[: share.events], tokens[share.events :]
        result, offset = base.result, int(share.base)
        if result in (Result.CONFLICT, Result.SEALED):
            # It says in which stream; to the others nothing happened.
            assert told is not None
            here = told.stream == share.stream
            result, offset = (result, told.base) if here else (Result.REFUSED, 0)
        yield base._replace(
            kind=history.Kind.APPEND,
            stream=share.stream,
            values=mine,
            expected=EXPECTED.get(share.expected, share.expected),
            offset=offset,
            result=result,
        )


def _result(outcome: Outcome) -> Result:
    code = outcome.code
    if code in OPEN or (code is Code.DUPLICATE and outcome.base == BASE_UNKNOWN):
        return Result.UNKNOWN
    if outcome.accepted:
        return Result.OK
    named = {Code.WRONG_EXPECTED_OFFSET: Result.CONFLICT, Code.STREAM_SEALED: Result.SEALED}
    return named.get(code, Result.REFUSED)
