"""What people see of a run."""

from simulation import timeline
from simulation.plan import make
from simulation.run import simulate
from simulation.world import MS, Line

STATE = ("primary", 4, 64, 63, 65)


def replica(what: str, state: tuple[object, ...] = STATE, who: str = "g1r2") -> Line:
    return Line(2 * MS, who, state, what, ())


def test_a_line_has_its_columns() -> None:
    words = timeline.show(replica("< Prepare v4 from 1")).split()
    assert " ".join(words) == "2.000 g1r2 primary 4 64 63 65 p < Prepare v4 from 1"
    assert timeline.show(Line(0, "node1", (), "crash", ("killed",))).endswith("X crash killed")


def test_each_kind_has_its_glyph() -> None:
    assert timeline.glyph(replica("FramesWritten")) == "w"
    assert timeline.glyph(replica("something new")) == "."
    assert timeline.glyph(Line(0, "client1", (), "append -> OK", ())) == "="
    assert timeline.glyph(Line(0, "network", (), "cut", ("bridge",))) == "!"
    assert timeline.glyph(Line(0, "network", (), "heal", ())) == "~"
    explained = {letter for letter, _ in timeline.LEGEND}
    assert {*timeline.GLYPHS.values(), "=", timeline.FAULTY, timeline.PLAIN} == explained
    assert set(timeline.COLOURS) < explained


def test_a_part_can_be_chosen() -> None:
    lines = [
        replica("Tick", ("backup", 4, 5, 5, 6), "g1r0"),
        replica("Tick", ("backup", 4, 5, 5, 6), "g2r0"),
        replica("FramesWritten", ("backup", 4, 5, 6, 6), "g1r0"),
        Line(3 * MS, "client0", (), "append -> OK", ("op 6 base 1",)),
        Line(4 * MS, "network", (), "cut", ("alone",)),
        replica("Tick", ("backup", 4, 5, 6, 6), "g1r0"),
    ]

    def chosen(*words: str) -> list[int]:
        return [lines.index(line) for line in timeline.chosen(lines, words)]

    assert chosen() == [0, 1, 2, 3, 4, 5]
    assert chosen("g1") == [0, 2, 4, 5]
    assert chosen("g2r0", "client") == [1, 3, 4]
    assert chosen("op6") == [0, 1, 2, 3, 4]
    assert chosen("g1", "op6") == [0, 2, 4]


def test_colour_only_where_it_is_asked_for() -> None:
    crash = [Line(0, "node1", (), "crash", ())]
    assert "\x1b" not in "".join(timeline.text(crash))
    assert "\x1b[31m" in "".join(timeline.text(crash, colour=True))


def test_a_whole_run_is_kept_only_if_that_is_wanted() -> None:
    assert simulate(3).timeline == []
    whole = simulate(3, make(3), lines=None).timeline
    assert [line for line in whole if line.what == "start"]
    assert {timeline.glyph(line) for line in whole} >= set("pw>=+~")
