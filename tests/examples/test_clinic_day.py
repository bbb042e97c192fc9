"""The clinic day: the same every time, big enough, and nobody's name where it must not be."""

import json
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

from examples.clinic_day import EVENTS, FAMILY, GIVEN, clinic_day

PROJECT = Path(__file__).parents[2]


def digest(events: list[bytes]) -> str:
    return sha256(b"\n".join(events)).hexdigest()


def test_the_same_seed_gives_the_same_bytes_in_every_process() -> None:
    script = (
        "from hashlib import sha256; from examples.clinic_day import clinic_day;"
        "print(sha256(b'\\n'.join(e.payload for e in clinic_day(5, 2000))).hexdigest())"
    )
    here = digest([event.payload for event in clinic_day(5, 2000)])
    for hash_seed in ("0", "1"):
        result = subprocess.run(
            [sys.executable, "-c", script],
            cwd=PROJECT,
            env={"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert result.stdout.strip() == here


def test_another_seed_is_another_day() -> None:
    assert clinic_day(1, 500) != clinic_day(2, 500)


def test_it_is_as_long_as_asked_for_and_in_order() -> None:
    for count in (1, 100, EVENTS):
        day = clinic_day(events=count)
        assert len(day) == count
        assert [event.at for event in day] == sorted(event.at for event in day)
    assert EVENTS >= 20_000


def test_every_payload_is_one_line_of_json_of_the_kind_it_says() -> None:
    resources = {
        "PatientRegistered": "Patient",
        "EncounterStarted": "Encounter",
        "EncounterFinished": "Encounter",
        "ObservationRecorded": "Observation",
        "NoteCreated": "DocumentReference",
        "DepartmentCounted": "DepartmentCount",
    }
    seen = set()
    for event in clinic_day(events=3_000):
        assert b"\n" not in event.payload
        assert json.loads(event.payload)["resourceType"] == resources[event.type]
        seen.add(event.type)
    assert seen == set(resources)


def test_what_is_not_phi_names_no_patient() -> None:
    day = clinic_day()
    operations = b"\n".join(event.payload for event in day if not event.phi)
    assert operations
    for word in (*FAMILY, *GIVEN, "Patient", "MRN"):
        assert word.encode() not in operations
    assert sum(event.phi for event in day) > EVENTS // 2
