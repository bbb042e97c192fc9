"""What is wrong under a right checksum is refused, or has the form that the decoder promises."""

import pytest

from simulation import forgery
from simulation.choices import Choices
from simulation.mutants import hunt, sites
from simulation.mutants.planting import planted, sources
from simulation.world import Failure
from tests.vsr.test_messages import EXAMPLES
from veritydb.vsr import messages

SEALED = [b"".join(messages.encode(each)) for each in EXAMPLES]


@pytest.mark.parametrize("seed", range(5))
def test_the_decoder_keeps_what_it_promises(seed: int) -> None:
    for data in SEALED:
        forgery.try_out(data, Choices(seed))


def test_a_decoder_that_looks_away_is_found_out() -> None:
    chosen = [
        site
        for site in hunt.main_ones()
        if site.file in ("messages.py", "vote_messages.py") and site.kind == sites.NEVER
    ]
    noticed = set()
    for site in chosen:
        with planted({site.file: sites.planted(sources()[site.file], site)}, {}):
            for data in SEALED:
                try:
                    forgery.try_out(data, Choices(1))
                except Exception:
                    noticed.add(site.text)
    assert len(noticed) >= 9, noticed


def test_it_says_which_form_is_missing() -> None:
    site = next(
        each
        for each in hunt.main_ones()
        if each.function == "read_dvc" and each.kind == sites.NEVER and not each.part
    )
    tree = sites.planted(sources()[site.file], site)
    with planted({site.file: tree}, {}), pytest.raises(Failure, match="without form"):
        try_all()


def try_all() -> None:
    for number, data in enumerate(SEALED * 20):
        forgery.try_out(data, Choices(number))
